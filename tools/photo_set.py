"""Makes a small set of photos for docs/own-model.md, from the photos of Debian's package mate-backgrounds (GPL-2+).

    pip install pillow
    apt-get download mate-backgrounds && dpkg -x mate-backgrounds_*.deb unpacked
    python tools/photo_set.py unpacked/usr/share/backgrounds/mate/nature photos

Each of eight photos is a class. Its pictures are random parts of it, 240 to 480 pixels wide and high, saved as JPEG: 50 from
the left three quarters for training, 20 from the right quarter for testing, so that no pixel is in both.
"""

import random
import sys
from pathlib import Path

from PIL import Image

PHOTOS = ["Blinds", "Dune", "Garden", "LadyBird", "RainDrops", "Storm", "TwoWings", "Wood"]
COUNTS = {"train": 50, "test": 20}


def main(source, target):
    draw = random.Random(0)
    for name in PHOTOS:
        photo = Image.open(Path(source) / f"{name}.jpg").convert("RGB")
        border = photo.width * 3 // 4
        for split, count in COUNTS.items():
            left, right = (0, border) if split == "train" else (border, photo.width)
            folder = Path(target) / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                width = draw.randint(240, min(480, right - left))
                height = draw.randint(240, min(480, photo.height))
                x, y = draw.randint(left, right - width), draw.randint(0, photo.height - height)
                part = photo.crop((x, y, x + width, y + height))
                part.save(folder / f"{number:02}.jpg", quality=90)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
