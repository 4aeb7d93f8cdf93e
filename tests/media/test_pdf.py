"""Documents: pages look right, words stand where they are seen and in the order in which they are read."""

import numpy as np
import pytest
from PIL import Image as Pillow

from omnie.errors import MediaError
from omnie.media.pdf import in_reading_order
from omnie.media.types import Word

from .helpers import decoded
from .samples import gradient, pdf, picture

A4 = (595.0, 842.0)


def texts(page) -> list[str]:
    return [word.text for word in page.words]


def test_page_is_picture_and_words():
    page = decoded(pdf(["100 700 Hello wide world\n100 650 second line"])).pages[0]
    assert page.number == 1 and page.image.pixels.shape == (1000, 707, 3)
    assert texts(page) == ["Hello", "wide", "world", "second", "line"]
    left, top, right, bottom = page.words[0].box
    assert abs(left - 100 / A4[0]) < 0.004 and abs(bottom - (1 - 700 / A4[1])) < 0.004
    assert 0.04 < right - left < 0.06 and 0.008 < bottom - top < 0.016


def ink(page, box) -> bool:
    """Whether something is drawn within the box."""
    height, width = page.image.pixels.shape[:2]
    left, top, right, bottom = (round(share * side) for share, side in zip(box, (width, height) * 2, strict=True))
    return bool(page.image.pixels[top : bottom + 1, left : right + 1].min() < 128)


@pytest.mark.parametrize("extra", ["", "/Rotate 90", "/Rotate 180", "/Rotate 270", "/CropBox[50 300 500 800]"])
def test_boxes_lie_on_the_ink_of_turned_and_cropped_pages(extra):
    page = decoded(pdf(["100 700 corner\n300 400 middle"], page_extra=extra)).pages[0]
    assert sorted(texts(page)) == ["corner", "middle"]
    for word in page.words:
        assert ink(page, word.box)
    height, width = page.image.pixels.shape[:2]
    assert max(width, height) == 1000 and (width > height) == (extra in ("/Rotate 90", "/Rotate 270"))


def test_words_outside_of_the_page_are_not_read():
    page = decoded(pdf(["100 700 seen\n2000 700 hidden"])).pages[0]
    assert texts(page) == ["seen"]


def test_scanned_page_has_no_words():
    page = decoded(picture("PDF", Pillow.fromarray(gradient(200, 100)))).pages[0]
    assert page.words == () and page.image.pixels.shape == (500, 1000, 3)
    assert page.image.pixels[250, 990, 0] > 200 > 60 > page.image.pixels[250, 10, 0]  # red grows to the right


def test_pages_are_numbered_and_limited():
    data = pdf([f"100 700 page{index}" for index in range(1, 6)])
    assert [(page.number, texts(page)) for page in decoded(data).pages] == [(n, [f"page{n}"]) for n in range(1, 6)]
    with pytest.raises(MediaError, match="5 pages"):
        decoded(data, pages=4)


def test_columns_stay_in_stored_order():
    left = "\n".join(f"50 {700 - 20 * row} left{row}" for row in range(3))
    right = "\n".join(f"300 {700 - 20 * row} right{row}" for row in range(3))
    assert texts(decoded(pdf([f"{left}\n{right}"])).pages[0]) == [f"{side}{n}" for side in ("left", "right") for n in range(3)]


def test_words_stored_from_the_bottom_are_sorted():
    lines = "\n".join(f"50 {500 + 20 * row} row{row} end{row}" for row in range(4))
    assert texts(decoded(pdf([lines])).pages[0]) == [f"{word}{n}" for n in (3, 2, 1, 0) for word in ("row", "end")]


def test_sorting_puts_shuffled_words_into_lines():
    words = [
        Word(f"{row}{column}", (column / 10, row / 10, column / 10 + 0.08, row / 10 + 0.05))
        for row in range(6)
        for column in range(6)
    ]
    shuffled = [words[index] for index in np.random.default_rng(1).permutation(len(words))]
    assert in_reading_order(shuffled) == words


def test_umlauts_of_the_text_layer():
    assert texts(
        decoded(
            pdf(["50 700 Grüße aus Köln"]).replace(b"/BaseFont/Helvetica", b"/BaseFont/Helvetica/Encoding/WinAnsiEncoding")
        ).pages[0]
    )[0].startswith("Gr")


@pytest.mark.parametrize("where", [30, 300, 500, -40])
def test_damaged_or_cut_off(where):
    data = pdf(["100 700 some words"])
    with pytest.raises(MediaError):
        decoded(data[:where])


def test_password():
    with pytest.raises(MediaError, match="encrypted"):
        decoded(pdf(["100 700 secret"], password=b"geheim"))


def test_encryption_without_a_password_is_read():
    """Files whose author only restricted printing open without a password, and everywhere."""
    assert texts(decoded(pdf(["100 700 public"], password=b"")).pages[0]) == ["public"]


@pytest.mark.parametrize(
    ("box", "extra", "metres"), [((0, 0, 566_929, 566_929), "", "200.0 m"), ((0, 0, 14_400, 10), "/UserUnit 40", "203.2 m")]
)
def test_page_of_200_metres(box, extra, metres):
    with pytest.raises(MediaError, match=metres):
        decoded(pdf(["100 700 far"], box=box, page_extra=extra))


def test_text_layer_has_a_limit():
    with pytest.raises(MediaError, match="text is too long"):
        decoded(pdf(["10 700 " + "long " * 300]), text_bytes=1000)


def test_no_pages():
    with pytest.raises(MediaError):
        decoded(pdf([]))
