"""Tables and plain text: CSV with any usual delimiter, XLSX workbooks (values, not formulas) and text files."""

import csv
import datetime
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from omnie.errors import MediaError
from omnie.media.kinds import HEAD_BYTES, delimiter, text_encoding, unreadable
from omnie.media.limits import Limits, damaged, empty, encrypted, too_large
from omnie.media.types import Table

_ZIP_ENTRIES = 5000


def decode_text(file: IO[bytes], limits: Limits) -> str:
    """Read a text file in UTF-8, UTF-16 (with its mark) or Western encoding; line ends become `\\n`.

    Raises:
        MediaError: It is too long, blank, or not text throughout.
    """
    size = file.seek(0, 2)
    if size > limits.text_bytes:
        raise too_large("the text is too long", f"{size:,} bytes", f"at most {limits.text_bytes:,} bytes", "text_bytes")
    file.seek(0)
    data = file.read()
    encoding = text_encoding(data)
    if encoding is None:
        raise unreadable("text that turns into binary data")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise damaged("the text file", f"its end is no {encoding}") from error
    if not text.strip():
        raise empty("the text has nothing but blanks", f"{size:,} bytes")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decode_csv(file: IO[bytes], name: str, limits: Limits) -> Table:
    """Read a CSV table.

    Raises:
        MediaError: as `decode_text`; or it has too many cells.
    """
    text = decode_text(file, limits)
    mark = delimiter(text[:HEAD_BYTES], whole=len(text) <= HEAD_BYTES) or ","
    csv.field_size_limit(limits.text_bytes)
    try:
        rows = csv.reader(io.StringIO(text), delimiter=mark)
        return _table(name or "table", ([cell.strip() for cell in row] for row in rows), limits)
    except csv.Error as error:
        raise damaged("the CSV table", str(error)) from error


def decode_workbook(file: IO[bytes], limits: Limits) -> Table:
    """Read the visible sheets of a workbook. Several sheets follow one another, each after a row with its name.

    Raises:
        MediaError: It is damaged, unpacks to too much, is empty, or has too many cells.
    """
    _check_zip(file, limits)
    import openpyxl  # only here: it takes longer to import than a picture to decode

    try:
        values = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        formulas = openpyxl.load_workbook(file, read_only=True, keep_links=False) if _has_formulas(file) else None
        sheets = [sheet for sheet in values.worksheets if sheet.sheet_state == "visible"]
        several = len(sheets) > 1
        rows: list[list[str]] = []
        for sheet in sheets:
            found = list(_bounded(_sheet_rows(sheet, formulas[sheet.title] if formulas else None), limits))
            rows += [[f"{sheet.title}:"], *found] if several and any(map(any, found)) else found
        return _table(", ".join(sheet.title for sheet in sheets) or "table", rows, limits)
    except MediaError:
        raise
    except Exception as error:  # openpyxl raises anything, from KeyError to TypeError, on damaged parts
        raise damaged("the XLSX workbook", str(error) or type(error).__name__) from error


def _check_zip(file: IO[bytes], limits: Limits) -> None:
    """Refuse a zip bomb by its table of contents; an entry never unpacks to more than is stated there."""
    size = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    if any(entry.flag_bits & 1 for entry in entries):
        raise encrypted("the XLSX workbook")
    total = sum(entry.file_size for entry in entries)
    if len(entries) > _ZIP_ENTRIES or total > min(limits.zip_bytes, max(16 << 20, size * limits.zip_ratio)):
        raise too_large(
            "the XLSX workbook unpacks to too much",
            f"{len(entries)} parts, {total:,} bytes from {size:,}",
            f"at most {_ZIP_ENTRIES} parts, {limits.zip_bytes:,} bytes and {limits.zip_ratio:g} times its size",
            "zip_bytes",
        )


def _has_formulas(file: IO[bytes]) -> bool:
    with zipfile.ZipFile(file) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/") and name.endswith(".xml")]
        return any(re.search(rb"<f[ >]", archive.read(name)) for name in sheets)


def _sheet_rows(values: Any, formulas: Any) -> Iterator[list[str]]:
    """The rows of a sheet; a formula that was never calculated shows as itself."""
    values.reset_dimensions()  # the stated size may be a lie of 17 thousand million cells
    if formulas is None:
        yield from ([_text(cell) for cell in row] for row in values.rows)
        return
    formulas.reset_dimensions()
    for row, sources in zip(values.rows, formulas.rows, strict=False):
        yield [_text(cell) or _text(source) for cell, source in zip(row, sources, strict=False)]


def _bounded(rows: Iterable[list[str]], limits: Limits) -> Iterator[list[str]]:
    cells = 0
    for number, row in enumerate(rows):
        cells += max(1, len(row)) if any(row) else 0
        if cells > limits.cells or number > 10 * limits.cells + 1_000_000:
            raise _too_many(cells, limits)
        yield row


def _text(cell: Any) -> str:
    """A cell as its reader sees it: dates in ISO form, whole numbers without a point, percentages as such."""
    value = cell.value
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case int() | float() if "%" in (cell.number_format or ""):
            return f"{value * 100:.10g}%"
        case float():
            return f"{value:.15g}"
        case datetime.datetime() if value.time() == datetime.time():
            return value.date().isoformat()
        case datetime.datetime():
            return value.isoformat(" ", "seconds")
        case _:
            return str(value).strip()


def _table(name: str, rows: Iterable[list[str]], limits: Limits) -> Table:
    """Rows of equal length without empty rows and columns at the end."""
    kept: list[list[str]] = []
    width = 0
    for row in rows:
        while row and not row[-1]:
            row.pop()
        kept.append(row)
        width = max(width, len(row))
        if row and len(kept) * width > limits.cells:
            raise _too_many(len(kept) * width, limits)
    while kept and not kept[-1]:
        kept.pop()
    if not kept:
        raise empty("the table has no cells", name)
    return Table(name, tuple(tuple(row + [""] * (width - len(row))) for row in kept))


def _too_many(cells: int, limits: Limits) -> MediaError:
    return too_large("the table has too many cells", f"over {cells:,}", f"at most {limits.cells:,}", "cells")
