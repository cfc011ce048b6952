"""What the preparing scripts share: data folders as Kaldi has them, and lexicons."""
import os
import pathlib
import sys

# In the phones of the CMU dictionary.
DIGITS = {
    "ZERO": ["Z IH R OW", "Z IY R OW"],
    "ONE": ["W AH N"],
    "TWO": ["T UW"],
    "THREE": ["TH R IY"],
    "FOUR": ["F AO R"],
    "FIVE": ["F AY V"],
    "SIX": ["S IH K S"],
    "SEVEN": ["S EH V AH N"],
    "EIGHT": ["EY T"],
    "NINE": ["N AY N"],
}


def fail(message):
    """Input is wrong: one line, and the exit code that hadal has for it."""
    print(f"{pathlib.Path(sys.argv[0]).name}: {message}", file=sys.stderr)
    sys.exit(2)


def write_folder(folder, index, utterances):
    """A data folder; `index` is wav.scp or feats.scp, an utterance (id, speaker, file, words). Files are named from there."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    utterances = sorted(utterances)
    ids = [utterance[0] for utterance in utterances]
    for before, after in zip(ids, ids[1:]):
        if before == after:
            fail(f"the utterance {after} is there twice")
    rows = {
        index: [f"{name} {os.path.relpath(file, folder)}" for name, _, file, _ in utterances],
        "text": [" ".join([name, *words]) for name, _, _, words in utterances],
        "utt2spk": [f"{name} {speaker}" for name, speaker, _, _ in utterances],
    }
    for name, lines in rows.items():
        (folder / name).write_text("".join(line + "\n" for line in lines))
    words = sum(len(words) for _, _, _, words in utterances)
    speakers = len({speaker for _, speaker, _, _ in utterances})
    print(f"{folder}: {len(utterances)} utterances of {speakers} speaker{'s' * (speakers != 1)}, {words} words")


def write_lexicon(path, pronunciations):
    """A line for each way to say a word: the word, then its phones. `pronunciations`: word -> list of phones in one text."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{word} {phones}\n" for word in sorted(pronunciations) for phones in pronunciations[word]))
    print(f"{path}: {len(pronunciations)} words")
