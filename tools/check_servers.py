#!/usr/bin/env python3
"""What check_servers needs of Python: `images DIR` writes a data set of noise, `compare DIR TABLE SERVING [--onnx FILE]` compares the
recorded answers with the model computed here."""
import csv
import hashlib
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

CLASSES, EACH, SIDE = 10, 20, 32


def pictures():
    random = np.random.default_rng(2)
    for split, count in (("train", 1), ("test", EACH)):
        for label in range(CLASSES):
            for i in range(count):
                yield f"{split}/{label}/{i}.png", random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def png(pixels):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def main():
    command, work = sys.argv[1], Path(sys.argv[2])
    if command == "images":
        for name, pixels in pictures():
            path = work / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(pixels))
        return
    table, serving, rest = work / sys.argv[3], sys.argv[4], sys.argv[5:]
    if rest[:1] == ["--onnx"]:
        os.environ["VICTIM_ONNX"] = rest[1]
    sys.path.insert(0, serving)
    import model

    with table.open(newline="") as file:
        found = {row["sha256"]: [float(row[str(c)]) for c in range(CLASSES)] for row in csv.DictReader(file)}
    images = [pixels for name, pixels in pictures() if name.startswith("test/")]
    expected = model.answer(np.stack(images).astype(np.float32).transpose(0, 3, 1, 2))
    ours = np.array([found[hashlib.sha256(pixels.tobytes()).hexdigest()] for pixels in images])
    assert len(found) == len(images) == CLASSES * EACH
    off = np.abs(ours - expected).max() / np.abs(expected).max()
    print(f"{table.name:22} {len(images)} images, off by {off:.1e} of the largest logit")
    sys.exit(0 if off <= 1e-6 else 1)


if __name__ == "__main__":
    main()
