#!/usr/bin/python3
"""Trains any network of a job with PyTorch, from given parameters on given batches, and prints the loss of each step.

    tools/network_losses.py MODEL.safetensors JOB.json BATCHES [--double]

JOB.json: the job as JSON, with every default and name (what `hadal bench train --jobs` prints). BATCHES: for each step its number of
rows (int32), then the samples (fp32), then the labels (int32). Needs python3-torch (Debian).
"""

import argparse
import json
import struct

import numpy
import torch
import torch.nn.functional as F

from make_pytorch_fixtures import forward


def read_safetensors(path):
    """Tensors by name: 8 bytes of header length, a JSON header, then the numbers (huggingface.co/docs/safetensors)."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        if entry["dtype"] != "F32":
            raise SystemExit(f"{path}: {name} is {entry['dtype']}, expected F32")
        begin, end = entry["data_offsets"]
        tensors[name] = torch.tensor(numpy.frombuffer(data[begin:end], "<f4").reshape(entry["shape"]))
    return tensors


def read_batches(path, shape):
    with open(path, "rb") as file:
        while count := file.read(4):
            rows = struct.unpack("<i", count)[0]
            elements = rows * int(numpy.prod(shape))
            samples = numpy.frombuffer(file.read(4 * elements), "<f4").reshape(rows, *shape)
            yield torch.tensor(samples), torch.tensor(numpy.frombuffer(file.read(4 * rows), "<i4").astype(numpy.int64))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("job")
    parser.add_argument("batches")
    parser.add_argument("--double", action="store_true", help="compute in double precision")
    arguments = parser.parse_args()
    dtype = torch.float64 if arguments.double else torch.float32

    with open(arguments.job) as file:
        job = json.load(file)
    parameters = {name: tensor.to(dtype).requires_grad_(True) for name, tensor in read_safetensors(arguments.model).items()}
    sgd = job["solver"]["rule"]["sgd"]
    optimizer = torch.optim.SGD(parameters.values(), lr=sgd["rate"], momentum=sgd["momentum"], weight_decay=sgd["weight_decay"])
    for samples, labels in read_batches(arguments.batches, job["network"]["input"]):
        optimizer.zero_grad()
        loss = F.cross_entropy(forward(job, parameters, samples.to(dtype)), labels)
        loss.backward()
        optimizer.step()
        print("%.9g" % loss.item(), flush=True)


if __name__ == "__main__":
    main()
