"""Photographs that scikit-image ships, made smaller: `python tools/wild/photos.py FOLDER`."""

import sys
from pathlib import Path

from PIL import Image
from skimage import data

PHOTOS = ("chelsea", "coffee", "rocket", "horse", "astronaut")


def main(folder: Path) -> None:
    for name in PHOTOS:
        pixels = getattr(data, name)()
        picture = Image.fromarray(pixels).convert("RGB" if pixels.ndim == 3 else "L")
        picture.thumbnail((320, 320))
        picture.save(folder / f"photo_{name}.jpg", quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
