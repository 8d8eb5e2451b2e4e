#!/usr/bin/env python3
"""What check_onnx compares: `check_onnx.py TARGET VICTIM DIR`."""
import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from check_servers import pictures

target, victim, work = (Path(argument) for argument in sys.argv[1:4])
failed = False
onnxruntime.set_default_logger_severity(3)

DEFENCES = [
    "top-1", "top-k:3", "stingy:0.3", "stingy:ratio=0.5,tau=20", "rounding:1", "rounding:3", "temperature:4", "temperature:0.5",
    "reverse-sigmoid", "reverse-sigmoid:beta=5,gamma=2", "reverse-sigmoid-clipped", "reverse-sigmoid-odds:0.64", "high-confidence",
    "flat-tail", "class-tail", "temperature:2+top-k:4+flat-tail", "top-k:2+reverse-sigmoid+temperature:2", "rounding:2+class-tail",
]


def verdict(name, text, fine):
    global failed
    failed |= not fine
    print(f"{name:52} {text}{'' if fine else '   WRONG'}", flush=True)


def run(path, batch):
    """onnxruntime's rows for `batch`, one at a time: many files take no more."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.array([session.run(None, {name: one[None]})[0].reshape(-1) for one in batch])


def ours(path, pixels, *runtime):
    """Our rows for images of bytes, which the model gets from 0 to 1; or why it is refused."""
    (work / "noise").write_bytes(pixels.tobytes())
    command = [target / "examples/ask_onnx", path, str(pixels.shape[1]), work / "noise", *runtime]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return said if isinstance(said, str) else np.array(said)


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    return weights / weights.sum(axis=1, keepdims=True)


def off_of_largest(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def before_softmax(model):
    """The model up to the input of the softmax that is its answer; none if it does not end in one."""
    last = next(node for node in model.graph.node if model.graph.output[0].name in node.output)
    if last.op_type != "Softmax":
        return None
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    cut.graph.node.remove(last)
    shape = [side.dim_value for side in model.graph.output[0].type.tensor_type.shape.dim]
    cut.graph.output[0].CopyFrom(helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, shape))
    return cut


def with_random_weights(model):
    """The same graph with weights that keep numbers of the order of 1, so that every operator shows."""
    random = np.random.default_rng(5)
    new = onnx.ModelProto()
    new.CopyFrom(model)
    filled = {node.output[0]: node for node in new.graph.node if node.op_type == "ConstantOfShape"}
    initial = {weight.name: weight for weight in new.graph.initializer}
    # Scales are near 1, and variances positive, so that what enters a layer reaches the last one.
    norms = [node for node in new.graph.node if node.op_type == "BatchNormalization"]
    scales, variances = {node.input[1] for node in norms}, {node.input[4] for node in norms}

    def values(name, shape):
        scale = np.sqrt(2 / max(1, np.prod(shape[1:]))) if len(shape) > 1 else 0.2
        numbers = random.standard_normal(shape) * scale
        numbers = 0.8 + np.abs(numbers) if name in variances else 1 + numbers if name in scales else numbers
        return numbers.astype(np.float32)

    used = {name for node in new.graph.node for name in node.input}
    for name, node in filled.items():
        if name in used and node.input[0] in initial:
            shape = numpy_helper.to_array(initial[node.input[0]])
            new.graph.node.remove(node)
            new.graph.initializer.append(numpy_helper.from_array(values(name, shape), name))
    for name, weight in initial.items():
        if weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims):
            weight.CopyFrom(numpy_helper.from_array(values(name, tuple(weight.dims)), name))
    return new


def compare_models():
    light = Path(onnx.__file__).parent / "backend/test/data/light"
    noise = np.random.default_rng(3).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    batch = (noise.astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2)
    models = sorted(light.glob("*.onnx"))
    assert len(models) == 9
    for path in models:
        model = onnx.load(path)
        for kind, model in (("", model), (", random weights", with_random_weights(model))):
            name = path.stem.removeprefix("light_") + kind
            whole, part = work / "whole.onnx", work / "part.onnx"
            onnx.save(model, whole)
            expected = run(whole, batch)
            off = off_of_largest(ours(whole, noise, target / "nasty", library), expected)
            verdict(name, f"by onnxruntime off by {off:.1e} of the largest", off <= 1e-6)
            found = ours(whole, noise)
            if isinstance(found, str):
                verdict(name, "refused: " + found.split(": ", 1)[1], True)
                continue
            cut = before_softmax(model)
            if cut is None:
                off = off_of_largest(found, expected)
                verdict(name, f"off by {off:.1e} of the largest", off <= 1e-5)
                continue
            # A softmax of huge logits is decided by their rounding: the logits are compared, and each runtime's own softmax of them.
            onnx.save(cut, part)
            rows = np.abs(found - expected).max()
            logits, expected = ours(part, noise), run(part, batch)
            off, own = off_of_largest(logits, expected), np.abs(found - softmax(logits)).max()
            most = np.abs(expected).max()
            # The rounding of the logits, 1e-6 of the largest, is what probabilities may differ by.
            fine = off <= 1e-5 and own <= 1e-5 and rows <= max(1e-5, 1e-6 * most)
            verdict(name, f"logits up to {most:.3g} off by {off:.1e} of that, softmax {own:.1e}, probabilities {rows:.1e}", fine)


def count_by_onnxruntime():
    """The victim's known count of right answers, as the program computes it by onnxruntime."""
    command = [target / "nasty", "evaluate", victim, "--data", "cifar10", "--scale", "255", "--channels", "rgb", "--output", "logits"]
    done = subprocess.run([*command, "--onnx-runtime", f"ort:{library}", "--json"], cwd=work, capture_output=True, text=True)
    if done.returncode == 3 and "cifar-10" in done.stderr:
        print("CIFAR-10 is not here: not counted")
        return
    print(done.stderr, end="")
    correct = json.loads(done.stdout)["correct"] if done.returncode == 0 else None
    verdict("right answers, by onnxruntime", f"{correct} of 10000", correct == 8014)


def compare_defended_nodes():
    """The defences' nodes alone, for hard logits: ties, certainty, numbers of ten thousand."""
    models = sorted((work / "alone").glob("*.onnx"))
    worst = {}
    for path in models:
        case = json.loads(path.with_name(path.name.removesuffix("onnx") + "json").read_text())
        classes = case["classes"]
        inputs = {name: np.array(case[name], np.float32).reshape(-1, classes) for name in ("logits", "shift")}
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        wanted = {value.name for value in session.get_inputs()}
        found = session.run(None, {name: values for name, values in inputs.items() if name in wanted})[0]
        off = max(np.abs(found[image] - row).max() for image, row in case["rows"])
        text = path.name.removesuffix(".onnx").split("-", 1)[1]
        worst[text] = max(off, worst.get(text, 0))
    assert len(models) >= 60
    for text, off in worst.items():
        verdict(f"nodes alone: {text}", f"off by {off:.1e}", off <= 1e-5)


def recorded(model, defence, more):
    table = work / "served.csv"
    command = [target / "nasty", "evaluate", model, "--defence", defence, "--record", table, "--data", "folder:images", *more, "-q"]
    subprocess.run(command, cwd=work, check=True, capture_output=True)
    with table.open(newline="") as file:
        rows = {row["sha256"]: [float(row[str(c)]) for c in range(10)] for row in csv.DictReader(file)}
    return np.array([rows[hashlib.sha256(pixels.tobytes()).hexdigest()] for pixels in images])


def compare_defended_victim(name, model, asked, batch):
    """A victim's export with each defence against the program's own answers behind the same defence."""
    protected = work / "protected.onnx"
    for defence in DEFENCES:
        rows = recorded(model, defence, asked)
        export = [target / "nasty", "export", model, "--defence", defence, "-o", protected, "-q"]
        table = ["--data", "folder:images"] if "class-tail" in defence else []
        subprocess.run(export + table + (asked[:2] if table else []), cwd=work, check=True, capture_output=True)
        onnx.checker.check_model(onnx.load(protected), full_check=True)
        off = np.abs(rows - run(protected, batch)).max()
        verdict(f"{name}: {defence}", f"off by {off:.1e}", off <= 1e-5)


(library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*")
count_by_onnxruntime()
compare_models()
compare_defended_nodes()

images = [pixels for name, pixels in pictures() if name.startswith("test/")]
pixels = np.stack(images).astype(np.float32)
asked = ["--scale", "255", "--channels", "rgb"]
compare_defended_victim("foreign", victim, asked, pixels)

model = onnx.load(victim)
output = model.graph.output[0]
model.graph.node.append(helper.make_node("Softmax", [output.name], ["shares"], axis=1))
output.name = "shares"
onnx.save(model, work / "shares.onnx")
compare_defended_victim("foreign with softmax", work / "shares.onnx", asked, pixels)

train = [target / "nasty", "train", "--data", "folder:images", "--architecture", "cnn4", "epochs=1", "batch=5", "data.validation=0", "-q"]
subprocess.run(train, cwd=work, check=True, capture_output=True)
(run_folder,) = (path.parent for path in (work / "runs").glob("*/model.safetensors"))
config = json.loads((run_folder / "config.json").read_text())
normalised = (pixels / np.float32(255) - np.array(config["mean"], np.float32)) / np.array(config["std"], np.float32)
compare_defended_victim("our own", run_folder.name, [], normalised.transpose(0, 3, 1, 2).astype(np.float32))
sys.exit(failed)
