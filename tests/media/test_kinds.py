"""Kinds are told by content; what is not read is called by its name."""

import io

import pytest

from omnie.errors import MediaError
from omnie.media.kinds import recognise

from .samples import pdf, png, sound, tone, wav, zipped


def family(data: bytes) -> str:
    return recognise(io.BytesIO(data)).family


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(2, 2), "image"),
        (b"\xff\xd8\xff\xe0", "image"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "image"),
        (wav(tone(0.01)), "sound"),
        (b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\0", "sound"),
        (b"ID3\x04\0\0\0\0\0\0fLaC", "sound"),
        (b"\0\0\0\x20ftypM4A ", "movie"),
        (b"\0\0\0\x08free\0\0\0\x10moov", "movie"),
        (b"\x1aE\xdf\xa3", "movie"),
        (b"RIFF\0\0\0\0AVI LIST", "movie"),
        (b"\n\n%PDF-1.4", "pdf"),
        (zipped({"xl/workbook.xml": b""}), "workbook"),
        (b"a;b\n1;2\n", "table"),
        (b"hello", "text"),
        ("\u263a".encode(), "text"),
        (b"tab\tin a line", "text"),
        ("hi".encode("utf-16"), "text"),
        (b"RIFF is a format", "text"),
        (b"BMW makes cars", "text"),
    ],
)
def test_families(data, expected):
    assert family(data) == expected


def test_mp3_with_a_large_cover(tmp_path):
    body = sound(tmp_path / "a.mp3", "libmp3lame").read_bytes()
    cover = 200_000
    digits = bytes(cover >> shift & 127 for shift in (21, 14, 7, 0))
    assert family(b"ID3\x03\0\0" + digits + bytes(cover) + body) == "sound"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (zipped({"a.txt": b"x"}), "a zip archive"),
        (zipped({"word/document.xml": b"x"}), "a Word document"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"\x7fELF\x02", "a program"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture"),
        (b"\0\0\0\x18ftypavif", "an AVIF picture"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office file"),
        (bytes(300), "binary data"),
        (bytes(range(256)), "binary data"),
        (b"x" * 257 + b"ustar", "a tar archive"),
    ],
)
def test_what_is_not_read_is_named(data, name):
    with pytest.raises(MediaError, match=name):
        family(data)


def test_names_play_no_role(tmp_path):
    from .helpers import decoded

    path = tmp_path / "song.mp3"
    path.write_bytes(pdf(["100 700 words"]))
    assert decoded(path).pages[0].words[0].text == "words"
