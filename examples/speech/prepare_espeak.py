#!/usr/bin/env python3
"""Speech to begin with, made by espeak-ng: connected digits and commands, by many voices, of which some are for testing only.

usage: prepare_espeak.py --out FOLDER [--train 600] [--test 120] [--seed 1]

Writes FOLDER/wav, FOLDER/train and FOLDER/test with voices of their own, and FOLDER/lexicon.txt. An utterance has one to six words; its speed,
pitch and loudness are drawn. The same seed and the same espeak-ng give the same files.
"""
import argparse
import concurrent.futures
import os
import pathlib
import random
import shutil
import subprocess

from kaldi_folder import DIGITS, fail, write_folder, write_lexicon

COMMANDS = {
    "GO": ["G OW"],
    "STOP": ["S T AA P", "S T AO P"],
    "LEFT": ["L EH F T"],
    "RIGHT": ["R AY T"],
    "UP": ["AH P"],
    "DOWN": ["D AW N"],
    "YES": ["Y EH S"],
    "NO": ["N OW"],
    "LIGHT": ["L AY T"],
    "DOOR": ["D AO R"],
    "OPEN": ["OW P AH N"],
    "CLOSE": ["K L OW Z"],
}
# Accents and speakers of espeak-ng. Each accent is tested too, by speakers that are in no training utterance.
ACCENTS = ["en-us", "en-gb", "en-gb-x-rp"]
TRAIN_SPEAKERS = ["m1", "m2", "m4", "m5", "m6", "m7", "f1", "f2", "f4", "f5"]
TEST_SPEAKERS = ["m3", "f3"]


def draw_words(draw):
    """Mostly digits, as in telephone numbers; else commands, some with a number."""
    if draw.random() < 0.6:
        return draw.choices(list(DIGITS), k=draw.randint(1, 6))
    words = draw.choices(list(COMMANDS), k=draw.randint(1, 3))
    return words + draw.choices(list(DIGITS), k=draw.randint(0, 3))


def say(name, voice, words, seed, folder):
    draw = random.Random(f"{seed} {name}")
    path = folder / f"{name}.wav"
    settings = ["-s", str(draw.randint(130, 190)), "-p", str(draw.randint(30, 70)), "-a", str(draw.randint(60, 140))]
    settings += ["-g", str(draw.randint(0, 6))]  # pauses between words, of 10 ms
    result = subprocess.run(["espeak-ng", "-v", voice, *settings, "-w", str(path), " ".join(words).lower()], capture_output=True, text=True)
    if result.returncode != 0 or not path.is_file() or path.stat().st_size < 1000:
        raise RuntimeError(f"espeak-ng made no speech with the voice {voice}: {result.stderr.strip() or 'it says nothing'}")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--train", type=int, default=600, help="utterances to train on")
    parser.add_argument("--test", type=int, default=120, help="utterances to test on")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if shutil.which("espeak-ng") is None:
        fail("espeak-ng is not installed; on Debian and Ubuntu: sudo apt-get install espeak-ng")
    if arguments.train < 1 or arguments.test < 1:
        fail("--train and --test are at least 1")
    folder = arguments.out / "wav"
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(arguments.seed)
    for part, count, variants in (("train", arguments.train, TRAIN_SPEAKERS), ("test", arguments.test, TEST_SPEAKERS)):
        voices = [f"{accent}+{variant}" for variant in variants for accent in ACCENTS]
        planned = []
        for index in range(count):
            voice = voices[index % len(voices)]
            speaker = voice.replace("+", "-")
            planned.append((f"{speaker}-{index:05}", speaker, voice, draw_words(draw)))
        try:
            with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
                paths = list(pool.map(lambda plan: say(plan[0], plan[2], plan[3], arguments.seed, folder), planned))
        except RuntimeError as error:
            fail(error)
        write_folder(arguments.out / part, "wav.scp", [(name, speaker, path, words) for (name, speaker, _, words), path in zip(planned, paths)])
    write_lexicon(arguments.out / "lexicon.txt", {**DIGITS, **COMMANDS})


if __name__ == "__main__":
    main()
