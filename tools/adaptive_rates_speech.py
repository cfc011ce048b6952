#!/usr/bin/env python3
"""Writes docs/results/adaptive_rates_speech.md: the rules of docs/adaptive_rates.md on an acoustic model, by frame and word errors.

usage: adaptive_rates_speech.py RECIPE [--hadal HADAL] > docs/results/adaptive_rates_speech.md

RECIPE is a recipe of `hadal speech train` (examples/speech/an4.yaml) whose data is there. Its features and Gaussian mixtures are made once;
a network is trained for each rule and rate, on six fake devices.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEVICES, EPOCHS, EVERY = 6, 4, 10
# Four rates each, a factor of three apart.
RATES = {"plain SGD": [0.03, 0.1, 0.3, 0.9]} | {f"adagrad, {kind}": [0.003, 0.01, 0.03, 0.1] for kind in ("owner", "approximate", "full")}


def rule(name, rate):
    if name == "plain SGD":
        return f"{{sgd: {{rate: {rate:g}}}}}"
    return f"{{adagrad: {{rate: {rate:g}, exchange: {name.split(', ')[1]}, average_every: {EVERY}}}}}"


def train(hadal, recipe, out, name, rate):
    settings = {"solver.rule": rule(name, rate), "solver.epochs": EPOCHS, "network.realign": 0, "reproducible": "false",
                "exchange.topology": "line"}
    command = [hadal, "speech", "train", recipe, "--out", out, "--json", "--devices", ",".join(f"fake:{d}" for d in range(DEVICES))]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    print(f"{name}, {rate:g}", file=sys.stderr)
    results = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    results["exchange"] = json.loads((out / "network/summary.json").read_text())["exchange"]
    return results


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def percent(share):
    return f"{100 * share:.2f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", type=pathlib.Path)
    parser.add_argument("--hadal", default=str(ROOT / "build/release/hadal"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = pathlib.Path(temporary) / "run"
        runs = {name: [train(arguments.hadal, arguments.recipe, out, name, rate) for rate in rates] for name, rates in RATES.items()}

    print(f"""# Adaptive rates on an acoustic model

Made by `tools/adaptive_rates_speech.py {arguments.recipe}`; [adaptive_rates.md](../adaptive_rates.md) says what the rules are. The network
of the recipe, {EPOCHS} epochs on {DEVICES} fake devices in a line, not aligned anew. Four rates each, a factor of three apart; the one of the least
frame error on the held-out speakers is shown. Of some hundred words so few are wrong that their rates do not tell the rules apart; frames do.
""")
    print(row("rule", "rate", "held-out frame error", "held-out WER", "test WER", "states exchanged a step"))
    print(row(*["---"] * 6))
    for name, results in runs.items():
        best = min(range(len(results)), key=lambda i, results=results: results[i]["held_out"]["frame_error"])
        found = results[best]
        print(row(name, f"{RATES[name][best]:g}", percent(found["held_out"]["frame_error"]),
                  *(percent(found[part]["network"]["word_error_rate"]) for part in ("held_out", "test")),
                  f"{found['exchange']['state_bytes_per_step'] / 1e6:,.2f} MB"))
    print("\nEvery rate that was tried: held-out frame error, held-out WER:\n")
    print(row("rule", *["rate: errors"] * 4))
    print(row(*["---"] * 5))
    for name, results in runs.items():
        print(row(name, *(f"{rate:g}: {percent(found['held_out']['frame_error'])}, {percent(found['held_out']['network']['word_error_rate'])}"
                          for rate, found in zip(RATES[name], results))))


main()
