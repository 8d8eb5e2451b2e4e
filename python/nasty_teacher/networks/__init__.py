"""The networks of `nasty networks` as PyTorch modules: images `[batch, channels, side, side]` in, logits
`[batch, classes]` out. Tensors have the names of the published definitions, which are those in the files.

One file per family. A new network needs one more line in `FAMILIES`.
"""

import json
import re
from pathlib import Path

from .. import safetensors
from .cifar_resnet import CifarResNet
from .densenet import DenseNet
from .mobilenet import MobileNetV2
from .plain import Cnn, Mlp
from .preresnet import PreResNet
from .resnet import ResNet
from .resnext import ResNext
from .shufflenet import ShuffleNetV2
from .wide_resnet import WideResNet

FORMAT = 1  # of config.json

# A pattern of names, and how to build a network of such a name: from its numbers, then channels, side and classes.
FAMILIES = [
    (r"cnn", lambda c, s, n: Cnn(32, c, s, n)),
    (r"cnn(\d+)", Cnn),
    (r"mlp", Mlp),
    (r"preresnet(20|32|44|56|110)", lambda depth, c, s, n: PreResNet(depth, c, n)),
    (r"resnet(20|32|44|56|110)", lambda depth, c, s, n: CifarResNet(depth, c, n)),
    (r"resnet18", lambda c, s, n: ResNet("basic", [2, 2, 2, 2], c, n)),
    (r"resnet34", lambda c, s, n: ResNet("basic", [3, 4, 6, 3], c, n)),
    (r"resnet50", lambda c, s, n: ResNet("bottleneck", [3, 4, 6, 3], c, n)),
    (r"resnet101", lambda c, s, n: ResNet("bottleneck", [3, 4, 23, 3], c, n)),
    (r"resnext29", lambda c, s, n: ResNext(c, n)),
    (r"wrn-(\d+)-(\d+)", lambda depth, width, c, s, n: WideResNet(depth, width, c, n)),
    (r"mobilenetv2", lambda c, s, n: MobileNetV2(c, n)),
    (r"shufflenetv2", lambda c, s, n: ShuffleNetV2(c, n)),
    (r"densenet121", lambda c, s, n: DenseNet(32, [6, 12, 24, 16], c, n)),
    (r"densenet161", lambda c, s, n: DenseNet(48, [6, 12, 36, 24], c, n)),
    (r"densenet169", lambda c, s, n: DenseNet(32, [6, 12, 32, 32], c, n)),
]


def build(architecture, classes, channels=3, side=32):
    """The network of this name, with PyTorch's initial weights. Raises ValueError for a name that has no definition."""
    for pattern, family in FAMILIES:
        match = re.fullmatch(pattern, architecture)
        if match:
            return family(*map(int, match.groups()), channels, side, classes)
    raise ValueError(f"no PyTorch definition of the network `{architecture}` in this version of nasty_teacher")


def load_network(folder):
    """The network in `folder`, which holds model.safetensors and config.json: a run's, an imported or an exported one.

    Returns a module in evaluation mode; its attribute `config` is what config.json says. The module expects normalised
    images: `(x - config["mean"]) / config["std"]`, channel by channel, with x in 0..1. Raises ValueError, naming the
    file, if a file is not what it should be.
    """
    folder = Path(folder)
    config = _config(folder / "config.json")
    channels, side, _ = config["input_size"]
    network = build(config["architecture"], config["num_classes"], channels, side)
    weights = folder / "model.safetensors"
    try:
        missing, unexpected = network.load_state_dict(safetensors.read(weights), strict=False)
    except RuntimeError as error:
        raise ValueError(f"{weights}: not the weights that config.json describes: {error}") from error
    # PyTorch's count of batches does not take part in the computation; the program does not keep it.
    missing = [name for name in missing if not name.endswith(".num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(
            f"{weights}: not the weights of {config['architecture']}: missing {missing}, unexpected {unexpected}"
        )
    network.config = config
    return network.eval()


def _config(path):
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        found = config["format"], config["architecture"], config["num_classes"], config["input_size"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected a network's description, found none: {error!r}") from error
    if found[0] != FORMAT:
        raise ValueError(f"{path}: format is {found[0]}, this version of nasty_teacher reads {FORMAT}")
    return config
