"""Pictures: PNG, JPEG, WebP, GIF, BMP and TIFF to RGB. The first frame of an animation; no metadata but the orientation."""

import warnings
from typing import IO

import numpy as np
from PIL import Image as Pillow

from omnie.media.kinds import Kind
from omnie.media.limits import Limits, damaged, not_numbers, too_large
from omnie.media.types import Image

_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of more than 8 bits per channel; its own conversion to 8 bits clips them."""
_STRIP_ROWS = 64


def decode(file: IO[bytes], kind: Kind, limits: Limits) -> Image:
    """Decode a picture: upright, on white where it is transparent, at most `limits.image_pixels` large.

    Raises:
        MediaError: The picture is damaged, or its header states more than `limits.megapixels` (nothing is decoded then).
    """
    Pillow.MAX_IMAGE_PIXELS = None  # the check below stands in its place
    file.seek(0)
    try:
        with warnings.catch_warnings(action="ignore"), Pillow.open(file, formats=(kind.format,)) as picture:
            _check_size(picture, limits)
            size = _target(picture, limits)
            picture.draft("RGB", size)  # a JPEG decodes at 1/2, 1/4 or 1/8 of its size for a part of the cost
            picture.load()
            pixels = _reduced(picture, min(picture.width // size[0], picture.height // size[1]))
            if pixels.size != size:
                pixels = pixels.resize(size, Pillow.Resampling.BOX)
            return Image(np.array(_upright(picture, pixels)))
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, ArithmeticError) as error:
        raise damaged(kind.title, str(error) or type(error).__name__) from error


def _check_size(picture: Pillow.Image, limits: Limits) -> None:
    if picture.width * picture.height > limits.megapixels * 1e6:
        raise too_large(
            "the picture is too large",
            f"{picture.width} x {picture.height} pixels",
            f"at most {limits.megapixels:g} megapixels",
            "megapixels",
        )


def _target(picture: Pillow.Image, limits: Limits) -> tuple[int, int]:
    factor = max(1.0, (picture.width * picture.height / limits.image_pixels) ** 0.5)
    return max(1, int(picture.width / factor)), max(1, int(picture.height / factor))


def _reduced(picture: Pillow.Image, factor: int) -> Pillow.Image:
    """RGB at 1/`factor` of the size, made strip by strip: beside the decoded picture, only the result takes memory."""
    if factor <= 1:
        return _rgb(picture, picture)
    result = Pillow.new("RGB", (-(-picture.width // factor), -(-picture.height // factor)))
    for row in range(0, result.height, _STRIP_ROWS):
        rows = min((row + _STRIP_ROWS) * factor, picture.height)
        strip = picture.crop((0, row * factor, picture.width, rows))
        result.paste(_rgb(strip, picture).reduce(factor), (0, row))
    return result


def _rgb(strip: Pillow.Image, whole: Pillow.Image) -> Pillow.Image:
    """A strip with 8 bits per channel; transparency shows white paper."""
    if strip.mode in _DEEP:
        strip = _eight_bits(strip, whole)
    if not strip.has_transparency_data:
        return strip.convert("RGB")
    strip = strip.convert("RGBA")
    paper = Pillow.new("RGB", strip.size, "white")
    paper.paste(strip, mask=strip.getchannel("A"))
    return paper


def _eight_bits(strip: Pillow.Image, whole: Pillow.Image) -> Pillow.Image:
    """Grey levels of 16 or 32 bits to 8: by the range of the type for 16 bits, by the range of the picture beyond."""
    levels = np.asarray(strip, np.float32)
    low, high = (0.0, 65535.0) if strip.mode.startswith("I;16") else np.asarray(whole.getextrema(), float).tolist()
    if not np.isfinite(levels).all():
        raise not_numbers("the picture", "pixels")
    if low >= 0 and 255 < high <= 65535:
        low, high = 0.0, 65535.0
    return Pillow.fromarray(((levels - low) * (255 / max(high - low, 1e-12))).round().clip(0, 255).astype(np.uint8))


def _upright(picture: Pillow.Image, pixels: Pillow.Image) -> Pillow.Image:
    """Turned as the camera's orientation tag says; a tag that cannot be read turns nothing."""
    try:
        turn = _TURN.get(picture.getexif().get(0x0112, 1))
    except Exception:  # Pillow's EXIF reader fails in many ways on tags that have nothing to do with the pixels
        return pixels
    return pixels.transpose(turn) if turn is not None else pixels


_TURN = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
