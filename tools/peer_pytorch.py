#!/usr/bin/env python3
"""Training throughput of PyTorch on any network of `hadal bench train`, from the job that Hadal itself prints.

usage: peer_pytorch.py NETWORK [--threads N] [--seconds S] [--bf16] [--json]

A step is forward, loss, backward and SGD with the job's momentum and weight decay, on random data already in memory. Images are
tried in both of PyTorch's layouts, and the faster one is told. The environment is the one that is best for PyTorch (see `tuned`).
Needs python3-torch (Debian), and build/release/hadal.
"""
import argparse
import glob
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def tuned(threads):
    """OpenBLAS picks its kernels itself, memory that is freed is kept, and only OpenMP makes threads."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
    keep = 1 << 34
    environment |= {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "HADAL_PEER_TUNED": "1",
                    "GLIBC_TUNABLES": f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold={keep}:glibc.malloc.trim_threshold={keep}"}
    folders = glob.glob("/usr/lib/*/openblas-openmp")
    if threads > 1 and folders:
        environment["LD_LIBRARY_PATH"] = folders[0]
    return environment


def measure(job, seconds, memory_format, bf16):
    import torch
    import torch.nn.functional as F
    from make_pytorch_fixtures import forward, initial_parameters

    torch.manual_seed(0)
    batch, classes = job["data"]["batch"], job["data"]["train"]["synthetic"]["classes"]
    images = len(job["network"]["input"]) == 3

    def place(tensor):
        return tensor.contiguous(memory_format=memory_format) if images and tensor.dim() == 4 else tensor

    parameters = {name: place(value.float()).requires_grad_(True) for name, value in initial_parameters(job).items()}
    data, labels = place(torch.randn(batch, *job["network"]["input"])), torch.randint(0, classes, (batch,))
    sgd = job["solver"]["rule"]["sgd"]
    optimizer = torch.optim.SGD(parameters.values(), lr=sgd["rate"], momentum=sgd["momentum"], weight_decay=sgd["weight_decay"])

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = forward(job, parameters, data)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    for _ in range(3):
        step()
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step()
        steps += 1
    return steps * batch / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "HADAL_PEER_TUNED" not in os.environ:
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=tuned(options.threads)).returncode)

    import torch
    torch.set_num_threads(options.threads)
    printed = subprocess.run([ROOT / "build/release/hadal", "bench", "train", "--only", options.network, "--jobs"],
                             capture_output=True, text=True, check=True).stdout
    job = json.loads(printed)
    formats = [torch.contiguous_format] + [torch.channels_last] * (len(job["network"]["input"]) == 3)
    best = max(measure(job, options.seconds / len(formats), memory_format, options.bf16) for memory_format in formats)
    result = {"peer": "pytorch " + torch.__version__, "bench": options.network, "threads": options.threads,
              "batch": job["data"]["batch"], "precision": "bf16" if options.bf16 else "fp32", "samples_per_second": best}
    print(json.dumps(result) if options.json else f"{options.network}: {best:.1f} samples/s")


if __name__ == "__main__":
    main()
