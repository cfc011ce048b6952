#!/usr/bin/env bash
# From nothing to a speech recogniser, in minutes: examples/speech/run.sh
# With recordings of your own:                     examples/speech/run.sh FOLDER
#
# FOLDER holds train/ and test/ as Kaldi has data folders (wav.scp, text, utt2spk) and lexicon.txt (docs/speech.md). Without it espeak-ng says
# some hundred sentences with many voices. Both train Gaussian mixtures and a network, find the words of voices that were never heard in training,
# count the wrong ones, and show the words of one recording with their times. RECIPE, OUT and what stands in ARGS are for `hadal speech train`:
#
#   RECIPE=my.yaml OUT=runs/mine ARGS="--devices cpu:0" examples/speech/run.sh my_data
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
hadal=${HADAL:-$here/../../build/release/hadal}
recipe=${RECIPE:-$here/espeak.yaml}

die() {
  echo "run.sh: $*" >&2
  exit 2
}

case "${1:-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;; esac
[[ $# -le 1 ]] || die "one folder at most, not $*"
[[ -x $hadal ]] || hadal=$(command -v hadal) || die "there is no hadal; ./dev build makes it"
command -v python3 >/dev/null || die "python3 is not installed; on Debian and Ubuntu: sudo apt-get install python3"

if [[ $# == 1 ]]; then
  data=${1%/}
  for file in train/text test/text lexicon.txt; do
    [[ -f $data/$file ]] || die "$data has no $file; docs/speech.md says what a data folder holds"
  done
else
  data=data/espeak
  command -v espeak-ng >/dev/null || die "espeak-ng is not installed; on Debian and Ubuntu: sudo apt-get install espeak-ng"
  if [[ ! -f $data/lexicon.txt ]]; then
    echo "espeak-ng says 720 sentences, into $data"
    python3 "$here/prepare_espeak.py" --out "$data"
  fi
fi
out=${OUT:-runs/$(basename "$data")}

# shellcheck disable=SC2086
"$hadal" speech train "$recipe" --out "$out" --set "name=$(basename "$data" | tr -c 'a-zA-Z0-9._\n-' '-')" \
  --set "data.train=$data/train" --set "data.test=$data/test" --set "lexicon=$data/lexicon.txt" ${ARGS:-}

echo
echo "words of one test recording, said: $(head -n 1 "$data/test/text")"
if [[ -f $data/test/wav.scp ]]; then
  wav=$(head -n 1 "$data/test/wav.scp" | cut -d' ' -f2-)
  [[ -f $data/test/$wav ]] && wav=$data/test/$wav
  "$hadal" speech decode "$out" "$wav" --svg "$out/recording.svg"
  echo "drawn in $out/recording.svg"
fi
echo "more: hadal speech decode $out FILE.wav; hadal eval $out/network; hadal plan $out/network/job.yaml"
