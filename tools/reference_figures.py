#!/usr/bin/env python3
"""Writes docs/reference_figures.md: the reference platform's speed-up on six cards, simulated, beside the published one.

usage: reference_figures.py [HADAL] > docs/reference_figures.md      HADAL: the command, build/release/hadal unless given

Fails where the simulator is more than 3 % from the page's formulas on equal layers, or 10 % on the acoustic model's.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
HADAL = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / "build/release/hadal")
ACOUSTIC = ROOT / "examples/acoustic_mlp.yaml"
SERVER = ROOT / "examples/machines/reference_server.yaml"
ALEXNET = ROOT / "examples/alexnet.yaml"

CARDS = 6
FLOPS, PORT, MEMORY = 2.1e12, 6e9, 150e9
IOH = (4.5e9, 3e9)
FRAMES = (2048, 1024, 512, 256)
INSTANT = 1e18
PUBLISHED = 4.6
EQUAL = (24, 48)  # layers of the models of small pieces; the last must be near the formulas

# AlexNet on four cards: images a second of one card, and of a batch; groups x split, and the published speed-up.
IMAGES, IMAGE_BATCH, IMAGE_IOH = 170, 128, 3e9
DIVISIONS = ((1, 2, 1.71), (2, 1, 1.85), (2, 2, 2.52), (4, 1, 2.67))


def link(a, b, speed):
    return f"  - {{between: [{a}, {b}], bytes_per_second: {speed:g}, latency_seconds: 0}}\n"


def machine(links, ioh, flops=FLOPS, memory=INSTANT, kernel=0.0):
    """`links`: "hops" joins neighbours directly; "server" by switches and roots, as examples/machines/reference_server.yaml."""
    text = "name: reference\ndevices:\n"
    for card in range(CARDS):
        text += (f"  - {{name: card{card}, flops_per_second: {flops:g}, memory_bytes_per_second: {memory:g}, "
                 f"kernel_seconds: {kernel:g}}}\n")
    if links == "hops":
        return text + "links:\n" + "".join(
            link(f"card{card}", f"card{card + 1}", ioh if card == 3 else PORT) for card in range(CARDS - 1))
    text += "switches: [switch0, switch1, switch2, root0, root1]\nlinks:\n"
    for card in range(CARDS):
        text += link(f"card{card}", f"switch{card // 2}", PORT)
    for switch, root in ((0, 0), (1, 0), (2, 1)):
        text += link(f"switch{switch}", f"root{root}", PORT)
    return text + link("root0", "root1", ioh)


def four_cards(flops, memory=INSTANT, kernel=0.0):
    """Pairs on a switch each, on two sockets."""
    text = "name: four-cards\ndevices:\n"
    for card in range(4):
        text += (f"  - {{name: card{card}, flops_per_second: {flops:g}, memory_bytes_per_second: {memory:g}, "
                 f"kernel_seconds: {kernel:g}}}\n")
    text += "switches: [switch0, switch1]\nlinks:\n"
    for card in range(4):
        text += link(f"card{card}", f"switch{card // 2}", PORT)
    return text + link("switch0", "switch1", IMAGE_IOH)


def plan(folder, job, description, frames, *keys, cards=CARDS, split=1):
    path = folder / "machine.yaml"
    path.write_text(description)
    settings = [f"data.batch={frames * cards}", f"data.train.synthetic.samples={frames * cards}", *keys]
    command = [HADAL, "plan", str(job), "--json", "--machine", str(path), "--split", str(split), "--devices",
               ",".join(f"card{card}" for card in range(cards))]
    for setting in settings:
        command += ["--set", setting]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def equal_layers(folder, count, parameters):
    """A network of `count` equal layers with about as many parameters."""
    width = round((parameters / count) ** 0.5 / CARDS) * CARDS
    layers = ", ".join(f"{{fully_connected: {{out: {width}}}}}" for _ in range(count))
    path = folder / "equal.yaml"
    path.write_text(f"name: equal-layers\nnetwork:\n  input: [{width}]\n  layers: [{layers}]\n  loss: softmax_cross_entropy\n"
                    "data: {train: {synthetic: {samples: 6, classes: 6}}, batch: 6}\n"
                    "solver: {epochs: 1, rule: {sgd: {rate: 0.1, momentum: 0.9}}}\n")
    return path


def size_of(planned):
    return 4 * sum(layer["parameters"] for layer in planned["layers"])


def exchange_seconds(folder, job, links, ioh, topology):
    """Of a step whose kernels take no time."""
    return plan(folder, job, machine(links, ioh, flops=INSTANT), 1, f"exchange.topology={topology}",
                "exchange.content=gradients", "exchange.deferred_layers=0")["step_seconds"]


def alexnet(folder):
    """The four rows of AlexNet, on a machine as the reference's."""
    def images(description, cards, split, *keys):
        return plan(folder, ALEXNET, description, IMAGE_BATCH // cards, *keys, cards=cards, split=split)

    # A card's rate that gives its images a second; bytes and small kernels are not counted apart.
    one = images(four_cards(FLOPS), 1, 1)
    alone = IMAGE_BATCH / IMAGES
    flops = one["compute_seconds"][0] * FLOPS / alone
    size = size_of(one)
    sent = {}
    for groups, split, _ in DIVISIONS:
        ways = [images(four_cards(INSTANT), groups * split, split, f"exchange.topology={topology}",
                       "exchange.content=gradients", "exchange.deferred_layers=0")["step_seconds"]
                for topology in ("direct", "tree", "ring")]
        sent[groups, split] = min(ways)
    groups, split, published = DIVISIONS[0]
    efficiency = alone / split / (alone / published - sent[groups, split])
    print(f"""
## AlexNet on four cards

The reference's second framework trained AlexNet on one to four K20c cards, two on a socket: groups of cards that hold one model together,
data parallelism between groups. Assumed: {IMAGES} images a second on one card (published), {IMAGE_BATCH} images a step whatever the number of cards,
{size / 1e6:.0f} MB of parameters, ports of {PORT / 1e9:g} GB/s, {IMAGE_IOH / 1e9:g} GB/s each way between the sockets, transfers and exchange after the kernels (the faster of direct,
tree and ring), and that kernels of half a layer reach {100 * efficiency:.1f} % of the whole one's rate, **calibrated** on the first row. The others are predictions.

| groups x split | kernels | transfers and exchange | speed-up | published | |
| --- | --- | --- | --- | --- | --- |""")
    for groups, split, published in DIVISIONS:
        kernels = alone / groups / split / (efficiency if split > 1 else 1)
        speed_up = alone / (kernels + sent[groups, split])
        print(f"| {groups} x {split} | {kernels * 1e3:.0f} ms | {sent[groups, split] * 1e3:.0f} ms | {speed_up:.2f} | {published} | "
              f"{'calibrated' if (groups, split) == (1, 2) else f'{100 * (speed_up / published - 1):+.0f} %'} |")
    print("""
Ours on the same cards, which overlaps transfers and exchange with the kernels:

| groups x split | speed-up | a step | its kernels | topology | memory of a card | bound by |
| --- | --- | --- | --- | --- | --- | --- |""")
    for groups, split, _ in DIVISIONS:
        ours = images(four_cards(flops * (efficiency if split > 1 else 1), memory=MEMORY, kernel=1e-6), groups * split, split)
        step = ours["step_seconds"]
        memory = max(device["peak_bytes"] for device in ours["devices"])
        single = images(four_cards(flops, memory=MEMORY, kernel=1e-6), 1, 1)["step_seconds"]
        print(f"| {groups} x {split} | {single / step:.2f} | {step * 1e3:.0f} ms | {max(ours['compute_seconds']) * 1e3:.0f} ms | "
              f"{ours['topology']} | {memory / 1e6:.0f} MB | {ours['bound_by']} |")
    print(f"""
A split saves memory; with cards that are large enough data parallelism is faster, as it was then.
`hadal plan {ALEXNET.relative_to(ROOT)} --machine MACHINE.yaml --devices ... --split 2` shows one of these rows.""")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        acoustic = plan(folder, ACOUSTIC, machine("server", IOH[0]), 1)
        model = size_of(acoustic)
        one = plan(folder, ACOUSTIC, machine("server", IOH[0]), 1024, cards=1)
        flops = one["compute_seconds"][0] * FLOPS / 1024

        print(f"""# The reference's figures, simulated

Made by `tools/reference_figures.py`. The reference platform trained acoustic models on six cards of one machine, {PUBLISHED} times as fast
as on one (published: the speed-up; four cards on a PCIe tree and two behind the IOH; synchronous SGD; gather, update, distribute over a
designed topology). Nothing here has run on cards: `hadal plan --machine` predicts it.

## What is assumed

| | | from |
| --- | --- | --- |
| model | 440-2048x5-3000, {model / 1e6:.1f} MB of parameters (S), {flops / 1e6:.1f} MFLOP a frame and step | not published; typical of 2014 |
| a card | trains at {FLOPS / 1e12:g} TFLOP/s | calibration: 60 % of a K20's 3.52 |
| ports | {PORT / 1e9:g} GB/s each way, no latency | calibration: PCIe 2 x16 in practice |
| IOH | {IOH[0] / 1e9:g} or {IOH[1] / 1e9:g} GB/s each way | calibration: reported of that time |
| batch | {", ".join(map(str, FRAMES))} frames a card | not published |

The speed-ups are predictions from these; none of them was fitted to {PUBLISHED}.

## Formulas, and the simulator against them

On a **ring** of N devices each port carries 2 (N - 1) / N S, the slowest port of all without a pause: T = 2 (N - 1) / N S / b.

On a **line** whose hops have links of their own each directed hop carries S, and the slowest one, of b bytes a second, has no
pause once the first pieces have come to it: over the IOH of this machine these pass three faster hops before, each of the size that one
device owns of the layer that backward finishes first: T = S / b + 3 S_layer / (N b_port).

Both hold where pieces are small: a model of S bytes in {EQUAL[0]} or {EQUAL[1]} equal layers, kernels that take no time.

| | layers | IOH | formula | simulated | |
| --- | --- | --- | --- | --- |""")
        failed = False
        for layers, ioh in ((layers, ioh) for layers in EQUAL for ioh in IOH):
            equal = equal_layers(folder, layers, model / 4)
            size = size_of(plan(folder, equal, machine("server", IOH[0]), 1))
            for what, links, topology, formula in (
                    ("ring, through the switches", "server", "ring", 2 * (CARDS - 1) / CARDS * size / ioh),
                    ("line, hops with links of their own", "hops", "line", size / ioh + 3 * size / layers / CARDS / PORT)):
                seconds = exchange_seconds(folder, equal, links, ioh, topology)
                failed = failed or (layers == EQUAL[-1] and abs(seconds / formula - 1) > 0.03)
                print(f"| {what} | {layers} | {ioh / 1e9:g} GB/s | {formula * 1e3:.2f} ms | {seconds * 1e3:.2f} ms | "
                      f"{100 * (seconds / formula - 1):+.1f} % |")

        print(f"""
With the six layers of the acoustic model pieces are larger (the last layer alone is a quarter of it), and a device has to have the whole of
one before it passes it on:

| | IOH | formula | simulated | |
| --- | --- | --- | --- | --- |""")
        exchange = {}
        last = 4 * acoustic["layers"][-1]["parameters"]
        for ioh in IOH:
            for links, topology in (("hops", "line"), ("server", "line"), ("server", "ring"), ("server", "direct")):
                exchange[links, topology, ioh] = exchange_seconds(folder, ACOUSTIC, links, ioh, topology)
            for what, links, topology, formula in (
                    ("ring, through the switches", "server", "ring", 2 * (CARDS - 1) / CARDS * model / ioh),
                    ("line, hops with links of their own", "hops", "line", model / ioh + 3 * last / CARDS / PORT)):
                seconds = exchange[links, topology, ioh]
                failed = failed or abs(seconds / formula - 1) > 0.1
                print(f"| {what} | {ioh / 1e9:g} GB/s | {formula * 1e3:.2f} ms | {seconds * 1e3:.2f} ms | "
                      f"{100 * (seconds / formula - 1):+.1f} % |")

        print(f"""
## The reference's scheme: exchange after backward

A step is the kernels' time, then the exchange: speed-up = N c / (c + T), with c the frames of a card at {FLOPS / 1e12:g} TFLOP/s. Through the
switches an inner card's port carries both of its hops, which is what makes a line slower there than in the first column.

| frames a card | IOH | line, links of its own | line, through the switches | ring | every card to every owner | published |
| --- | --- | --- | --- | --- | --- | --- |""")
        for ioh in IOH:
            for frames in FRAMES:
                c = frames * flops / FLOPS
                row = [CARDS * c / (c + exchange[links, topology, ioh])
                       for links, topology in (("hops", "line"), ("server", "line"), ("server", "ring"), ("server", "direct"))]
                print(f"| {frames} | {ioh / 1e9:g} GB/s | " + " | ".join(f"{value:.2f}" for value in row) +
                      f" | {PUBLISHED if frames in (1024, 2048) else ''} |")

        print(f"""
{PUBLISHED} lies between what a line gives for 1,024 and for 2,048 frames a card, and far from what 256 would.

## Ours on the same machine

The exchange of a layer goes on while backward computes those below it, and where that is faster the updates of some layers are left to the next
step's forward pass (data_parallel.md); each range has an owner; `auto` picks the topology. Kernels that are no products move their bytes at {MEMORY / 1e9:g} GB/s and take at least a microsecond (so updates cost time, on one card too); updates run beside the compute stream,
and that they take memory bandwidth from it there, up to 1 % of a step, is not simulated.

| frames a card | IOH | speed-up | topology | layers left to the next step | a step | its kernels | the busiest port | bound by |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |""")
        for ioh in IOH:
            described = machine("server", ioh, memory=MEMORY, kernel=1e-6)
            for frames in FRAMES:
                alone = plan(folder, ACOUSTIC, described, frames, cards=1)["step_seconds"]
                ours = plan(folder, ACOUSTIC, described, frames)
                busiest = max(ours["ports"], key=lambda port: port["busy_seconds"])
                print(f"| {frames} | {ioh / 1e9:g} GB/s | {CARDS * alone / ours['step_seconds']:.2f} | {ours['topology']} | "
                      f"{ours['deferred_layers']} | "
                      f"{ours['step_seconds'] * 1e3:.1f} ms | {max(ours['compute_seconds']) * 1e3:.1f} ms | {busiest['name']}, "
                      f"{100 * busiest['busy_seconds'] / ours['step_seconds']:.0f} % | {ours['bound_by']} |")

        print("""
What is left at 1,024 and 2,048 frames is the way of the first layers' gradients to their owners and back: backward finishes them last and the next forward
pass needs them first. With fewer frames the port between the roots is the bound, whatever the schedule: each way it must
carry S, or 2 (N - 1) / N S on a ring.

## What travels

The same model at a batch of 256 on six cards (43 frames a card): a fully-connected layer's gradient is the product of its inputs and output gradients (the
factors), which are smaller than the gradient where the batch is.

| topology | gradients | factors | ratio |
| --- | --- | --- | --- |""")
        for topology in ("direct", "line", "tree", "ring"):
            sent = [plan(folder, ACOUSTIC, machine("server", IOH[0]), 1, "data.batch=256", "data.train.synthetic.samples=256",
                         f"exchange.topology={topology}", f"exchange.content={content}")["exchange_bytes_per_step"]
                    for content in ("gradients", "factors")]
            print(f"| {topology} | {sent[0] / 1e6:.0f} MB | {sent[1] / 1e6:.0f} MB | {sent[0] / sent[1]:.2f} |")
        print(f"""
`hadal plan {ACOUSTIC.relative_to(ROOT)} --machine {SERVER.relative_to(ROOT)}` shows all this of one step, `--svg FILE` draws it.""")
        alexnet(folder)
        return failed


sys.exit(main())
