"""Writes the golden values of the networks that torchvision, timm and RepDistiller publish, computed in float64.

    pip install torch torchvision timm
    git clone https://github.com/HobbitLong/RepDistiller
    python tools/golden_torchvision.py crates/nasty-teacher/tests/golden-published --repdistiller RepDistiller [--only NAME…]

One file a case, `<architecture>-<classes>-<side>.json`. Weights, images and labels follow the rule of pseudo-random
numbers below, so that no weights are shipped; `tests/golden_published.rs` holds our networks against the values.
Dropout and stochastic depth are off.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

SEED = 0
TEMPERATURE, ALPHA, OMEGA = 4.0, 0.9, 0.04
SGD = {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "objective": "self_undermining"}
STEPS = 3

# Network, classes, side, images. Not tv-resnet101: on four images of side 64 PyTorch's own float32 is 2.2e-4 of the largest logit
# away from float64 in training mode. Not tv-vgg16_bn: its three steps at 0.01 diverge (losses 1.2, 21, 423). `verify_weights.py`
# compares their logits.
CASES = [
    ("tv-resnet18", 1000, 64, 4),
    ("tv-resnet18", 10, 100, 4),
    ("tv-resnet34", 10, 64, 4),
    ("tv-resnet50", 10, 64, 4),
    ("tv-wide_resnet50_2", 10, 64, 4),
    ("tv-resnext50_32x4d", 10, 64, 4),
    ("tv-mobilenet_v2", 1000, 96, 4),
    ("tv-mobilenet_v3_small", 10, 224, 2),
    ("tv-mobilenet_v3_large", 10, 64, 4),
    ("timm-mobilenetv3_small_100", 10, 64, 4),
    ("timm-mobilenetv3_large_100", 10, 96, 4),
    ("tv-shufflenet_v2_x1_0", 10, 96, 4),
    ("tv-densenet121", 10, 64, 4),
    ("tv-efficientnet_b0", 1000, 72, 4),
    ("tv-convnext_tiny", 10, 72, 4),
    ("kd-resnet20", 10, 32, 4),
    ("kd-resnet8x4", 100, 32, 4),
    ("kd-resnet32x4", 100, 32, 4),
    ("kd-vgg8", 100, 32, 4),
    ("kd-vgg13", 10, 64, 4),
    ("kd-vgg16", 100, 32, 4),
    ("wrn-16-2", 100, 32, 4),
    ("wrn-40-2", 100, 32, 4),
]

# Networks in which three steps at the usual rate multiply float32's rounding to the size of the losses. PyTorch's own float32
# is away from float64 by 0.59 (tv-resnext50_32x4d) and 0.24 (tv-wide_resnet50_2) after steps at 0.01, by 0.29 and 0.22 at 0.001.
GENTLY = {"tv-wide_resnet50_2": 0.001, "tv-resnext50_32x4d": 0.00001}


def u(k, elements):
    """`elements` numbers in [0, 1) of tensor number `k`."""
    i = numpy.arange(elements, dtype=numpy.float64)
    low, high = i % 65536, numpy.floor(i / 65536)
    v = numpy.sin(12.9898 * (low + 1) + 78.233 * (k + 1) + 0.5 * high + SEED) * 43758.5453
    return v - numpy.floor(v)


def numbers(k, shape):
    return torch.from_numpy(u(k, math.prod(shape)).reshape(shape))


def build(name, classes, repdistiller):
    if name.startswith("tv-"):
        network = getattr(torchvision.models, name[3:])(weights=None, num_classes=classes)
    elif name.startswith("timm-"):
        network = timm.create_model(name[5:], pretrained=False, num_classes=classes)
    else:
        if repdistiller is None:
            sys.exit(f"{name} needs --repdistiller")
        sys.path.insert(0, str(repdistiller))
        from models import model_dict

        key = name.removeprefix("kd-").replace("wrn-", "wrn_").replace("-", "_")
        network = model_dict[key](num_classes=classes)
    for module in network.modules():
        if isinstance(module, (nn.Dropout, torchvision.ops.StochasticDepth)):
            module.p = 0.0
    return network.double()


def entries(network):
    return [(name, tensor) for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")]


def seeded(network):
    """Gives every tensor the values of the rule."""
    for k, (name, tensor) in enumerate(entries(network)):
        value = numbers(k, tuple(tensor.shape))
        if tensor.dim() == 1 and (name.endswith(".weight") or name.endswith(".running_var")):
            value = 0.5 + value
        elif tensor.dim() == 1:
            value = 0.2 * (value - 0.5)
        else:
            fan_in = math.prod(tensor.shape[1:])
            value = (2 * value - 1) * math.sqrt(3) * math.sqrt(2 / fan_in)
        tensor.copy_(value)


def scaled_kl(p, q):
    log_p, log_q = (F.log_softmax(z / TEMPERATURE, 1) for z in (p, q))
    return TEMPERATURE**2 * (log_p.exp() * (log_p - log_q)).sum(1).mean()


def objective(name, logits, frozen, labels):
    if name == "cross_entropy":
        return F.cross_entropy(logits, labels)
    if name == "distillation":
        return ALPHA * scaled_kl(frozen, logits) + (1 - ALPHA) * F.cross_entropy(logits, labels)
    return F.cross_entropy(logits, labels) - OMEGA * scaled_kl(logits, frozen)


def case(name, classes, side, batch, repdistiller):
    network = build(name, classes, repdistiller)
    images = 2 * numbers(1000, (batch, 3, side, side)) - 1
    frozen = 10 * numbers(2000, (batch, classes)) - 5
    labels = torch.tensor([3 * n % classes for n in range(batch)])
    result = {
        "architecture": name,
        "classes": classes,
        "image": side,
        "batch": batch,
        "seed": SEED,
        "tensors": [[entry, list(tensor.shape)] for entry, tensor in entries(network)],
        "trainable_parameters": sum(p.numel() for p in network.parameters()),
        "loss": {},
        "gradient_norms": {},
    }
    with torch.no_grad():
        seeded(network)
        result["eval_logits"] = network.eval()(images).tolist()
    network.train()
    for loss_name in ("cross_entropy", "distillation", "self_undermining"):
        with torch.no_grad():
            seeded(network)
        network.zero_grad()
        logits = network(images)
        result["train_logits"] = logits.tolist()
        loss = objective(loss_name, logits, frozen, labels)
        loss.backward()
        result["loss"][loss_name] = loss.item()
        result["gradient_norms"][loss_name] = {n: p.grad.norm().item() for n, p in network.named_parameters()}

    with torch.no_grad():
        seeded(network)
    sgd = {**SGD, "learning_rate": GENTLY.get(name, SGD["learning_rate"])}
    optimiser = torch.optim.SGD(
        network.parameters(), sgd["learning_rate"], momentum=SGD["momentum"], weight_decay=SGD["weight_decay"]
    )
    losses = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = objective(SGD["objective"], network(images), frozen, labels)
        losses.append(loss.item())
        loss.backward()
        optimiser.step()
    norms = {entry: tensor.norm().item() for entry, tensor in entries(network)}
    result["sgd"] = {**sgd, "losses": losses, "tensor_norms_after": norms}
    return result


def rounded(value):
    """Ten significant digits: a thousand times what float32 holds."""
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return {k: rounded(v) for k, v in value.items()} if isinstance(value, dict) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--repdistiller", type=pathlib.Path, help="a clone of RepDistiller, for kd-… and wrn-…")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these networks alone")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, classes, side, batch in CASES:
        if args.only and name not in args.only:
            continue
        text = json.dumps(rounded(case(name, classes, side, batch, args.repdistiller)), separators=(",", ":"))
        (args.out / f"{name}-{classes}-{side}.json").write_text(text + "\n")
        print(f"{name}-{classes}-{side}: {len(text)} bytes", flush=True)


main()
