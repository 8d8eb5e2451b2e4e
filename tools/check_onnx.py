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

from check_servers import pictures

target, victim, work = (Path(argument) for argument in sys.argv[1:4])

DEFENCES = ["top-1", "top-k:3", "stingy:0.3", "rounding:1", "rounding:3", "temperature:4", "reverse-sigmoid", "reverse-sigmoid-clipped",
            "reverse-sigmoid-odds", "high-confidence", "flat-tail", "class-tail", "temperature:2+top-k:4+flat-tail"]
failed = False


def rows_of(path, images, white=255):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0]
    batch = images.astype(np.float32) if white == 255 else images.astype(np.float32) / np.float32(255)
    if source.shape[1] in (1, 3):
        batch = batch.transpose(0, 3, 1, 2)
    one = [session.run(None, {source.name: image[None]})[0].reshape(-1) for image in batch]
    return np.array(one)


def verdict(name, text, fine):
    global failed
    failed |= not fine
    print(f"{name:36} {text}{'' if fine else '   WRONG'}", flush=True)


light = Path(onnx.__file__).parent / "backend/test/data/light"
# Nearly black: with their constant weights some models give huge logits, whose softmax is decided by the rounding.
noise = np.random.default_rng(3).integers(0, 2, (2, 224, 224, 3), dtype=np.uint8)
(work / "noise").write_bytes(noise.tobytes())
models = sorted(light.glob("*.onnx"))
assert len(models) == 9
for path in models:
    said = subprocess.run([target / "examples/ask_onnx", path, "224", work / "noise"], capture_output=True, check=True, text=True).stdout
    ours = json.loads(said)
    if isinstance(ours, str):
        verdict(path.stem, "refused: " + ours.split(": ", 1)[1], True)
        continue
    expected = rows_of(path, noise, white=1)
    off = np.abs(np.array(ours) - expected).max() / np.abs(expected).max()
    verdict(path.stem, f"off by {off:.1e} of the largest", off <= 1e-5)

images = [pixels for name, pixels in pictures() if name.startswith("test/")]
asked = ["--data", "folder:images", "--scale", "255", "--channels", "rgb", "-q"]
for defence in DEFENCES:
    table, protected = work / "served.csv", work / "protected.onnx"
    run = [target / "nasty", "evaluate", victim, "--defence", defence, "--record", table, *asked]
    subprocess.run(run, cwd=work, check=True, capture_output=True)
    run = [target / "nasty", "export", victim, "--defence", defence, "-o", protected, "-q"]
    subprocess.run(run + (["--data", "folder:images", "--scale", "255"] if "class-tail" in defence else []), cwd=work, check=True, capture_output=True)
    onnx.checker.check_model(onnx.load(protected), full_check=True)
    with table.open(newline="") as file:
        ours = {row["sha256"]: [float(row[str(c)]) for c in range(10)] for row in csv.DictReader(file)}
    ours = np.array([ours[hashlib.sha256(pixels.tobytes()).hexdigest()] for pixels in images])
    off = np.abs(ours - rows_of(protected, np.stack(images))).max()
    verdict(defence, f"off by {off:.1e}", off <= 1e-5)
sys.exit(failed)
