"""PyTorch's side, driven over standard input as the example `step` is: see its head for what is said and answered.

    torch_side.py MODE NETWORK BATCH SIDE CLASSES THREADS SETTING

SETTING is `eager` or `compile`, `fp32` or `bf16`, `nchw` or `nhwc`, joined by `-`.
"""

import contextlib
import sys
import time

import torch

import networks


def resident(what):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what))


def main():
    mode, name, batch, side, classes, threads, setting = sys.argv[1:]
    batch, side, classes = int(batch), int(side), int(classes)
    how, precision, layout = setting.split("-")
    torch.set_num_threads(int(threads))
    network = networks.build(name, classes, side)
    memory_format = torch.channels_last if layout == "nhwc" else torch.contiguous_format
    network = network.to(memory_format=memory_format)
    print("parameters", sum(p.numel() for p in network.parameters()), "torch", torch.__version__, flush=True)
    before = resident("VmRSS")
    images = torch.randn(batch, 3, side, side).to(memory_format=memory_format)
    labels = torch.arange(batch) % classes
    loss_of = torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    network.train(mode == "train")
    forward = torch.compile(network) if how == "compile" else network

    def cast():
        return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()

    def train():
        optimiser.zero_grad(set_to_none=True)
        with cast():
            loss = loss_of(forward(images), labels)
        loss.backward()
        optimiser.step()

    def infer():
        with torch.inference_mode(), cast():
            forward(images)

    step = train if mode == "train" else infer
    for line in sys.stdin:
        if line.strip() == "memory":
            print(before, resident("VmHWM"), flush=True)
            continue
        seconds = []
        for _ in range(int(line)):
            begun = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - begun)
        print(*seconds, flush=True)


main()
