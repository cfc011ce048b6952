#!/usr/bin/python3
"""Trains LeNet with PyTorch from given parameters and prints the loss of each step, to compare with Hadal's.

    tools/lenet_losses.py MODEL.safetensors IMAGES LABELS [--batch 64] [--rate 0.05] [--steps 100] [--momentum 0.9] [--decay 5e-4]
                          [--double]

IMAGES and LABELS are IDX files; samples come in the file's order, the last batch of an epoch may be shorter, pixels are
divided by 255. The model needs conv1, conv2, fully_connected1 and fully_connected2 (.weight, .bias) as in a run's
model.safetensors. Needs python3-torch (Debian).
"""

import argparse
import json
import struct

import numpy
import torch
import torch.nn.functional as F


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


def read_idx(path):
    """An array of bytes: two zeros, the type (8: unsigned bytes), the number of dimensions, each as big-endian u32."""
    with open(path, "rb") as file:
        zeros, kind, dimensions = struct.unpack(">HBB", file.read(4))
        if zeros != 0 or kind != 8:
            raise SystemExit(f"{path}: not an IDX file of unsigned bytes")
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
        return numpy.frombuffer(file.read(), numpy.uint8).reshape(shape)


def lenet(p, x):
    x = F.max_pool2d(F.conv2d(x, p["conv1.weight"], p["conv1.bias"]), 2, 2)
    x = F.max_pool2d(F.conv2d(x, p["conv2.weight"], p["conv2.bias"]), 2, 2)
    x = torch.relu(F.linear(x.flatten(1), p["fully_connected1.weight"], p["fully_connected1.bias"]))
    return F.linear(x, p["fully_connected2.weight"], p["fully_connected2.bias"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("images")
    parser.add_argument("labels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--decay", type=float, default=5e-4)
    parser.add_argument("--double", action="store_true", help="compute in double precision")
    arguments = parser.parse_args()
    dtype = torch.float64 if arguments.double else torch.float32

    parameters = {name: tensor.to(dtype).requires_grad_(True) for name, tensor in read_safetensors(arguments.model).items()}
    images, labels = read_idx(arguments.images), read_idx(arguments.labels)
    optimizer = torch.optim.SGD(parameters.values(), lr=arguments.rate, momentum=arguments.momentum,
                                weight_decay=arguments.decay)
    first = 0
    for _ in range(arguments.steps):
        last = min(first + arguments.batch, len(images))
        x = torch.tensor(images[first:last].astype(numpy.float32) / numpy.float32(255)).unsqueeze(1).to(dtype)
        y = torch.tensor(labels[first:last].astype(numpy.int64))
        optimizer.zero_grad()
        loss = F.cross_entropy(lenet(parameters, x), y)
        loss.backward()
        optimizer.step()
        print("%.9g" % loss.item(), flush=True)
        first = last if last < len(images) else 0


if __name__ == "__main__":
    main()
