"""The fonts of a split: which faces there are, and drawing objects for them. Which families belong where says `assets.toml`."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageFont

from omnie.data import assets
from omnie.data.example import Split
from omnie.errors import OptionError

KINDS = ("sans", "serif", "mono", "slab", "hand", "display")
SHARES = {"sans": 0.5, "serif": 0.2, "mono": 0.12, "slab": 0.06, "hand": 0.07, "display": 0.05}
"""How often a kind is drawn when the caller does not choose: charts, pages and screens are mostly sans and serif."""
STYLE_SHARES = {"regular": 0.6, "bold": 0.25, "italic": 0.1, "bold-italic": 0.05}


@dataclass(frozen=True)
class Face:
    """One font file. `style` is "regular", "bold", "italic" or "bold-italic"; `path` is a TrueType file."""

    family: str
    style: str
    kind: str
    path: Path


@functools.cache
def faces(split: Split, kind: str, root: Path = assets.FOLDER) -> tuple[tuple[Face, ...], ...]:
    """The split's families of a kind, each as the tuple of its faces (regular first).

    Raises:
        InputError: The fonts have not been fetched.
    """
    chosen = [asset for asset in assets.assets("font") if asset.split == split and asset.kind == kind]
    return tuple(_faces_of(asset, assets.require(asset, root)) for asset in chosen)


def _faces_of(asset: assets.Asset, folder: Path) -> tuple[Face, ...]:
    found = (folder / f"{style}.ttf" for style in STYLE_SHARES)
    return tuple(Face(asset.family, path.stem, asset.kind, path) for path in found if path.is_file())


def pick(
    rng: np.random.Generator,
    split: Split,
    *,
    kinds: Iterable[str] | None = None,
    styles: Iterable[str] | None = None,
    root: Path = assets.FOLDER,
) -> Face:
    """A face of the split: first a kind (by `SHARES`), then a family, then a style (by `STYLE_SHARES`).

    Args:
        kinds: Only these kinds (see `KINDS`); a kind that the split lacks is passed over.
        styles: Only these styles; a family without any of them gives its regular face.

    Raises:
        OptionError: A kind is unknown, or the split has no family of these kinds.
        InputError: The fonts have not been fetched.
    """
    kind = _weighted(rng, _kinds(split, None if kinds is None else tuple(kinds)))
    families = faces(split, kind, root)
    family = families[int(rng.integers(len(families)))]
    allowed = STYLE_SHARES.keys() if styles is None else set(styles)
    usable = {face: STYLE_SHARES[face.style] for face in family if face.style in allowed} or {family[0]: 1.0}
    return _weighted(rng, usable)


@functools.cache
def _kinds(split: Split, kinds: tuple[str, ...] | None) -> dict[str, float]:
    """Kind -> share, for the kinds that are asked for and that the split has."""
    unknown = set(kinds or ()) - set(KINDS)
    present = {asset.kind for asset in assets.assets("font") if asset.split == split}
    usable = {kind: SHARES[kind] for kind in KINDS if kind in present and (kinds is None or kind in kinds)}
    if unknown or not usable:
        raise OptionError("no such font kind", value=f"{kinds} in {split}", allowed=", ".join(KINDS))
    return usable


def _weighted(rng: np.random.Generator, shares: dict) -> Any:
    """A key, drawn in proportion to its value (ten times faster than `rng.choice` for a handful)."""
    left = rng.random() * sum(shares.values())
    for item, share in shares.items():
        left -= share
        if left <= 0:
            return item
    return next(iter(shares))


@functools.lru_cache(maxsize=2048)
def font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """The face at a size (pixels per em), ready to draw; the newest 2048 are kept open."""
    return ImageFont.truetype(str(face.path), size, layout_engine=ImageFont.Layout.BASIC)
