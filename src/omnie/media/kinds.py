"""What a file is, told by its content and never by its name. Nothing is decoded; of a zip archive the list of parts is read."""

import codecs
import csv
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from typing import IO, Literal

from omnie.errors import MediaError
from omnie.media.limits import damaged

Family = Literal["image", "sound", "movie", "pdf", "workbook", "table", "text"]

HEAD_BYTES = 65_536
"""How much of a file is looked at."""
READ = "PNG, JPEG, WebP, GIF, BMP, TIFF, WAV, MP3, FLAC, Ogg, M4A, MP4, MOV, MKV, WebM, AVI, PDF, XLSX, CSV or plain text"


@dataclass(frozen=True)
class Kind:
    """A kind of file that is read.

    Attributes:
        family: Which decoder reads it. A movie container may turn out to hold only sound.
        title: How errors call it ("the PNG picture").
        format: The one decoder (of Pillow) or container format (of FFmpeg) that is allowed to read it.
    """

    family: Family
    title: str
    format: str = ""


_IMAGE = {name: Kind("image", f"the {name} picture", name.upper()) for name in ("PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF")}
_SOUND = {
    title: Kind("sound", f"the {title} sound", name)
    for title, name in {"WAV": "wav", "MP3": "mp3", "FLAC": "flac", "Ogg": "ogg"}.items()
}
_MOVIE = {
    "MP4": Kind("movie", "the MP4 file", "mov,mp4,m4a,3gp,3g2,mj2"),
    "Matroska": Kind("movie", "the Matroska or WebM file", "matroska,webm"),
    "AVI": Kind("movie", "the AVI file", "avi"),
}
PDF = Kind("pdf", "the PDF")
WORKBOOK = Kind("workbook", "the XLSX workbook")
TABLE = Kind("table", "the CSV table")
TEXT = Kind("text", "the text file")

_START = {
    b"\x89PNG\r\n\x1a\n": _IMAGE["PNG"],
    b"\xff\xd8\xff": _IMAGE["JPEG"],
    b"GIF87a": _IMAGE["GIF"],
    b"GIF89a": _IMAGE["GIF"],
    b"II*\0": _IMAGE["TIFF"],
    b"MM\0*": _IMAGE["TIFF"],
    b"fLaC": _SOUND["FLAC"],
    b"OggS": _SOUND["Ogg"],
    b"\x1aE\xdf\xa3": _MOVIE["Matroska"],
}
_RIFF = {b"WAVE": _SOUND["WAV"], b"AVI ": _MOVIE["AVI"], b"WEBP": _IMAGE["WebP"]}
_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_ISO_PICTURES = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}
_UNREAD = {
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\xfd7zXZ\0": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Office file (OLE: xls, doc, ppt) or an encrypted workbook",
    b"{\\rtf": "an RTF document",
    b"%!PS": "a PostScript file",
    b"\x7fELF": "a program (ELF)",
    b"MZ": "a Windows program",
    b"SQLite format 3\0": "a SQLite database",
    b"PAR1": "a Parquet file",
    b"8BPS": "a Photoshop picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"FLV\x01": "a Flash video",
    b"FORM": "an AIFF sound",
    b"MThd": "a MIDI file",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "a Windows Media file",
}


def recognise(file: IO[bytes]) -> Kind:
    """The kind of an open, non-empty file.

    Raises:
        MediaError: The content is of no kind that is read; the error names what was found.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    kind = _by_signature(head)
    if kind is None and head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        kind = _inside_zip(file)
    if kind is None and (name := _unread(head)):
        raise unreadable(name)
    kind = kind or _textual(head)
    if kind is None:
        raise unreadable("binary data of an unknown kind")
    return kind


def unreadable(found: str) -> MediaError:
    """The error for a file whose content is `found`, which is not read."""
    return MediaError("this kind of file is not read", value=found, allowed=READ, hint="convert it to one of these")


def _by_signature(head: bytes) -> Kind | None:
    for start, kind in _START.items():
        if head.startswith(start):
            return kind
    if head[:4] in (b"RIFF", b"RF64"):
        return _RIFF.get(head[8:12])
    if head[4:8] in _ISO_BOXES:
        return _iso(head)
    if b"%PDF-" in head[:1024]:
        return PDF
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124):
        return _IMAGE["BMP"]
    return _SOUND["MP3"] if _is_mp3(head) else _SOUND["FLAC"] if after_id3(head)[:4] == b"fLaC" else None


def _iso(head: bytes) -> Kind:
    if head[4:8] == b"ftyp" and head[8:12] in _ISO_PICTURES:
        raise unreadable("an AVIF picture" if head[8:11] == b"avi" else "a HEIC picture")
    return _MOVIE["MP4"]


def after_id3(head: bytes) -> bytes:
    """What follows the ID3v2 tag of an MP3's beginning, as far as it was read; the tag's length is four 7-bit digits."""
    if head[:3] != b"ID3" or len(head) < 10:
        return head
    length = sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    return head[10 + length :]


def _is_mp3(head: bytes) -> bool:
    body = after_id3(head)
    if not body:
        return head[:3] == b"ID3"  # a cover picture longer than what was read
    if len(body) < 4 or body[0] != 0xFF or body[1] & 0xE0 != 0xE0:
        return False
    version, layer, rate, bits = body[1] >> 3 & 3, body[1] >> 1 & 3, body[2] >> 2 & 3, body[2] >> 4
    # Layer I is left out: its first two bytes are the mark of a UTF-16 text.
    return version != 1 and layer in (1, 2) and rate != 3 and bits not in (0, 15)


def _inside_zip(file: IO[bytes]) -> Kind:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise damaged("the zip archive or workbook", "its table of contents cannot be read") from error
    if "xl/workbook.xml" in names:
        return WORKBOOK
    for entry, found in {
        "word/document.xml": "a Word document",
        "ppt/presentation.xml": "a PowerPoint presentation",
        "xl/workbook.bin": "a binary workbook (XLSB)",
        "META-INF/container.xml": "an EPUB book",
        "META-INF/manifest.xml": "an OpenDocument file",
    }.items():
        if entry in names:
            raise unreadable(found)
    raise unreadable("a zip archive")


def _unread(head: bytes) -> str | None:
    if head[257:262] == b"ustar":
        return "a tar archive"
    return next((name for start, name in _UNREAD.items() if head.startswith(start)), None)


def _textual(head: bytes) -> Kind | None:
    encoding = text_encoding(head)
    if encoding is None:
        return None
    text = codecs.getincrementaldecoder(encoding)(errors="strict").decode(head)
    return TABLE if delimiter(text, whole=len(head) < HEAD_BYTES) else TEXT


_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def text_encoding(data: bytes) -> str | None:
    """The encoding of a text or of its beginning: UTF-8, UTF-16 with its mark or Western (cp1252); None if it is no text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16" if _decodes(data, "utf-16") else None
    if _CONTROL.search(data):
        return None
    if _decodes(data, "utf-8"):
        return "utf-8-sig"
    # Most Western text is ASCII; a file full of other bytes is something else.
    few = sum(byte > 127 for byte in data) <= 0.3 * len(data)
    return "cp1252" if few and _decodes(data, "cp1252") else None


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)(errors="strict").decode(data)
    except UnicodeDecodeError:
        return False
    return True


def delimiter(text: str, *, whole: bool = True) -> str | None:
    """The character that separates a CSV table's columns, or None for text that is no table.

    A table has at least two rows and two columns, and nearly all of its rows have the same number of columns. Prose has
    commas too, but not the same number in each line. `whole` is false when the last line may be cut.
    """
    best, most = None, 0.0
    for mark in (";", "\t", ",", "|"):
        rows = _first_rows(text, mark, whole)
        columns, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        even = len(rows) >= 2 and columns >= 2 and count >= (1.0 if len(rows) < 5 else 0.8) * len(rows)
        if even and columns * count > most and not _is_prose(rows, mark):
            best, most = mark, columns * count
    return best


def _first_rows(text: str, mark: str, whole: bool) -> list[list[str]]:
    try:
        rows = [row for row in csv.reader(text.splitlines(keepends=True), delimiter=mark) if any(row)]
    except csv.Error:
        return []
    return rows if whole else rows[:-1]


def _is_prose(rows: list[list[str]], mark: str) -> bool:
    """Lines that all happen to have as many commas, each followed by a space, and long pieces between them."""
    pieces = [piece for row in rows for piece in row[1:]]
    spaced = sum(piece.startswith(" ") for piece in pieces) > 0.9 * len(pieces)
    return mark == "," and spaced and sum(map(len, pieces)) > 12 * len(pieces)
