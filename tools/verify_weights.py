"""Checks exported weights with other people's readers: onnx, onnxruntime, safetensors and PyTorch.

    pip install torch torchvision timm safetensors onnx onnxruntime
    cargo run --release -p nasty-teacher --example export_all -- exports
    cargo build --release -p nasty-teacher --example logits
    python tools/verify_weights.py exports [--nasty target/release/nasty --logits target/release/examples/logits]
        [--repdistiller CLONE] [--cifar100 CLONE]

Every folder in `exports` holds model.safetensors, config.json, model.onnx and expected.safetensors (images, and the
logits that nasty gives them). With --nasty, files saved by PyTorch in each of its formats are imported as well; with
--logits, checkpoints of torchvision, timm and clones of RepDistiller and pytorch-cifar100 with random weights too, whose
logits must be PyTorch's.
"""

import argparse
import copy
import functools
import importlib.util
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

TOLERANCE = 1e-4  # of the largest difference that the images make


class OptionA(nn.Module):
    """ResNets for CIFAR with parameter-free shortcuts (He et al., CVPR 2016, section 4.2)."""

    class Block(nn.Module):
        def __init__(self, before, width, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.stride, self.zeros = stride, (width - before) // 2

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            short = x[:, :, :: self.stride, :: self.stride]
            return F.relu(y + F.pad(short, (0, 0, 0, 0, self.zeros, self.zeros)))

    def __init__(self, depth, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        before = 16
        for stage, width in enumerate((16, 32, 64), 1):
            blocks = []
            for i in range((depth - 2) // 6):
                blocks.append(self.Block(before, width, 2 if stage > 1 and i == 0 else 1))
                before = width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class Cnn(nn.Module):
    """Three convolutions and a hidden layer."""

    def __init__(self, width, classes):
        super().__init__()
        sizes = [3, width, 2 * width, 4 * width]
        for i in (1, 2, 3):
            setattr(self, f"conv{i}", nn.Conv2d(sizes[i - 1], sizes[i], 3, padding=1))
            setattr(self, f"bn{i}", nn.BatchNorm2d(sizes[i]))
        self.fc1 = nn.Linear(4 * width * 16, 4 * width)
        self.fcbn1 = nn.BatchNorm1d(4 * width)
        self.fc2 = nn.Linear(4 * width, classes)

    def forward(self, x):
        for i in (1, 2, 3):
            x = F.relu(F.max_pool2d(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)), 2))
        return self.fc2(F.relu(self.fcbn1(self.fc1(x.flatten(1)))))


IN_PYTORCH = {"resnet20": lambda n: OptionA(20, n), "resnet32": lambda n: OptionA(32, n), "cnn": lambda n: Cnn(32, n)}


def in_pytorch(name, classes):
    """The published definition, where there is one here."""
    if name.startswith("tv-"):
        return getattr(torchvision.models, name[3:])(weights=None, num_classes=classes)
    if name.startswith("timm-"):
        return timm.create_model(name[5:], num_classes=classes)
    return IN_PYTORCH[name](classes) if name in IN_PYTORCH else None


def distance(found, expected):
    found, expected = numpy.asarray(found), numpy.asarray(expected)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    # Logits that hardly depend on the image would agree whatever the network did with it.
    return float(abs(found - expected).max() / abs(expected - expected.mean(0)).max())


def verify_export(folder):
    config = json.loads((folder / "config.json").read_text())
    case = load_file(folder / "expected.safetensors")
    images, logits = case["input"], case["logits"]

    path = str(folder / "model.onnx")
    onnx.checker.check_model(path, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # its threads spin, which is slow on a busy machine
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (input_,), (output,) = session.get_inputs(), session.get_outputs()
    assert (input_.name, input_.shape, output.name) == ("input", ["batch", *config["input_size"]], "logits")
    assert abs(logits - logits.mean(0)).max() > 0.01 * abs(logits).max(), "the logits do not depend on the image"
    worst = distance(session.run(None, {"input": images.numpy()})[0], logits)
    parts = []
    for one in range(len(images)):  # any batch size
        parts.append(session.run(None, {"input": images[one : one + 1].numpy()})[0])
    worst = max(worst, distance(numpy.concatenate(parts), logits))
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["architecture"] == config["architecture"] and json.loads(metadata["mean"]) == config["mean"]
    line = f"{folder.name:26} onnxruntime {worst:.1e}"

    state = load_file(folder / "model.safetensors")
    network = in_pytorch(folder.name, config["num_classes"])
    if network is not None:
        missing, unexpected = network.load_state_dict(state, strict=False)
        assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
        with torch.no_grad():
            own = distance(network.eval()(images), logits)
        worst = max(worst, own)
        line += f", PyTorch {own:.1e}"
    print(line, flush=True)
    return worst


def verify_imports(nasty):
    torch.manual_seed(0)
    for name in ("resnet20", "cnn"):
        network = IN_PYTORCH[name](100)
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        network(torch.randn(4, 3, 32, 32)).sum().backward()
        optimiser.step()
        state = network.state_dict()
        parallel = nn.DataParallel(network).state_dict()
        full = {"epoch": 3, "state_dict": parallel, "optim_dict": optimiser.state_dict(), "best": numpy.float64(0.5)}
        for kind, content, new in [
            ("raw, zip", state, True),
            ("raw, legacy", state, False),
            ("best_model.tar, zip", full, True),
            ("best_model.tar, legacy", full, False),
            ("whole module, zip", network, True),
        ]:
            with tempfile.TemporaryDirectory() as temp:
                file, out = pathlib.Path(temp, "file.pt"), pathlib.Path(temp, "out")
                torch.save(content, file, _use_new_zipfile_serialization=new)
                done = subprocess.run([nasty, "import", file, "-o", out, "--json"], capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                config = json.loads(done.stdout)["config"]
                assert (config["architecture"], config["num_classes"]) == (name, 100), config
                imported = load_file(out / "model.safetensors")
                for key, value in imported.items():
                    assert torch.equal(value, state[key]), key
                assert len(imported) == sum(not k.endswith("num_batches_tracked") for k in state)
                print(f"{name:16} imported: {kind}", flush=True)


def randomise(network):
    """Random weights under which no part of the network can be left out unseen."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
                tensor.uniform_(0.75, 1.25)
            elif tensor.dim() == 1 and not name.endswith("gamma"):
                tensor.normal_(0, 0.1)
            elif name.endswith(("gamma", "layer_scale")):
                tensor.normal_()
            else:
                # Keeps the signal's size; the usual one for depthwise kernels makes logits that hardly see the image.
                tensor.normal_(0, math.sqrt(2 / math.prod(tensor.shape[1:])))


# torchvision's name or timm's, what it is recognised as, side, classes.
PUBLISHED = [
    ("torchvision", "resnet18", "tv-resnet18", 96, 1000),
    ("torchvision", "resnet50", "tv-resnet50", 96, 10),
    ("torchvision", "resnext50_32x4d", "tv-resnext50_32x4d", 64, 10),
    ("torchvision", "mobilenet_v2", "tv-mobilenet_v2", 224, 1000),
    ("torchvision", "mobilenet_v3_small", "tv-mobilenet_v3_small", 100, 10),
    ("torchvision", "mobilenet_v3_large", "tv-mobilenet_v3_large", 96, 10),
    ("torchvision", "shufflenet_v2_x1_0", "tv-shufflenet_v2_x1_0", 96, 10),
    ("torchvision", "densenet121", "tv-densenet121", 96, 10),
    ("torchvision", "efficientnet_b0", "tv-efficientnet_b0", 96, 10),
    ("torchvision", "convnext_tiny", "tv-convnext_tiny", 96, 10),
    ("timm", "resnet18", "tv-resnet18", 96, 10),
    ("timm", "resnet50", "tv-resnet50", 96, 10),
    ("timm", "mobilenetv2_100", "tv-mobilenet_v2", 96, 10),
    ("timm", "mobilenetv3_small_100", "timm-mobilenetv3_small_100", 96, 1000),
    ("timm", "mobilenetv3_large_100", "timm-mobilenetv3_large_100", 96, 10),
    ("timm", "efficientnet_b0", "tv-efficientnet_b0", 96, 10),
    ("timm", "densenet121", "tv-densenet121", 96, 10),
    ("timm", "convnext_tiny", "tv-convnext_tiny", 96, 10),
    ("timm", "vgg16_bn", "tv-vgg16_bn", 224, 10),
    ("torchvision", "vgg16_bn", "tv-vgg16_bn", 64, 10),
    ("torchvision", "resnet34", "tv-resnet34", 64, 10),
    ("torchvision", "resnet101", "tv-resnet101", 64, 10),
    ("torchvision", "wide_resnet50_2", "tv-wide_resnet50_2", 64, 10),
]
REPDISTILLER = {
    "resnet8": "kd-resnet8",
    "resnet20": "kd-resnet20",
    "resnet8x4": "kd-resnet8x4",
    "resnet32x4": "kd-resnet32x4",
    "vgg8": "kd-vgg8",
    "vgg13": "kd-vgg13",
    "wrn_16_2": "wrn-16-2",
    "wrn_40_2": "wrn-40-2",
}
CIFAR100 = ["resnet18", "resnet50"]


def verify_published(nasty, logits, repdistiller, cifar100):
    """Imports each checkpoint and compares logits; gives the worst difference."""
    torch.manual_seed(1)
    cases = []
    def published(source, name, classes):
        if source == "timm":
            return timm.create_model(name, num_classes=classes)
        return getattr(torchvision.models, name)(weights=None, num_classes=classes)

    for source, name, found, side, classes in PUBLISHED:
        make = functools.partial(published, source, name, classes)
        cases.append((source, name, found, side, make, lambda state: state))
    if repdistiller:
        sys.path.insert(0, str(repdistiller))
        from models import model_dict

        for name, found in REPDISTILLER.items():
            make = lambda name=name: model_dict[name](num_classes=100)
            cases.append(("RepDistiller", name, found, 32, make, lambda state: {"epoch": 240, "model": state}))
    if cifar100:
        spec = importlib.util.spec_from_file_location("cifar100_resnet", cifar100 / "models" / "resnet.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name in CIFAR100:
            cases.append(("cifar100", name, name, 32, getattr(module, name), lambda state: state))
    worst = 0
    for source, name, found, side, make, wrap in cases:
        network = make()
        randomise(network)
        images = torch.randn(4, 3, side, side)
        with torch.no_grad():
            expected = copy.deepcopy(network).double().eval()(images.double())
        with tempfile.TemporaryDirectory() as temp:
            file, folder, given, got = (pathlib.Path(temp, n) for n in ("f.pth", "net", "in.st", "out.st"))
            torch.save(wrap(network.state_dict()), file)
            command = [nasty, "import", file, "-o", folder, "--side", str(side), "--json"]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, f"{source} {name}: {done.stderr}"
            architecture = json.loads(done.stdout)["config"]["architecture"]
            assert architecture == found, (source, name, architecture)
            save_file({"input": images}, given)
            subprocess.run([logits, folder, given, got], check=True)
            off = distance(load_file(got)["logits"], expected)
        print(f"{source:12} {name:22} imported as {found:26} logits {off:.1e}", flush=True)
        worst = max(worst, off)
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", type=pathlib.Path)
    parser.add_argument("--nasty", help="the program, to check imports too")
    parser.add_argument("--logits", help="the example of that name, to compare the logits of imported checkpoints")
    parser.add_argument("--repdistiller", type=pathlib.Path, help="a clone of RepDistiller")
    parser.add_argument("--cifar100", type=pathlib.Path, help="a clone of weiaicunzai's pytorch-cifar100")
    args = parser.parse_args()
    folders = sorted(path.parent for path in args.exports.glob("*/model.onnx"))
    if not folders:
        sys.exit(f"no exports in {args.exports}")
    worst = max(verify_export(folder) for folder in folders)
    if args.nasty:
        verify_imports(args.nasty)
        if args.logits:
            worst = max(worst, verify_published(args.nasty, args.logits, args.repdistiller, args.cifar100))
    print(f"{len(folders)} networks, worst relative difference {worst:.1e}, allowed {TOLERANCE:.0e}")
    sys.exit(worst > TOLERANCE)


main()
