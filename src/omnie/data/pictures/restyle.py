"""The same thing as other hands would draw it: training's drawings in other colours, flatter, with other lines and proportions.

Training has seven families of drawings, so few hands that a drawing is known by its strokes and colours; what is asked about
later was drawn by none of them. NumPy and Pillow, some 2 ms a drawing.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

STYLES = 3
"""Most changes to one drawing."""


def restyled(rng: np.random.Generator, drawing: Image.Image) -> Image.Image:
    """A drawing with up to three changes; half of all stay as they are.

    Args:
        drawing: RGBA, not changed itself.

    Returns:
        RGBA, of about the same size.
    """
    if rng.random() < 0.5:
        return drawing
    for index in rng.permutation(len(_CHANGES))[: int(rng.integers(1, STYLES + 1))]:
        drawing = _CHANGES[index](rng, drawing)
    return drawing


def _tinted(rng: np.random.Generator, drawing: Image.Image) -> Image.Image:
    """Hue turned by up to 25 degrees, paler or stronger, darker or lighter."""
    h, s, v = (np.asarray(band, np.float32) for band in drawing.convert("RGB").convert("HSV").split())
    h = (h + rng.uniform(-18, 18)) % 256
    s = s * rng.uniform(0.4, 1.4)
    v = 255 * (v / 255) ** rng.uniform(0.7, 1.4)
    bands = [Image.fromarray(band.clip(0, 255).astype(np.uint8)) for band in (h, s, v)]
    return _with(Image.merge("HSV", bands).convert("RGB"), drawing)


def _flat(rng: np.random.Generator, drawing: Image.Image) -> Image.Image:
    """Few colours and no shading: three to eight of them, small details gone."""
    smooth = drawing.convert("RGB").filter(ImageFilter.ModeFilter(int(rng.choice((3, 5)))))
    return _with(smooth.quantize(int(rng.integers(3, 9)), dither=Image.Dither.NONE).convert("RGB"), drawing)


def _outlined(rng: np.random.Generator, drawing: Image.Image) -> Image.Image:
    """A dark or light line around it."""
    alpha = drawing.getchannel("A")
    wide = alpha.filter(ImageFilter.MaxFilter(int(rng.choice((3, 5, 7)))))
    shade = rng.uniform(0, 70, 3) if rng.random() < 0.7 else rng.uniform(200, 255, 3)
    line = Image.new("RGB", drawing.size, tuple(int(level) for level in shade))
    line.paste(drawing.convert("RGB"), mask=alpha)
    line.putalpha(wide)
    return line


def _inked(rng: np.random.Generator, drawing: Image.Image) -> Image.Image:
    """Its inner edges drawn in dark lines."""
    edges = np.asarray(drawing.convert("L").filter(ImageFilter.FIND_EDGES), np.float32)
    strength = (edges / 255 * rng.uniform(1.0, 3.0)).clip(0, 1)[..., None]
    rgb = np.asarray(drawing.convert("RGB"), np.float32) * (1 - strength) + rng.uniform(0, 60) * strength
    return _with(Image.fromarray(rgb.astype(np.uint8)), drawing)


def _stretched(rng: np.random.Generator, drawing: Image.Image) -> Image.Image:
    """Wider or higher by up to a quarter."""
    ratio = rng.uniform(0.8, 1.25)
    width, height = drawing.width * min(1.0, ratio), drawing.height * min(1.0, 1 / ratio)
    small = drawing.resize((max(round(width), 1), max(round(height), 1)), Image.Resampling.BILINEAR)
    canvas = Image.new("RGBA", drawing.size)
    canvas.paste(small, ((drawing.width - small.width) // 2, (drawing.height - small.height) // 2))
    return canvas


def _bent(rng: np.random.Generator, drawing: Image.Image) -> Image.Image:
    """Drawn by a less steady hand: each corner of its picture moved by up to a tenth."""
    w, h = drawing.size
    corners = np.array([(0, 0), (0, h), (w, h), (w, 0)]) + rng.uniform(-0.1, 0.1, (4, 2)) * (w, h)
    return drawing.transform(drawing.size, Image.Transform.QUAD, tuple(corners.ravel()), Image.Resampling.BILINEAR)


def _grey(_: np.random.Generator, drawing: Image.Image) -> Image.Image:
    """Without colours."""
    return _with(drawing.convert("L").convert("RGB"), drawing)


def _with(rgb: Image.Image, drawing: Image.Image) -> Image.Image:
    """Other colours under a drawing's outline."""
    rgb.putalpha(drawing.getchannel("A"))
    return rgb


_CHANGES: tuple[Callable[[np.random.Generator, Image.Image], Image.Image], ...] = (
    *(_tinted, _tinted, _flat, _flat, _outlined, _inked, _stretched, _bent),
    _grey,
)
