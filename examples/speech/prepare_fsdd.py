#!/usr/bin/env python3
"""Data folders of the Free Spoken Digit Dataset: each speaker in turn is left out of training and tested on.

usage: prepare_fsdd.py RECORDINGS --out FOLDER

RECORDINGS holds DIGIT_SPEAKER_INDEX.wav. Writes FOLDER/SPEAKER/train (all others) and FOLDER/SPEAKER/test for each speaker, and
FOLDER/lexicon.txt.
"""
import argparse
import pathlib
import re

from kaldi_folder import DIGITS, fail, write_folder, write_lexicon


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    parser.add_argument("recordings", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    utterances = []
    for path in arguments.recordings.glob("*.wav"):
        match = re.fullmatch(r"(\d)_(\w+)_(\d+)", path.stem)
        if match is None:
            fail(f"{path}: the name is not DIGIT_SPEAKER_INDEX.wav")
        digit, speaker, index = int(match[1]), match[2], int(match[3])
        utterances.append((f"{speaker}-{digit}-{index:03}", speaker, path, [list(DIGITS)[digit]]))
    if not utterances:
        fail(f"{arguments.recordings} has no *.wav")
    for left_out in sorted({speaker for _, speaker, _, _ in utterances}):
        folder = arguments.out / left_out
        write_folder(folder / "train", "wav.scp", [u for u in utterances if u[1] != left_out])
        write_folder(folder / "test", "wav.scp", [u for u in utterances if u[1] == left_out])
    write_lexicon(arguments.out / "lexicon.txt", DIGITS)


if __name__ == "__main__":
    main()
