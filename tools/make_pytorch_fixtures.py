#!/usr/bin/python3
"""Writes what PyTorch computes, for tests to compare with: src/testing/fixtures/pytorch_*.json.

    tools/make_pytorch_fixtures.py [FOLDER]

Needs python3-torch (Debian) and nothing else; the files are committed, so tests need neither. Inputs are fp32 numbers,
results are computed in double precision. Arrays are flat and row-major.

pytorch_ops.json       for each kind of operator a list of cases: its options, inputs, results, and gradients
pytorch_training.json  small networks: the job, the parameters, and for each of five steps the batch, the loss, the
                       gradients (before clipping and weight decay), their norm, and the parameters after the update
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(20140612)


def random(*shape):
    """Normal numbers that fp32 holds exactly, in double precision."""
    return torch.randn(*shape).double()


def pixels(*shape):
    """Short numbers in [0, 1]."""
    return torch.randint(0, 17, shape).double() / 16


def number(value):
    """To nine digits, which is all of an fp32 number."""
    return float("%.9g" % value)


def flat(tensor):
    if tensor.dtype == torch.int64:
        return tensor.flatten().tolist()
    return [number(value) for value in tensor.detach().flatten().tolist()]


def with_gradients(function, **inputs):
    """Arrays of one case: `inputs` by name, destination, diff_destination, and diff_NAME for each input."""
    leaves = {name: tensor.clone().requires_grad_(True) for name, tensor in inputs.items()}
    destination = function(**leaves)
    diff = random(*destination.shape)
    destination.backward(diff)
    arrays = {name: flat(tensor) for name, tensor in inputs.items()}
    arrays.update(destination=flat(destination), diff_destination=flat(diff))
    arrays.update({"diff_" + name: flat(tensor.grad) for name, tensor in leaves.items()})
    return arrays


# ---- operators


def conv(name, batch, channels, height, width, out, kernel, stride=1, pad=0, groups=1):
    arrays = with_gradients(
        lambda source, weight, bias: F.conv2d(source, weight, bias, stride, pad, 1, groups),
        source=random(batch, channels, height, width),
        weight=random(out, channels // groups, kernel, kernel),
        bias=random(out))
    return dict(name=name, batch=batch, channels=channels, height=height, width=width, out=out, kernel=kernel,
                stride=stride, pad=pad, groups=groups, arrays=arrays)


def pool(name, kind, batch, channels, height, width, kernel, stride, pad=0, ceil=False):
    def max_pool(source):
        return F.max_pool2d(source, kernel, stride, pad, 1, ceil)

    def average_pool(source):
        return F.avg_pool2d(source, kernel, stride, pad, ceil, count_include_pad=False)

    function = max_pool if kind == "max" else average_pool
    source = random(batch, channels, height, width)
    out_height, out_width = function(source).shape[2:]
    return dict(name=name, kind=kind, batch=batch, channels=channels, height=height, width=width, kernel=kernel,
                stride=stride, pad=pad, out_height=out_height, out_width=out_width,
                arrays=with_gradients(function, source=source))


def lrn(name, batch, channels, pixels, size, alpha, beta, k):
    with torch.random.fork_rng():  # cases after this one keep their numbers
        torch.manual_seed(size)
        arrays = with_gradients(lambda source: F.local_response_norm(source, size, alpha, beta, k),
                                source=random(batch, channels, pixels) * 2)
    return dict(name=name, batch=batch, channels=channels, pixels=pixels, size=size, alpha=alpha, beta=beta, k=k, arrays=arrays)


def activation(kind, batch, elements):
    function = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}[kind]
    arrays = with_gradients(lambda source: function(source), source=random(batch, elements) * 2)
    return dict(name=kind, kind=kind, batch=batch, elements=elements, arrays=arrays)


def fully_connected(name, batch, inputs, outputs):
    arrays = with_gradients(
        lambda source, weight, bias: F.linear(source, weight, bias),
        source=random(batch, inputs),
        weight=random(outputs, inputs),
        bias=random(outputs))
    return dict(name=name, batch=batch, inputs=inputs, outputs=outputs, arrays=arrays)


def cross_entropy(name, batch, classes, deviation):
    logits = (random(batch, classes) * deviation).float().double().requires_grad_(True)
    labels = torch.randint(0, classes, (batch,))
    F.cross_entropy(logits, labels).backward()
    loss = F.cross_entropy(logits, labels, reduction="none")
    arrays = dict(logits=flat(logits), labels=flat(labels), loss=flat(loss), diff_logits=flat(logits.grad),
                  probabilities=flat(F.softmax(logits, 1)))
    return dict(name=name, batch=batch, classes=classes, arrays=arrays)


def operators():
    return dict(
        conv=[
            conv("plain", 2, 3, 5, 6, 4, 3),
            conv("stride and pad", 2, 2, 7, 6, 3, 3, stride=2, pad=1),
            conv("groups", 2, 4, 5, 4, 6, 3, pad=1, groups=2),
            conv("depthwise, stride > kernel", 1, 3, 8, 8, 3, 2, stride=3, groups=3),
        ],
        pool=[
            pool("max 2x2", "max", 2, 2, 6, 4, 2, 2),
            pool("max overlapping", "max", 1, 3, 7, 7, 3, 2),
            pool("max overlapping, ceil", "max", 2, 2, 8, 6, 3, 2, ceil=True),
            pool("max padded, ceil", "max", 1, 2, 6, 7, 3, 2, pad=1, ceil=True),
            pool("average padded", "average", 2, 2, 5, 6, 3, 2, pad=1),
            pool("average padded, ceil", "average", 1, 2, 6, 7, 3, 2, pad=1, ceil=True),
            pool("average ceil", "average", 1, 2, 5, 5, 2, 2, ceil=True),
        ],
        activation=[activation(kind, 3, 11) for kind in ("relu", "sigmoid", "tanh")],
        fully_connected=[fully_connected("odd", 3, 7, 5), fully_connected("one sample", 1, 4, 6)],
        cross_entropy=[cross_entropy("ten classes", 6, 10, 1), cross_entropy("large logits", 5, 7, 100)],
        lrn=[lrn("size 5", 2, 7, 6, 5, 0.5, 0.75, 2), lrn("even size", 2, 6, 5, 4, 0.5, 0.75, 1),
             lrn("past the channels", 1, 3, 4, 9, 0.25, 0.5, 1)],
    )


# ---- training


def network_layers(layers):
    """(name, type, inputs, options) of each layer of a job, named as job.yaml says."""
    counts, previous = {}, "input"
    for layer in layers:
        kind, options = (layer, {}) if isinstance(layer, str) else next(iter(layer.items()))
        counts[kind] = counts.get(kind, 0) + (0 if "name" in options else 1)
        name = options.get("name", kind + str(counts[kind]))
        yield name, kind, options.get("from", [previous]), options
        previous = name


def initial_parameters(job):
    """Parameters by name, found by running zeros through the layers."""
    parameters = {}
    activations = {"input": torch.zeros(1, *job["network"]["input"]).double()}
    for name, kind, inputs, options in network_layers(job["network"]["layers"]):
        source = activations[inputs[0]]
        if kind == "conv":
            shape = (options["out"], source.shape[1] // options.get("groups", 1), options["kernel"], options["kernel"])
        elif kind == "fully_connected":
            shape = (options["out"], source[0].numel())
        if kind in ("conv", "fully_connected"):
            fan_in = torch.Size(shape[1:]).numel()
            parameters[name + ".weight"] = (torch.randn(*shape) / fan_in ** 0.5).double()
            parameters[name + ".bias"] = (torch.randn(shape[0]) * 0.1).double()
        if kind == "batch_norm":
            for part, start in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_variance", 1)):
                parameters[name + "." + part] = torch.full((source.shape[1],), float(start)).double()
        activations[name] = forward_layer(name, kind, [activations[i] for i in inputs], options, parameters)
    return parameters


def forward_layer(name, kind, sources, options, parameters):
    x = sources[0]
    if kind == "conv":
        return F.conv2d(x, parameters[name + ".weight"], parameters[name + ".bias"], options.get("stride", 1),
                        options.get("pad", 0), 1, options.get("groups", 1))
    if kind == "fully_connected":
        return F.linear(x.flatten(1), parameters[name + ".weight"], parameters[name + ".bias"])
    if kind == "batch_norm":
        running, learned = ([parameters[name + "." + part] for part in parts]
                            for parts in (("running_mean", "running_variance"), ("weight", "bias")))
        if len(x) == 1:  # only shapes are asked for
            return x
        return F.batch_norm(x, *running, *learned, True, options["momentum"], options["epsilon"])
    window = (options.get("kernel"), options.get("stride"), options.get("pad", 0))
    if kind == "max_pool":
        return F.max_pool2d(x, *window, 1, options.get("ceil", False))
    if kind == "average_pool":
        return F.avg_pool2d(x, *window, options.get("ceil", False), count_include_pad=False)
    if kind == "lrn":
        return F.local_response_norm(x, options["size"], options["alpha"], options["beta"], options["k"])
    if kind == "dropout":
        return F.dropout(x, options["p"])
    if kind == "flatten":
        return x.flatten(1)
    if kind == "concat":
        return torch.cat(sources, 1)
    if kind == "add":
        return sum(sources[1:], sources[0])
    return {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}[kind](x)


def forward(job, parameters, inputs):
    activations = {"input": inputs}
    for name, kind, sources, options in network_layers(job["network"]["layers"]):
        activations[name] = forward_layer(name, kind, [activations[s] for s in sources], options, parameters)
    return activations[name]


def training(name, job, classes, batch=4, steps=5):
    parameters = initial_parameters(job)
    case = dict(name=name, job=job, batch=batch, initial={key: flat(value) for key, value in parameters.items()},
                shapes={key: list(value.shape) for key, value in parameters.items()}, steps=[])
    learned = [value.requires_grad_(True) for key, value in parameters.items() if ".running_" not in key]
    sgd = job["solver"]["rule"]["sgd"]
    clip_norm = job["solver"]["clip_norm"]
    optimizer = torch.optim.SGD(learned, lr=sgd["rate"], momentum=sgd["momentum"],
                                weight_decay=sgd["weight_decay"])
    for _ in range(steps):
        inputs = pixels(batch, *job["network"]["input"])
        labels = torch.randint(0, classes, (batch,))
        optimizer.zero_grad()
        loss = F.cross_entropy(forward(job, parameters, inputs), labels)
        loss.backward()
        gradients = {key: flat(value.grad) for key, value in parameters.items() if value.requires_grad}
        limit = float("inf") if clip_norm == "none" else clip_norm
        norm = torch.nn.utils.clip_grad_norm_(learned, limit)
        optimizer.step()
        case["steps"].append(dict(inputs=flat(inputs), labels=flat(labels), loss=number(loss.item()),
                                  gradients=gradients, norm=number(norm.item()),
                                  parameters={key: flat(value) for key, value in parameters.items()}))
    return case


def solver(rate, clip_norm="none"):
    return {"rule": {"sgd": {"rate": rate, "momentum": 0.9, "weight_decay": 0.0005}}, "clip_norm": clip_norm}


def trainings():
    chain = {"input": [1, 8, 8],
             "layers": [{"conv": {"out": 3, "kernel": 3}}, {"max_pool": {"kernel": 2, "stride": 2}},
                        {"conv": {"out": 4, "kernel": 2, "groups": 1}}, "tanh", {"fully_connected": {"out": 7}}, "relu",
                        {"fully_connected": {"out": 5}}]}
    dag = {"input": [2, 7, 7],
           "layers": [{"conv": {"name": "a", "out": 4, "kernel": 3, "pad": 1}},
                      {"conv": {"name": "b", "out": 4, "kernel": 1, "from": ["input"]}},
                      {"add": {"name": "both", "from": ["a", "b"]}},
                      {"relu": {"name": "r"}},
                      {"conv": {"name": "c", "out": 2, "kernel": 3, "pad": 1, "groups": 2}},
                      {"concat": {"name": "joint", "from": ["c", "r", "input"]}},
                      {"max_pool": {"kernel": 3, "stride": 2, "ceil": True}},
                      {"average_pool": {"kernel": 2, "stride": 1, "pad": 1}},
                      "sigmoid",
                      {"fully_connected": {"out": 3}}]}
    normalised = {"input": [2, 6, 6],
                  "layers": [{"conv": {"out": 4, "kernel": 3, "pad": 1}},
                             {"batch_norm": {"momentum": 0.1, "epsilon": 1e-05}}, "relu",
                             {"max_pool": {"kernel": 2, "stride": 2}}, {"fully_connected": {"out": 8}},
                             {"batch_norm": {"momentum": 0.3, "epsilon": 0.01}}, "tanh", {"fully_connected": {"out": 4}}]}
    return [training("chain", {"network": chain, "solver": solver(0.1)}, 5),
            training("chain, clipped", {"network": chain, "solver": solver(0.1, 0.5)}, 5),
            training("concat and add", {"network": dag, "solver": solver(0.01)}, 3),
            training("batch norm", {"network": normalised, "solver": solver(0.1)}, 4, batch=6)]


def rules():
    """Twelve updates by each rule, from gradients of very different sizes."""
    torch.manual_seed(20161220)
    cases = []

    def rule(name, kind, rate, make, **options):
        weights = torch.randn(9).requires_grad_(True)
        case = dict(name=name, kind=kind, rate=rate, initial=flat(weights), steps=[], **options)
        optimizer = make([weights])
        for _ in range(12):
            weights.grad = torch.randn(9) * torch.logspace(-3, 2, 9)
            gradient = flat(weights.grad)
            optimizer.step()
            case["steps"].append(dict(gradient=gradient, weights=flat(weights)))
        cases.append(case)

    optim = torch.optim
    rule("sgd", "sgd", 0.1, lambda p: optim.SGD(p, 0.1, weight_decay=0.01), weight_decay=0.01)
    rule("sgd with momentum", "sgd", 0.1, lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01), momentum=0.9,
         weight_decay=0.01)
    rule("nesterov", "nesterov", 0.1, lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
         momentum=0.9, weight_decay=0.01)
    rule("adagrad", "adagrad", 0.1, lambda p: optim.Adagrad(p, 0.1, weight_decay=0.01), weight_decay=0.01, epsilon=1e-10)
    rule("rmsprop", "rmsprop", 0.1, lambda p: optim.RMSprop(p, 0.1, weight_decay=0.01), weight_decay=0.01, beta2=0.99,
         epsilon=1e-8)
    rule("rmsprop with momentum", "rmsprop", 0.1, lambda p: optim.RMSprop(p, 0.1, momentum=0.9), momentum=0.9,
         beta2=0.99, epsilon=1e-8)
    rule("adam", "adam", 0.1, lambda p: optim.Adam(p, 0.1, weight_decay=0.01), weight_decay=0.01, beta1=0.9, beta2=0.999,
         epsilon=1e-8)
    rule("adamw", "adamw", 0.1, lambda p: optim.AdamW(p, 0.1, weight_decay=0.01), weight_decay=0.01, beta1=0.9,
         beta2=0.999, epsilon=1e-8)
    return cases


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "src/testing/fixtures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("pytorch_ops", operators()), ("pytorch_training", {"trainings": trainings()}),
                          ("pytorch_rules", {"rules": rules()})):
        path = folder / (name + ".json")
        path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
        print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
