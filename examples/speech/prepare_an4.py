#!/usr/bin/env python3
"""Data folders of CMU's AN4 (census), as its distribution has it: cepstra (feat/*/*.mfc), transcripts, a dictionary.

usage: prepare_an4.py AN4 --out FOLDER

Writes FOLDER/train and FOLDER/test, whose feats.scp names the .mfc files where they lie, and FOLDER/lexicon.txt.
The speaker is the folder that a file lies in.
"""
import argparse
import pathlib
import re

from kaldi_folder import fail, write_folder, write_lexicon


def read_part(an4, part):
    files = (an4 / f"etc/an4_{part}.fileids").read_text().split()
    lines = [line for line in (an4 / f"etc/an4_{part}.transcription").read_text().splitlines() if line.strip()]
    if len(files) != len(lines):
        fail(f"{an4}/etc: {len(files)} file ids and {len(lines)} transcripts of '{part}' are not one each")
    for file, line in zip(files, lines):
        speaker, name = pathlib.PurePosixPath(file).parts[-2:]
        words = line.split()
        if words.pop() != f"({name})":
            fail(f"{an4}/etc/an4_{part}.transcription: expected the transcript of {name}: {line}")
        path = an4 / "feat" / f"{file}.mfc"
        if not path.is_file():
            fail(f"there is no file {path}")
        yield f"{speaker}-{name}", speaker, path, [word for word in words if word not in ("<s>", "</s>", "<sil>")]


def read_dictionary(path):
    pronunciations = {}
    for line in path.read_text().splitlines():
        word, *phones = line.split() or [""]
        if phones:
            pronunciations.setdefault(re.sub(r"\(\d+\)$", "", word), []).append(" ".join(phones))
    return pronunciations


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    parser.add_argument("an4", type=pathlib.Path, help="the distribution's folder, with etc/ and feat/")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    if not (arguments.an4 / "etc/an4.dic").is_file():
        fail(f"{arguments.an4} is not the folder of AN4: it has no etc/an4.dic")
    for part in ("train", "test"):
        write_folder(arguments.out / part, "feats.scp", read_part(arguments.an4, part))
    write_lexicon(arguments.out / "lexicon.txt", read_dictionary(arguments.an4 / "etc/an4.dic"))


if __name__ == "__main__":
    main()
