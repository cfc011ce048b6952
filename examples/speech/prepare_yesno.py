#!/usr/bin/env python3
"""Data folders of waves_yesno (openslr.org/1): one speaker who says "yes" or "no", in Hebrew, eight times a recording.

usage: prepare_yesno.py WAVES_YESNO --out FOLDER

The first half of the recordings, by name, becomes FOLDER/train, the second FOLDER/test; and FOLDER/lexicon.txt.
"""
import argparse
import pathlib
import re

from kaldi_folder import fail, write_folder, write_lexicon


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    parser.add_argument("recordings", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    utterances = []
    for path in sorted(arguments.recordings.glob("*.wav")):
        if not re.fullmatch(r"[01](_[01])*", path.stem):
            fail(f"{path}: the name is not one of 0 and 1, joined by _")
        words = ["YES" if digit == "1" else "NO" for digit in path.stem.split("_")]
        utterances.append((f"speaker-{path.stem}", "speaker", path, words))
    if len(utterances) < 2:
        fail(f"{arguments.recordings} has no recordings (*.wav)")
    half = len(utterances) // 2
    write_folder(arguments.out / "train", "wav.scp", utterances[:half])
    write_folder(arguments.out / "test", "wav.scp", utterances[half:])
    write_lexicon(arguments.out / "lexicon.txt", {"YES": ["Y"], "NO": ["N"]})


if __name__ == "__main__":
    main()
