#!/usr/bin/env python3
"""Writes docs/adaptive_rates.md: adagrad by its owner's, approximate and full states, and plain SGD, on six devices.

usage: adaptive_rates.py [HADAL] > docs/adaptive_rates.md      HADAL: the command, build/release/hadal unless given

Trains on MNIST (tools/fetch_mnist fetches it into data/mnist where it is missing); takes some minutes.
"""
import array
import concurrent.futures
import json
import math
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
HADAL = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build/release/hadal")
MNIST = ROOT / "data/mnist"
ACOUSTIC = ROOT / "examples/acoustic_mlp.yaml"
SERVER = ROOT / "examples/machines/reference_server.yaml"

DEVICES, BATCH, EPOCHS, EVERY = 6, 240, 2, 10
TUNING_SEED, SEEDS = 1, (2, 3, 4)
SGD = "plain SGD"
OWNER, APPROXIMATE, FULL = (f"adagrad, {kind}" for kind in ("owner", "approximate", "full"))
# Five rates each, a factor of two apart.
RATES = {SGD: [0.16 * 2**i for i in range(5)]} | {rule: [0.005 * 2**i for i in range(5)] for rule in (OWNER, APPROXIMATE, FULL)}


def rule(name, rate):
    if name == SGD:
        return f"{{sgd: {{rate: {rate:g}}}}}"
    return f"{{adagrad: {{rate: {rate:g}, exchange: {name.split(', ')[1]}, average_every: {EVERY}}}}}"


def job(name, rate, seed, devices):
    def data(part):
        return f"{{idx: {{images: {MNIST}/{part}-images-idx3-ubyte, labels: {MNIST}/{part}-labels-idx1-ubyte}}}}"
    return f"""
name: adaptive
seed: {seed}
network:
  input: [1, 28, 28]
  layers: [fully_connected: {{out: 256}}, relu, fully_connected: {{out: 128}}, relu, fully_connected: {{out: 10}}]
data: {{train: {data("train")}, test: {data("t10k")}, batch: {BATCH}}}
solver: {{epochs: {EPOCHS}, rule: {rule(name, rate)}}}
checkpoint: {{every_steps: 250, keep: 1}}
parallel: {{devices: [{", ".join(f"fake:{d}" for d in range(devices))}]}}
exchange: {{topology: line}}
"""


def train(folder, name, rate, seed, devices=DEVICES):
    run = folder / f"{name}-{rate:g}-{seed}-{devices}".replace(", ", "-").replace(" ", "-")
    path = folder / f"{run.name}.yaml"
    path.write_text(job(name, rate, seed, devices))
    subprocess.run([HADAL, "train", path, "--out", run], check=True, capture_output=True)
    summary = json.loads((run / "summary.json").read_text())
    epochs = [line["test_loss"] for line in map(json.loads, (run / "metrics.jsonl").open()) if "test_loss" in line]
    return {"test": summary["test"], "exchange": summary["exchange"], "epochs": epochs, "run": run}


def squares(run):
    """The sums of squares in a run's last checkpoint, by parameter: the mean where each device has its own."""
    path = max((run / "checkpoints").iterdir())
    content = path.read_bytes()
    size, = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + size])
    result = {}
    for name, tensor in header.items():
        parameter, squares, _ = name.partition(".squares")
        if not squares:
            continue
        begin, end = tensor["data_offsets"]
        result.setdefault(parameter, []).append(array.array("f", content[8 + size + begin:8 + size + end]))
    return {parameter: [statistics.fmean(of_devices) for of_devices in zip(*states)] for parameter, states in result.items()}


def drift(exact, other):
    """Percentiles, over all parameters that learn at all, of what a step is divided by, against the exact one."""
    ratios = sorted(math.sqrt(b / a) for name in exact for a, b in zip(exact[name], other[name]) if a > 1e-12)
    return [ratios[int(share * (len(ratios) - 1))] for share in (0.05, 0.5, 0.95)]


def plan(name):
    """The acoustic model on the reference's server: the step, and what the states add."""
    command = [HADAL, "plan", ACOUSTIC, "--json", "--machine", SERVER, "--set", f"solver.rule={rule(name, 0.01)}",
               "--set", "exchange.content=gradients", "--set", "exchange.topology=line"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def mb(count):
    return f"{count / 1e6:,.2f} MB" if count else "0"


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def main():
    if not MNIST.exists():
        subprocess.run([ROOT / "tools/fetch_mnist", MNIST], check=True, stdout=sys.stderr)
    with tempfile.TemporaryDirectory() as temporary, concurrent.futures.ThreadPoolExecutor(2) as pool:
        folder = pathlib.Path(temporary)
        tuned = {name: list(pool.map(lambda rate, name=name: train(folder, name, rate, TUNING_SEED), rates))
                 for name, rates in RATES.items()}
        best = {name: min(range(5), key=lambda i, runs=runs: runs[i]["test"]["loss"]) for name, runs in tuned.items()}
        final = {name: list(pool.map(lambda seed, name=name: train(folder, name, RATES[name][best[name]], seed), SEEDS))
                 for name in RATES}
        rate = RATES[OWNER][best[OWNER]]
        exact = squares(train(folder, OWNER, rate, SEEDS[0])["run"])
        drifts = {(name, devices): drift(exact, squares(train(folder, name, rate, SEEDS[0], devices)["run"]))
                  for name in (APPROXIMATE, FULL) for devices in (2, DEVICES)}
        drifts[(OWNER, 2)] = drift(exact, squares(train(folder, OWNER, rate, SEEDS[0], 2)["run"]))

        print(f"""# Adaptive rates over devices

Made by `tools/adaptive_rates.py`. MNIST, a network of 784-256-128-10, batches of {BATCH} on {DEVICES} fake devices in a line, {EPOCHS} epochs.
Adagrad divides each parameter's step by the root of a sum of squares. Where is that sum, when the batch is spread over devices?

- `owner`: with the owner of each parameter, who has the whole batch's gradient anyway. Exact, and nothing more is exchanged. The default.
- `approximate`: on each device, of its own rows (`s += (g / share)^2`, `g` its part of the gradient and `share` its part of the batch); each
  device scales its gradient before it is added up, and every {EVERY} steps the sums become their mean. As the reference platform had it.
- `full`: the same, averaged after every step: the plain way where devices scale.

## What is exchanged

Bytes of a step over all links; `state_bytes_per_step` of summary.json is the last column.
""")
        print(row("rule", "gradients and parameters", "states"))
        print(row("---", "---", "---"))
        for name in RATES:
            exchange = final[name][0]["exchange"]
            print(row(name, mb(exchange["bytes_per_step"]), mb(exchange["state_bytes_per_step"])))
        states = {name: final[name][0]["exchange"]["state_bytes_per_step"] for name in RATES}
        print(f"\n`approximate` exchanges {states[FULL] / states[APPROXIMATE]:.1f} times less than `full`, and `owner` nothing at all.")
        assert states[OWNER] == states[SGD] == 0 and states[FULL] >= 10 * states[APPROXIMATE]

        print(f"""
The acoustic model of examples/acoustic_mlp.yaml on the reference's server, simulated (a line, gradients):
""")
        print(row("rule", "a step with all", "an average of the states", "its share of a step", "states, a step"))
        print(row("---", "---", "---", "---", "---"))
        for name in RATES:
            planned = plan(name)
            every = {APPROXIMATE: EVERY, FULL: 1}.get(name)
            average = planned["average_seconds"] * 1e3
            print(row(name, f"{planned['step_seconds'] * 1e3:.1f} ms", f"{average:.1f} ms" if every else "-",
                      f"{average / every:.1f} ms" if every else "-", mb(planned["state_bytes_per_step"])))

        print(f"""
## Loss and accuracy at equal tuning effort

Five rates each, a factor of two apart ({", ".join(f"{r:g}" for r in RATES[SGD])} for SGD, {", ".join(f"{r:g}" for r in RATES[OWNER])} for
adagrad), with seed {TUNING_SEED}; the one of the least test loss, again with seeds {", ".join(map(str, SEEDS))}: mean and range over these.
""")
        print(row("rule", "rate", "test loss", "test accuracy", *(f"epoch {e + 1}" for e in range(EPOCHS))))
        print(row(*["---"] * (4 + EPOCHS)))
        for name in RATES:
            losses = [run["test"]["loss"] for run in final[name]]
            accuracies = [100 * run["test"]["accuracy"] for run in final[name]]
            epochs = [statistics.mean(run["epochs"][e] for run in final[name]) for e in range(EPOCHS)]
            print(row(name, f"{RATES[name][best[name]]:g}",
                      f"{statistics.mean(losses):.4f} ({min(losses):.4f} to {max(losses):.4f})",
                      f"{statistics.mean(accuracies):.2f} % ({min(accuracies):.2f} to {max(accuracies):.2f})",
                      *(f"{loss:.4f}" for loss in epochs)))
        print("\nTest loss of every rate that was tried:\n")
        print(row("rule", *(f"rate {i + 1}" for i in range(5))))
        print(row(*["---"] * 6))
        for name in RATES:
            print(row(name, *(f"{run['test']['loss']:.4f}" for run in tuned[name])))

        print(f"""
## How far the approximate state drifts

What a step is divided by, `sqrt(s)`, at the end of a run at rate {rate:g} with seed {SEEDS[0]}, against the exact one of `owner`: 5th percentile, median
and 95th percentile over all parameters.
""")
        print(row("rule", "devices", "5 %", "median", "95 %"))
        print(row(*["---"] * 5))
        for (name, devices), shares in drifts.items():
            print(row(name, str(devices), *(f"{share:.2f}" for share in shares)))
        print(f"""
A device's own rows are a smaller sample, whose gradient is noisier: its squares are larger by the noise, the more so the more devices
share the batch. `owner` on two devices shows what training in another order of sums does by itself. Averaging after each step does
not mend that (`full`): the squares are of parts of the batch all the same. So the approximate states make smaller steps, which a larger
rate makes up for in part; and the state depends on the number of devices, which is why they are refused under `reproducible`.

An acoustic model, by frame and word errors: [results/adaptive_rates_speech.md](results/adaptive_rates_speech.md).
""", end="")


main()
