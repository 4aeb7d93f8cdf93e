"""Pictures of concrete things from emoji families, as RGBA. Which family belongs to which split says `assets.toml`."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from omnie.data import assets
from omnie.data.example import Split
from omnie.data.pictures.things import things
from omnie.data.words import choose


@functools.cache
def pictures(family: str, root: Path = assets.FOLDER) -> dict[str, tuple[Path, ...]]:
    """Thing -> its picture files, for the things that this family draws.

    Raises:
        InputError: The family has not been fetched.
    """
    asset = next(asset for asset in assets.assets("emoji") if asset.family == family)
    found: dict[str, list[Path]] = {}
    for path in sorted(assets.require(asset, root).glob("*--*.png")):
        found.setdefault(path.stem.split("--")[0], []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}


@functools.cache
def families(split: Split) -> tuple[assets.Asset, ...]:
    """The emoji families of a split."""
    return tuple(asset for asset in assets.assets("emoji") if asset.split == split)


@functools.cache
def drawn_by(family: str, root: Path = assets.FOLDER) -> tuple[str, ...]:
    """The things that a family draws, in the table's order."""
    return tuple(name for name in things() if name in pictures(family, root))


def picture(rng: np.random.Generator, family: str, thing: str, root: Path = assets.FOLDER) -> Image.Image:
    """A picture [120, 120] of the thing by the family, RGBA; shared, so copy it before drawing on it."""
    return _open(choose(rng, pictures(family, root)[thing]))


@functools.lru_cache(maxsize=1024)
def _open(path: Path) -> Image.Image:
    with Image.open(path) as stored:
        return stored.convert("RGBA")
