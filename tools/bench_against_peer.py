#!/usr/bin/env python3
"""Hadal's training speed against a peer's: the two run in turn, on the same cores, and the medians are compared.

usage: bench_against_peer.py [NETWORK...] [--runs N] [--devices D] [--threads T] [--seconds S]

The peer is a script that takes `NETWORK --threads N --seconds S --json` and prints {"samples_per_second": ...}: the one that
HADAL_PEER names, or bench/peer_pytorch.py in the folder HADAL_SHARED (../shared unless set). Without it Hadal runs alone.
Each result becomes a line of bench/history.jsonl.
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

ROOT = pathlib.Path(__file__).resolve().parent.parent
HADAL = ROOT / "build/release/hadal"
HISTORY = ROOT / "bench/history.jsonl"


def find_peer():
    named = os.environ.get("HADAL_PEER")
    path = pathlib.Path(named) if named else ROOT / os.environ.get("HADAL_SHARED", "../shared") / "bench/peer_pytorch.py"
    if path.is_file():
        return path.resolve()
    if named:
        sys.exit(f"bench: HADAL_PEER: there is no file {named}")
    print("bench: no peer: bench/peer_pytorch.py is not in the folder HADAL_SHARED, and HADAL_PEER is not set; Hadal runs alone")
    return None


def samples_per_second(command, cores):
    """Runs a benchmark on these cores and returns the figure of its last JSON line."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, cores))
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0 or not lines:
        sys.exit(f"bench: {command[0]} {command[1]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return json.loads(lines[-1])["samples_per_second"]


def describe(figures):
    return f"{statistics.median(figures):9.1f} samples/s ({min(figures):.1f} to {max(figures):.1f})"


def measure(network, options, peer, cores):
    """Alternates the two; returns the figures of each."""
    devices = ",".join(f"cpu:{i}" for i in range(options.devices))
    ours = [HADAL, "bench", "train", "--only", network, "--devices", devices, "--threads", options.threads,
            "--seconds", options.seconds, "--json"]
    theirs = [sys.executable, peer, network, "--threads", options.devices * options.threads, "--seconds", options.seconds, "--json"]
    hadal_figures, peer_figures = [], []
    for _ in range(options.runs):
        hadal_figures.append(samples_per_second(ours, cores))
        if peer:
            peer_figures.append(samples_per_second(theirs, cores))
    return hadal_figures, peer_figures


def git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def record(network, options, hadal_figures, peer_figures, ratio):
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    line = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "--short", "HEAD"),
        "changed": bool(git("status", "--porcelain")),
        "machine": model[1] if model else "unknown",
        "bench": network,
        "devices": options.devices,
        "threads": options.threads,
        "seconds": options.seconds,
        "samples_per_second": hadal_figures,
    }
    if peer_figures:
        line |= {"peer_samples_per_second": peer_figures, "ratio": round(ratio, 4)}
    HISTORY.parent.mkdir(exist_ok=True)
    with open(HISTORY, "a") as file:
        file.write(json.dumps(line) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=["lenet", "mlp"], metavar="NETWORK")
    parser.add_argument("--runs", type=int, default=5, help="of each, in turn (5)")
    parser.add_argument("--devices", type=int, default=1, help="Hadal's cpu devices (1)")
    parser.add_argument("--threads", type=int, default=1, help="cores of each device; the peer gets devices x threads (1)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each run (3)")
    options = parser.parse_args()
    for name in ("runs", "devices", "threads"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be 1 or more")
    available = sorted(os.sched_getaffinity(0))
    wanted = options.devices * options.threads
    if wanted > len(available):
        parser.error(f"{options.devices} devices of {options.threads} cores need {wanted} cores; this machine has {len(available)}")
    cores = available[:wanted]

    peer = find_peer()
    for network in options.networks:
        hadal_figures, peer_figures = measure(network, options, peer, cores)
        print(f"{network}: hadal {describe(hadal_figures)}")
        ratio = None
        if peer_figures:
            ratio = statistics.median(hadal_figures) / statistics.median(peer_figures)
            pairs = [ours / theirs for ours, theirs in zip(hadal_figures, peer_figures)]
            print(f"{network}: peer  {describe(peer_figures)}")
            print(f"{network}: ratio of the medians {ratio:.3f} (of the pairs: {min(pairs):.3f} to {max(pairs):.3f})")
        sys.stdout.flush()
        record(network, options, hadal_figures, peer_figures, ratio)


if __name__ == "__main__":
    main()
