import os
import pathlib
import random
import struct
import zlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SIDE = 16


@pytest.fixture(scope="session", autouse=True)
def program():
    """The program under test: NASTY_PROGRAM, or the release build of this tree."""
    built = ROOT / "target" / "release" / ("nasty.exe" if os.name == "nt" else "nasty")
    path = os.environ.get("NASTY_PROGRAM") or str(built)
    if not os.path.isfile(path):
        pytest.exit(f"no program at {path}: run `cargo build --release`, or name it in NASTY_PROGRAM", 2)
    os.environ["NASTY_PROGRAM"] = path
    return path


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """A data set of grey noise (3 classes, each with 16 training and 4 test images), and its test images by class."""
    folder, draw, tests = tmp_path_factory.mktemp("images"), random.Random(1), {}
    for name in ("bird", "cat", "dog"):
        for part, count in (("train", 16), ("test", 4)):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = draw.randbytes(SIDE * SIDE)
                (folder / part / name / f"{i}.png").write_bytes(png(pixels, SIDE))
                if part == "test":
                    tests.setdefault(name, []).append(pixels)
    return folder, tests


@pytest.fixture(scope="session")
def teacher(images, tmp_path_factory):
    """A store with one finished run, and the run's hash."""
    import nasty_teacher

    store = tmp_path_factory.mktemp("store") / "runs"
    settings = ["epochs=2", "data.validation=8", "batch=16"]
    data = f"folder:{images[0]}"
    nasty_teacher.run("train", "--data", data, "--architecture", "cnn4", *settings, "--store", store, "--quiet")
    (run,) = nasty_teacher.read_runs(store)
    return store, run["hash"]


def png(pixels, side):
    """A square grey PNG, one byte per pixel."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + pixels[row * side : (row + 1) * side] for row in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
