#!/usr/bin/env python3
"""Hadal's training speed against a peer's: the two run in turn, on the same cores, and the medians are compared.

usage: bench_against_peer.py [NETWORK...] [--runs N] [--devices D] [--threads T] [--seconds S] [--bf16]
       bench_against_peer.py [NETWORK...] --scaling [--divisions GxS...] [--runs N] [--devices D] ...

The peer is a script that takes `NETWORK --threads N --seconds S --json [--bf16]` and prints {"samples_per_second": ...}: the one that
HADAL_PEER names; for mlp, alexnet and lenet bench/peer_pytorch.py in the folder HADAL_SHARED (../shared unless set) where that is;
else tools/peer_pytorch.py. Each result becomes a line of bench/history.jsonl, with the peak resident sets.

--scaling compares Hadal with itself instead: D devices with one, and with D processes of one device each that run at the same
time, which is what the machine has to give. --divisions 1x2 2x1 2x2 measures these numbers of groups and of devices that hold one
model together instead, on the same cores.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
HADAL = ROOT / "build/release/hadal"
HISTORY = ROOT / "bench/history.jsonl"


def find_peer(network):
    named = os.environ.get("HADAL_PEER")
    if named:
        if not pathlib.Path(named).is_file():
            sys.exit(f"bench: HADAL_PEER: there is no file {named}")
        return pathlib.Path(named).resolve()
    shared = ROOT / os.environ.get("HADAL_SHARED", "../shared") / "bench/peer_pytorch.py"
    if network in ("mlp", "alexnet", "lenet") and shared.is_file():
        return shared.resolve()
    return ROOT / "tools/peer_pytorch.py"


class Run:
    """A benchmark that runs on these cores."""

    def __init__(self, command, cores):
        self.command = command
        self.out = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self.out,
                                      stderr=subprocess.STDOUT, preexec_fn=lambda: os.sched_setaffinity(0, cores))

    def result(self):
        """Its samples per second and its peak resident set in MB, when it has ended."""
        _, status, usage = os.wait4(self.child.pid, 0)
        self.out.seek(0)
        text = self.out.read()
        lines = [line for line in text.splitlines() if line.startswith("{")]
        if status != 0 or not lines:
            sys.exit(f"bench: {self.command[0]} {self.command[1]} failed: {text.strip()}")
        return json.loads(lines[-1])["samples_per_second"], usage.ru_maxrss * 1024 / 1e6


def run(command, cores):
    return Run(command, cores).result()


def describe(figures):
    return f"{statistics.median(figures):9.1f} samples/s ({min(figures):.1f} to {max(figures):.1f})"


def hadal_command(network, options, groups, split=1):
    devices = ",".join(f"cpu:{i}" for i in range(groups * split))
    command = [HADAL, "bench", "train", "--only", network, "--devices", devices, "--threads", options.threads,
               "--seconds", options.seconds, "--json"]
    if split > 1:
        command += ["--split", split, "--set", "exchange.topology=auto"]
    for setting in options.set + ["precision=bf16"] * options.bf16:
        command += ["--set", setting]
    return command


def ratio_of(figures, others):
    ratios = [figure / other for figure, other in zip(figures, others)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def measure_scaling(network, options, cores):
    """Prints what each division reaches, against one device and against as many processes as there are cores for."""
    shares = [cores[i * options.threads:(i + 1) * options.threads] for i in range(options.devices)]
    one, processes, divided = [], [], {division: [] for division in options.divisions}
    for _ in range(options.runs):
        one.append(run(hadal_command(network, options, 1), shares[0])[0])
        for (groups, split), figures in divided.items():
            figures.append(run(hadal_command(network, options, groups, split), cores)[0])
        together = [Run(hadal_command(network, options, 1), share) for share in shares]
        processes.append(sum(each.result()[0] for each in together))
    print(f"{network}: one device {describe(one)}")
    print(f"{network}: {options.devices} processes {describe(processes)}: {ratio_of(processes, one)} of one device")
    for (groups, split), figures in divided.items():
        print(f"{network}: {groups} x {split} {describe(figures)}: {ratio_of(figures, one)} of one device, "
              f"{ratio_of(figures, processes)} of {options.devices} processes")
    sys.stdout.flush()


def measure(network, options, cores):
    """Alternates the two; returns (samples per second, MB) of each run of each."""
    ours = hadal_command(network, options, options.devices)
    theirs = [sys.executable, find_peer(network), network, "--threads", options.devices * options.threads,
              "--seconds", options.seconds, "--json"] + ["--bf16"] * options.bf16
    hadal, peer = [], []
    for _ in range(options.runs):
        hadal.append(run(ours, cores))
        peer.append(run(theirs, cores))
    return hadal, peer


def division(text):
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text}: groups x split, for example 2x2")
    return int(match[1]), int(match[2])


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def record(network, options, hadal, peer, ratio):
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    line = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "--short", "HEAD"),
        "changed": bool(git("status", "--porcelain")),
        "machine": model[1] if model else "unknown",
        "bench": network,
        "devices": options.devices,
        "threads": options.threads,
        "set": options.set,
        "precision": "bf16" if options.bf16 else "fp32",
        "seconds": options.seconds,
        "samples_per_second": [round(figure, 1) for figure, _ in hadal],
        "peer_samples_per_second": [round(figure, 1) for figure, _ in peer],
        "ratio": round(ratio, 4),
        "peak_mb": round(max(size for _, size in hadal), 1),
        "peer_peak_mb": round(max(size for _, size in peer), 1),
    }
    HISTORY.parent.mkdir(exist_ok=True)
    with open(HISTORY, "a") as file:
        file.write(json.dumps(line) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["mlp", "alexnet", "lenet", "vgg", "wide_mlp", "residual"], metavar="NETWORK")
    parser.add_argument("--runs", type=int, default=5, help="of each, in turn (5)")
    parser.add_argument("--devices", type=int, default=1, help="Hadal's cpu devices (1)")
    parser.add_argument("--threads", type=int, default=1, help="cores of each device; the peer gets devices x threads (1)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of Hadal's jobs")
    parser.add_argument("--divisions", nargs="+", type=division, metavar="GxS", help="with --scaling: groups x split (Dx1)")
    parser.add_argument("--scaling", action="store_true", help="Hadal on D devices against one, and against D processes")
    parser.add_argument("--bf16", action="store_true", help="both in bf16: precision: bf16 against torch.autocast")
    options = parser.parse_args()
    for name in ("runs", "devices", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    if any(setting.startswith("precision") for setting in options.set):
        parser.error("--set precision is for one side only: use --bf16")
    if options.divisions and not options.scaling:
        parser.error("--divisions is for --scaling")
    options.divisions = options.divisions or [(options.devices, 1)]
    available = sorted(os.sched_getaffinity(0))
    wanted = options.devices * options.threads
    if wanted > len(available):
        parser.error(f"{options.devices} devices of {options.threads} cores need {wanted} cores; this machine has {len(available)}")
    cores = available[:wanted]

    for network in options.networks:
        if options.scaling:
            measure_scaling(network, options, cores)
            continue
        hadal, peer = measure(network, options, cores)
        ours, theirs = [figure for figure, _ in hadal], [figure for figure, _ in peer]
        ratio = statistics.median(ours) / statistics.median(theirs)
        pairs = [a / b for a, b in zip(ours, theirs)]
        print(f"{network}: hadal {describe(ours)}, {max(size for _, size in hadal):.0f} MB")
        print(f"{network}: peer  {describe(theirs)}, {max(size for _, size in peer):.0f} MB")
        print(f"{network}: ratio of the medians {ratio:.3f} (of the pairs: {min(pairs):.3f} to {max(pairs):.3f})")
        sys.stdout.flush()
        record(network, options, hadal, peer, ratio)


if __name__ == "__main__":
    main()
