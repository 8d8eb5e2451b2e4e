"""Writes what torchvision makes of pictures, for the tests of crates/nasty-teacher/src/data, and compares photos.

    pip install torch torchvision pillow numpy
    python tools/golden_pictures.py                          # writes crates/nasty-teacher/tests/golden-pictures/cases.json
    python tools/golden_pictures.py --draws                  # prints the means of RandomResizedCrop's draws
    python tools/golden_pictures.py --parquet                # writes the Parquet file beside it (pip install datasets)
    python tools/golden_pictures.py --compare FOLDER PROGRAM # PROGRAM: target/release/examples/images

`--compare` frames all pictures of a folder data set (256/224) with torchvision, and prints how far the program's pixels
are from them. Versions used for the committed values: torchvision 0.29.2, Pillow 13.0.0.
"""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomResizedCrop, v2
from torchvision.transforms.v2 import functional as F

OUT = Path(__file__).parent.parent / "crates/nasty-teacher/tests/golden-pictures/cases.json"


def patterned(width, height):
    """A picture that the test can compute: no two neighbours alike."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return Image.fromarray(((x * 37 + y * 91 + x * y * (c + 1) * 5 + c * 40) % 256).astype(np.uint8))


def smooth(width, height):
    """A picture that JPEG can keep: waves and an edge."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    waves = 127 + 80 * np.sin(x / (9 + 4 * c)) * np.cos(y / (13 - 3 * c)) + 40 * (x > y)
    return Image.fromarray(np.clip(waves, 0, 255).astype(np.uint8))


def text(data):
    return base64.b64encode(data).decode()


def framed(picture, shorter, side):
    return F.center_crop(F.resize(picture, shorter, InterpolationMode.BILINEAR, antialias=True), side)


def golden():
    frames, crops, files = [], [], []
    for width, height, shorter, side in [(50, 40, 28, 24), (31, 64, 12, 12), (20, 17, 40, 33), (97, 24, 24, 20), (300, 201, 12, 11)]:
        pixels = np.asarray(framed(patterned(width, height), shorter, side)).tobytes()
        frames.append({"size": [width, height], "framing": [shorter, side], "pixels": text(pixels)})
    for top, left, height, width, side in [(3, 5, 30, 20, 16), (0, 0, 40, 50, 24), (10, 12, 7, 9, 20), (8, 1, 16, 40, 16)]:
        cut = F.resized_crop(patterned(50, 40), top, left, height, width, [side, side], InterpolationMode.BILINEAR, antialias=True)
        crops.append({"area": [top, left, height, width], "side": side, "pixels": text(np.asarray(cut).tobytes())})
    kinds = [
        ("JPEG", {"quality": 85}, "RGB"),
        ("JPEG", {"quality": 92, "subsampling": 0, "progressive": True}, "RGB"),
        ("JPEG", {"quality": 80}, "L"),
        ("PNG", {}, "P"),
        ("WEBP", {"lossless": True}, "RGB"),
        ("BMP", {}, "RGB"),
        ("TIFF", {"compression": "tiff_lzw"}, "RGB"),
        ("GIF", {}, "P"),
    ]
    for kind, options, mode in kinds:
        file = io.BytesIO()
        smooth(42, 32).convert(mode).save(file, kind, **options)
        picture = Image.open(io.BytesIO(file.getvalue())).convert("RGB")
        pixels = np.asarray(framed(picture, 24, 20)).tobytes()
        files.append({"kind": f"{kind} {mode}", "file": text(file.getvalue()), "framing": [24, 20], "pixels": text(pixels)})
    OUT.write_text(json.dumps({"frames": frames, "crops": crops, "files": files}, indent=0) + "\n")
    print(OUT, OUT.stat().st_size)


def draws():
    torch.manual_seed(0)
    size = torch.zeros(3, 256, 341, dtype=torch.uint8)
    drawn = [RandomResizedCrop.get_params(size, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(200_000)]
    rows = [(h, w, h * w / (256 * 341), top, left) for top, left, h, w in drawn]
    print("height, width, share, top, left:", np.mean(rows, axis=0))


def parquet():
    from datasets import ClassLabel, Dataset, Features, Image as Pictures

    pictures = [Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)) for i in range(6)]
    features = Features({"image": Pictures(), "label": ClassLabel(names=["ant", "bee", "cat"])})
    data = Dataset.from_dict({"image": pictures, "label": [0, 1, 2, 0, 1, 2]}, features=features)
    data.to_parquet(OUT.parent / "train-00000-of-00001.parquet")


def compare(folder, program):
    """The test pictures, in the program's order: classes and names ascending."""
    raw = subprocess.run([program, folder, "256/224"], capture_output=True, check=True).stdout
    ours = np.frombuffer(raw, np.uint8).reshape(-1, 224, 224, 3).astype(int)
    paths = sorted(p for p in (Path(folder) / "test").rglob("*") if p.is_file())
    apart, tensors = [], []
    for path, image in zip(paths, ours, strict=True):
        picture = Image.open(path).convert("RGB")
        theirs = np.asarray(framed(picture, 256, 224)).astype(int)
        apart.append(np.abs(image - theirs))
        tensor = framed(v2.functional.pil_to_tensor(picture), 256, 224).permute(1, 2, 0).numpy().astype(int)
        tensors.append(np.abs(tensor - theirs))
    apart, tensors = np.stack(apart), np.stack(tensors)
    print(f"{len(paths)} pictures: mean {apart.mean():.4f}, largest mean of a picture {apart.mean((1, 2, 3)).max():.4f},")
    print(f"largest {apart.max()}, equal {(apart == 0).mean():.4f} (grey levels, against torchvision with Pillow)")
    print(f"torchvision's tensors against its Pillow: mean {tensors.mean():.4f}, largest {tensors.max()}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            golden()
        case ["--draws"]:
            draws()
        case ["--parquet"]:
            parquet()
        case ["--compare", folder, program]:
            compare(folder, program)
        case _:
            sys.exit(__doc__)
