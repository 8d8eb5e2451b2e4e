"""Checks exported weights with other people's readers: onnx, onnxruntime, safetensors and PyTorch.

    pip install torch safetensors onnx onnxruntime
    cargo run --release -p nasty-teacher --example export_all -- exports
    python tools/verify_weights.py exports [--nasty target/release/nasty]

Every folder in `exports` holds model.safetensors, config.json, model.onnx and expected.safetensors (images, and the
logits that nasty gives them). With --nasty, files saved by PyTorch in each of its formats are imported as well.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
import torch
from safetensors.torch import load_file
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
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
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
    line = f"{folder.name:16} onnxruntime {worst:.1e}"

    state = load_file(folder / "model.safetensors")
    if folder.name in IN_PYTORCH:
        network = IN_PYTORCH[folder.name](config["num_classes"])
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", type=pathlib.Path)
    parser.add_argument("--nasty", help="the program, to check imports too")
    args = parser.parse_args()
    folders = sorted(path.parent for path in args.exports.glob("*/model.onnx"))
    if not folders:
        sys.exit(f"no exports in {args.exports}")
    worst = max(verify_export(folder) for folder in folders)
    if args.nasty:
        verify_imports(args.nasty)
    print(f"{len(folders)} networks, worst relative difference {worst:.1e}, allowed {TOLERANCE:.0e}")
    sys.exit(worst > TOLERANCE)


main()
