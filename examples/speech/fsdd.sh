#!/usr/bin/env bash
# Spoken digits of speakers that were never heard: each of the four in turn is left out of training (docs/results/speech.md). The three others
# are few, so voices of espeak-ng and flite are trained on beside them.
#   examples/speech/fsdd.sh RECORDINGS [ARGUMENTS of hadal speech train]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
hadal=${HADAL:-$here/../../build/release/hadal}
[[ $# -ge 1 && -d $1 ]] || { echo "usage: fsdd.sh RECORDINGS, the folder of DIGIT_SPEAKER_INDEX.wav" >&2; exit 2; }
recordings=$1
shift
python3 "$here/prepare_fsdd.py" "$recordings" --out data/fsdd
[[ -f data/fsdd/voices/utt2spk ]] || python3 "$here/prepare_voices.py" data/fsdd/lexicon.txt --out data/fsdd/voices
speakers=(george jackson nicolas theo)
for speaker in "${speakers[@]}"; do
  echo "== $speaker is left out"
  "$hadal" speech train "$here/fsdd.yaml" --out "runs/fsdd-$speaker" --set "data.train=data/fsdd/$speaker/train" \
    --set "data.test=data/fsdd/$speaker/test" "$@"
done
python3 "$here/summary.py" "${speakers[@]/#/runs/fsdd-}"
mkdir -p runs/fsdd
for speaker in "${speakers[@]}"; do cat "data/fsdd/$speaker/test/text"; done >runs/fsdd/text
for model in gmm network; do
  for speaker in "${speakers[@]}"; do cat "runs/fsdd-$speaker/decode/$model/test/hyp.txt"; done >"runs/fsdd/$model.txt"
done
"$hadal" speech score runs/fsdd/text runs/fsdd/network.txt --against runs/fsdd/gmm.txt
