"""Pictures: every format and mode gives the same RGB pixels, upright, on white, and small enough."""

import numpy as np
import pytest
from PIL import Image as Pillow

from omnie.errors import MediaError

from .helpers import decoded
from .samples import gradient, picture

PIXELS = gradient(48, 32)
RGB = Pillow.fromarray(PIXELS)


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    assert got.shape == expected.shape and got.dtype == np.uint8
    return float(np.abs(got.astype(int) - expected).mean())


@pytest.mark.parametrize(
    ("name", "options", "bound"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95, "subsampling": 0}, 3),
        ("GIF", {}, 12),
    ],
)
def test_formats(name, options, bound):
    assert difference(decoded(picture(name, RGB, **options)).pixels, PIXELS) <= bound


def test_grey_levels_of_16_bits_keep_their_range():
    levels = np.linspace(0, 65535, 32 * 48).reshape(32, 48).astype(np.uint16)
    for name in ("PNG", "TIFF"):
        pixels = decoded(picture(name, Pillow.fromarray(levels))).pixels
        assert difference(pixels, np.repeat((levels / 257).round()[:, :, None], 3, 2).astype(np.uint8)) <= 0.5


def test_dark_16_bit_picture_stays_dark():
    assert decoded(picture("PNG", Pillow.fromarray(np.full((4, 4), 300, np.uint16)))).pixels.max() == 1


def test_float_tiff_is_stretched_and_refused_when_not_finite():
    levels = np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8)
    pixels = decoded(picture("TIFF", Pillow.fromarray(levels))).pixels
    assert pixels.min() == 0 and pixels.max() == 255
    levels[3, 3] = np.nan
    with pytest.raises(MediaError, match="not numbers"):
        decoded(picture("TIFF", Pillow.fromarray(levels)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGBa"])
def test_transparency_shows_white(mode):
    image = Pillow.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    if mode == "P":
        image = image.quantize(4)
    elif mode == "LA":
        image = image.convert("LA")
    name, options = ("TIFF", {}) if mode in ("PA", "RGBa") else ("PNG", {})
    if mode == "PA":
        image = image.convert("RGBA")
    pixels = decoded(picture(name, image, **options)).pixels
    assert pixels[:, :4].max() == 0 and pixels[:, 4:].min() == 255


def test_transparent_colour_of_rgb_png():
    pixels = decoded(picture("PNG", Pillow.new("RGB", (4, 4), (10, 20, 30)), transparency=(10, 20, 30))).pixels
    assert pixels.min() == 255


def test_cmyk_jpeg_is_not_inverted():
    pixels = decoded(picture("JPEG", RGB.convert("CMYK"), quality=95)).pixels
    assert difference(pixels, PIXELS) <= 4


def test_palette_and_bilevel():
    assert difference(decoded(picture("PNG", RGB.quantize(255))).pixels, PIXELS) < 8
    assert set(np.unique(decoded(picture("PNG", RGB.convert("1"))).pixels)) == {0, 255}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_camera_orientation(orientation):
    """Each of the eight tags undoes the turn with which the pixels were stored."""
    turns = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # Pillow's transposes; 90 and 270 degrees undo each other
    stored = RGB
    for turn in turns.get(orientation, []):
        stored = stored.transpose(Pillow.Transpose(turn))
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    assert difference(decoded(picture("PNG", stored, exif=exif)).pixels, PIXELS) == 0


def test_broken_exif_is_ignored():
    data = picture("JPEG", RGB, exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage")
    assert decoded(data).pixels.shape == PIXELS.shape


def test_first_frame_of_an_animation():
    frames = [Pillow.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("GIF", "WEBP", "PNG"):
        pixels = decoded(picture(name, frames[0], save_all=True, append_images=frames[1:])).pixels
        assert pixels[0, 0, 0] > 240 and pixels[0, 0, 2] < 15


@pytest.mark.parametrize("name", ["PNG", "JPEG"])
def test_large_pictures_are_scaled_down_and_keep_their_shape(name):
    pixels = decoded(picture(name, Pillow.fromarray(gradient(1200, 800))), image_pixels=30_000).pixels
    height, width = pixels.shape[:2]
    assert 28_000 < height * width <= 30_000 and abs(width / height - 1.5) < 0.02
    assert difference(pixels, gradient(width, height)) < 4


def test_extreme_shapes_keep_a_pixel():
    assert decoded(picture("PNG", Pillow.new("L", (20_000, 1))), image_pixels=100).pixels.shape[0] == 1


def test_header_limit_is_checked():
    with pytest.raises(MediaError, match="48 x 32 pixels"):
        decoded(picture("PNG", RGB), megapixels=0.001)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.9])
def test_cut_off(name, share):
    data = picture(name, Pillow.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)))
    with pytest.raises(MediaError):
        decoded(data[: max(12, int(share * len(data)))])
