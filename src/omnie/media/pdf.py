"""PDF documents: each page as a rendered picture and as the words of its text layer. No forms are run, no links followed."""

import ctypes
import mmap
import re
from collections.abc import Iterator
from typing import IO

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from omnie.media.limits import Limits, damaged, empty, encrypted, too_large
from omnie.media.types import Document, Image, Page, Word

_METRES_PER_POINT = 0.0254 / 72
_GRID = 100_000
"""Device units along a page's sides in which boxes are measured."""


def decode(file: IO[bytes], limits: Limits) -> Document:
    """Read a document.

    Raises:
        MediaError: It is encrypted, damaged, cut off, empty, or has too many or too large pages (checked before rendering).
    """
    _check_tail(file)
    document = _open(file)
    try:
        if len(document) == 0:
            raise empty("the PDF has no pages", "0 pages")
        if len(document) > limits.pages:
            raise too_large("the PDF has too many pages", f"{len(document)} pages", f"at most {limits.pages}", "pages")
        unit = _user_unit(file)
        sizes = [_size(document, index, unit, limits) for index in range(len(document))]
        if document.get_formtype():
            document.init_forms()  # otherwise what was filled in would not be drawn
        budget = [limits.text_bytes]
        return Document(tuple(_page(document, index, sizes[index], limits, budget) for index in range(len(document))))
    except pdfium.PdfiumError as error:
        raise damaged("the PDF", str(error)) from error
    finally:
        document.close()


def _check_tail(file: IO[bytes]) -> None:
    """PDFium repairs a file that was cut off and shows a part of it; an answer about a part would be wrong."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 4096))
    if b"%%EOF" not in file.read():
        raise damaged("the PDF", "its end is missing")
    file.seek(0)


def _open(file: IO[bytes]) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(file)
    except pdfium.PdfiumError as error:
        if getattr(error, "err_code", None) in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
            raise encrypted("the PDF") from error
        raise damaged("the PDF", str(error)) from error


def _user_unit(file: IO[bytes]) -> float:
    """The largest factor by which any page enlarges its units; PDFium leaves it out of a page's size."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = re.findall(rb"/UserUnit\s+([0-9]{1,9}(?:\.[0-9]{1,9})?)", data)
    return max([1.0, *map(float, found)])


def _size(document: pdfium.PdfDocument, index: int, unit: float, limits: Limits) -> tuple[float, float]:
    """Width and height of a page in points, without loading the page."""
    width, height = document.get_page_size(index)
    metres = max(width, height) * unit * _METRES_PER_POINT
    if not (width > 0 and height > 0):
        raise damaged("the PDF", f"page {index + 1} has no area")
    if metres > limits.page_metres:
        raise too_large(
            f"page {index + 1} of the PDF is too large", f"{metres:,.1f} m", f"at most {limits.page_metres:g} m", "page_metres"
        )
    return width, height


def _page(document: pdfium.PdfDocument, index: int, size: tuple[float, float], limits: Limits, budget: list[int]) -> Page:
    page = document[index]
    try:
        scale = limits.page_side / max(size)
        bitmap = page.render(scale=scale, rev_byteorder=True, bitmap_maker=pdfium.PdfBitmap.new_native)
        pixels = np.array(bitmap.to_numpy()[:, :, :3])
        bitmap.close()
        return Page(index + 1, Image(pixels), tuple(in_reading_order(list(_words(page, budget, limits)))))
    finally:
        page.close()


def _words(page: pdfium.PdfPage, budget: list[int], limits: Limits) -> Iterator[Word]:
    """The words of a page's text layer, in the order in which they are stored."""
    layer = page.get_textpage()
    try:
        count = layer.count_chars()
        budget[0] -= count
        if budget[0] < 0:
            raise too_large("the PDF's text is too long", f"over {limits.text_bytes:,} characters", "less text", "text_bytes")
        letters: list[str] = []
        box: list[float] = []
        for index in range(count):
            letter = chr(pdfium_c.FPDFText_GetUnicode(layer, index))
            if letter in _HYPHENS:
                letter = "-"
            if letter.isprintable() and not letter.isspace():
                letters.append(letter)
                box += _char_box(layer, index)
            elif letters:
                yield from _word(page, letters, box)
                letters, box = [], []
        if letters:
            yield from _word(page, letters, box)
    finally:
        layer.close()


_HYPHENS = "\x02\xad\ufffe"
"""What PDFium gives for a hyphen at the end of a line."""


def _char_box(layer: pdfium.PdfTextPage, index: int) -> list[float]:
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    pdfium_c.FPDFText_GetCharBox(layer, index, left, right, bottom, top)
    return [left.value, bottom.value, right.value, top.value]


def _word(page: pdfium.PdfPage, letters: list[str], box: list[float]) -> Iterator[Word]:
    """The word with its box in shares of the page as it is shown (turned and cropped); none if it lies outside."""
    xs, ys = zip(_shown(page, min(box[0::4]), min(box[1::4])), _shown(page, max(box[2::4]), max(box[3::4])), strict=True)
    left, right, top, bottom = min(xs), max(xs), min(ys), max(ys)
    if right > 0 and bottom > 0 and left < 1 and top < 1:
        yield Word("".join(letters), (max(left, 0.0), max(top, 0.0), min(right, 1.0), min(bottom, 1.0)))


def _shown(page: pdfium.PdfPage, x: float, y: float) -> tuple[float, float]:
    column, row = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDF_PageToDevice(page, 0, 0, _GRID, _GRID, 0, x, y, column, row)
    return column.value / _GRID, row.value / _GRID


def in_reading_order(words: list[Word]) -> list[Word]:
    """Words sorted line by line from the top if they are stored in disorder, else as they are.

    Writers store text as it reads, columns and tables included, and know more about it than its geometry tells. Only a word
    above its predecessor that is not to its right, as a new column would be, shows that a writer did not.
    """
    jumps = sum(_above(later, earlier) for earlier, later in zip(words, words[1:], strict=False))
    if jumps <= 0.02 * len(words):
        return words
    ordered: list[Word] = []
    line: list[Word] = []
    for word in sorted(words, key=lambda word: word.box[1] + word.box[3]):
        if line and (word.box[1] + word.box[3]) / 2 > line[0].box[3]:
            ordered += sorted(line, key=lambda word: word.box[0])
            line = []
        line.append(word)
    return ordered + sorted(line, key=lambda word: word.box[0])


def _above(later: Word, earlier: Word) -> bool:
    return later.box[3] <= earlier.box[1] and later.box[0] < earlier.box[2]
