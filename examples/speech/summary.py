#!/usr/bin/env python3
"""The word errors of runs, a line each, and their mean.

usage: summary.py RUN [RUN ...]
"""
import argparse
import json
import pathlib


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS)
    parser.add_argument("runs", nargs="+", type=pathlib.Path)
    runs = parser.parse_args().runs
    rates = {"gmm": [], "network": []}
    wrong = {"gmm": 0, "network": 0}
    words = 0
    print(f"{'run':<24} {'gmm':>8} {'network':>8}   words wrong")
    for run in runs:
        test = json.loads((run / "results.json").read_text())["test"]
        for model, score in test.items():
            rates[model].append(100 * score["word_error_rate"])
            wrong[model] += score["errors"]
        words += test["gmm"]["words"]
        print(f"{run.name:<24} {rates['gmm'][-1]:>6.2f} % {rates['network'][-1]:>6.2f} %   {test['gmm']['errors']} and {test['network']['errors']} of {test['gmm']['words']}")
    mean = {model: sum(each) / len(each) for model, each in rates.items()}
    print(f"{'mean':<24} {mean['gmm']:>6.2f} % {mean['network']:>6.2f} %   {wrong['gmm']} and {wrong['network']} of {words}")
    if wrong["gmm"] > 0:
        print(f"the network makes {100 * (1 - wrong['network'] / wrong['gmm']):.1f} % fewer word errors")


if __name__ == "__main__":
    main()
