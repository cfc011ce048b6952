#!/usr/bin/env python3
"""Words said alone by the voices of two synthesisers, to be trained on beside recordings of few speakers (data.extra).

usage: prepare_voices.py LEXICON --out FOLDER [--seed 1]

Writes FOLDER, a data folder: each of 26 voices of espeak-ng says each word of the dictionary once, and each of the five of flite,
which are made of recordings of four persons, four times. Speed and pitch are drawn (rms has one pitch). Words are read as English
ones; those that no one says (<UNK>, [NOISE]) are passed over. The same seed and the same synthesisers give the same files.
"""
import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import subprocess

from kaldi_folder import fail, write_folder

ACCENTS = ["en-us", "en-gb"]
SPEAKERS = [f"m{i}" for i in range(1, 9)] + [f"f{i}" for i in range(1, 6)]
PERSONS = ["kal", "kal16", "awb", "rms", "slt"]
TIMES = 4  # that each of them says a word


def planned_utterances(words, seed):
    """Name, speaker, command and word of each."""
    draw = random.Random(seed)
    planned = []
    for accent in ACCENTS:
        for speaker in SPEAKERS:
            for word in words:
                settings = ["-s", str(draw.randint(110, 200)), "-p", str(draw.randint(25, 75))]
                planned.append((f"espeak-{accent}-{speaker}", ["espeak-ng", "-v", f"{accent}+{speaker}", *settings, word.lower(), "-w"], word))
    for person in PERSONS:
        for word in words * TIMES:
            settings = ["--setf", f"duration_stretch={draw.uniform(0.8, 1.3):.2f}", "--setf", f"int_f0_target_mean={draw.uniform(85, 180):.0f}"]
            planned.append((f"flite-{person}", ["flite", "-voice", person, *settings, "-t", word.lower(), "-o"], word))
    return [(f"{speaker}-{i:05}", speaker, command, word) for i, (speaker, command, word) in enumerate(planned)]


def check_synthesisers():
    missing = [program for program in ("espeak-ng", "flite") if shutil.which(program) is None]
    if missing:
        fail(f"{' and '.join(missing)}: not installed; on Debian and Ubuntu: sudo apt-get install {' '.join(missing)}")
    # Both say what they are told with another voice where they have not the one that is named.
    for program, listing, names in (("flite", ["flite", "-lv"], PERSONS), ("espeak-ng", ["espeak-ng", "--voices=variant"], SPEAKERS)):
        known = re.findall(r"[\w.-]+", subprocess.run(listing, capture_output=True, text=True).stdout)
        lacking = [name for name in names if name not in known]
        if lacking:
            fail(f"{program} has no voice {', '.join(lacking)} here")


def words_of(lexicon):
    try:
        lines = lexicon.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        fail(f"{lexicon}: {getattr(error, 'strerror', None) or error}")
    names = {re.sub(r"(?<=.)\(\d+\)$", "", line.split()[0]) for line in lines if line.strip() and not line.startswith(("#", ";;;"))}
    words = sorted(name for name in names if name[0].isalnum())
    if not words:
        fail(f"{lexicon} has no words")
    return words


def say(command, path):
    path.unlink(missing_ok=True)
    result = subprocess.run([*command, str(path)], capture_output=True, text=True)
    if result.returncode != 0 or not path.is_file() or path.stat().st_size < 1000:
        raise RuntimeError(f"no speech from: {' '.join(command)}: {result.stderr.strip() or 'it says nothing'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    parser.add_argument("lexicon", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    check_synthesisers()
    words = words_of(arguments.lexicon)
    folder = arguments.out / "wav"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"{folder}: {error.strerror}")
    planned = planned_utterances(words, arguments.seed)
    try:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda plan: say(plan[2], folder / f"{plan[0]}.wav"), planned))
    except RuntimeError as error:
        fail(error)
    write_folder(arguments.out, "wav.scp", [(name, speaker, folder / f"{name}.wav", [word]) for name, speaker, _, word in planned])


if __name__ == "__main__":
    main()
