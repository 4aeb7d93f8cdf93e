"""Whether a sound or movie file is whole: the sizes that its headers state against the bytes that are there.

FFmpeg reads what it finds and says nothing about what is missing, but an answer about a part of a recording would be wrong.
Nothing is decoded here. Files of recorders that could not know the size in advance state none, and pass.
"""

from collections.abc import Iterator
from typing import IO

from omnie.media.kinds import Kind, after_id3
from omnie.media.limits import damaged

_UNKNOWN_SIZES = (0, 0x7FFFF000, 0x7FFFF024, 0xFFFFFFFF)
"""What writers to a pipe (FFmpeg, SoX, crashed recorders) state as the sizes of the file and of its samples."""
_MP3_SLACK = 1500
"""Bytes by which an MP3's own count may be off: encoders differ in whether the first frame belongs to it."""


def check_whole(file: IO[bytes], kind: Kind) -> None:
    """Refuse a file that is cut off or whose header states something impossible.

    Raises:
        MediaError: The file ends before it should, or its header contradicts itself.
    """
    size = file.seek(0, 2)
    checks = {"wav": _check_wav, "avi": _check_avi, "ogg": _check_ogg, "mp3": _check_mp3, "mov": _check_mp4}
    check = checks.get(kind.format.split(",")[0], _check_matroska if "matroska" in kind.format else None)
    if check and (problem := check(file, size)):
        raise damaged(kind.title, problem)


def _chunks(file: IO[bytes], start: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, stated size and position of each RIFF chunk."""
    while True:
        file.seek(start)
        head = file.read(8)
        if len(head) < 8:
            return
        length = int.from_bytes(head[4:], "little")
        yield head[:4], length, start + 8
        start += 8 + length + length % 2


def _stated_size(file: IO[bytes]) -> int:
    file.seek(4)
    return int.from_bytes(file.read(4), "little")


def _check_wav(file: IO[bytes], size: int) -> str | None:
    is_stream = _stated_size(file) in _UNKNOWN_SIZES
    has_format = False
    for name, length, start in _chunks(file, 12):
        if name == b"fmt ":
            has_format = True
            if problem := _wav_format(file.read(16)):
                return problem
        if name == b"data":
            if not has_format:
                return "it has no format chunk"
            if start + length > size and not (is_stream and length in _UNKNOWN_SIZES):
                return f"its header states {length:,} bytes of samples but it holds {size - start:,}"
            return None
    return "it has no samples"


def _wav_format(fields: bytes) -> str | None:
    coding, channels = int.from_bytes(fields[:2], "little"), int.from_bytes(fields[2:4], "little")
    rate, block = int.from_bytes(fields[4:8], "little"), int.from_bytes(fields[12:14], "little")
    bits = int.from_bytes(fields[14:16], "little")
    if not (len(fields) == 16 and 1 <= channels <= 64 and 1000 <= rate <= 768_000):
        return f"its header states {channels} channels at {rate:,} samples per second"
    if coding in (1, 3, 0xFFFE) and block != channels * ((bits + 7) // 8):
        return f"its header states {bits} bits x {channels} channels in {block} bytes"
    return None


def _check_avi(file: IO[bytes], size: int) -> str | None:
    """An AVI file is one RIFF chunk, or several when it is long."""
    for name, length, start in _chunks(file, 0):
        if name == b"RIFF" and length not in _UNKNOWN_SIZES and start + length > size:
            return f"its header states {length:,} bytes but it holds {size - start:,}"
    return None


def _check_ogg(file: IO[bytes], size: int) -> str | None:
    """The last page must be complete; a page is at most 65,307 bytes long."""
    file.seek(max(0, size - 70_000))
    tail = file.read()
    page = tail[max(0, tail.rfind(b"OggS")) :]
    lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
    if len(page) < 27 or len(lengths) < page[26] or len(page) < 27 + len(lengths) + sum(lengths):
        return "it ends within a page"
    return None


def _check_mp3(file: IO[bytes], size: int) -> str | None:
    """The first frame of most MP3 files states how many bytes follow (Xing, Info)."""
    file.seek(0)
    head = file.read(1 << 20)
    body = after_id3(head)
    mark = max(body[:200].find(b"Xing"), body[:200].find(b"Info"))
    if mark < 0:
        return None
    flags = int.from_bytes(body[mark + 4 : mark + 8], "big")
    place = mark + 8 + (4 if flags & 1 else 0)
    stated = int.from_bytes(body[place : place + 4], "big") if flags & 2 else 0
    present = size - (len(head) - len(body))
    return f"its header states {stated:,} bytes but it holds {present:,}" if stated > present + _MP3_SLACK else None


def _check_mp4(file: IO[bytes], size: int) -> str | None:
    """The boxes at the top level must fill the file, and `moov` (what is where) must be among them."""
    start, names = 0, set()
    while start + 8 <= size:
        file.seek(start)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        length = int.from_bytes(head[8:16], "big") if length == 1 else length or size - start
        names.add(name)
        if start + length > size:
            return f"its part '{_printable(name)}' states {length:,} bytes but {size - start:,} are left"
        if length < 8:
            break  # bytes after the last box, which players ignore
        start += length
    return None if b"moov" in names else "it has no table of contents (moov)"


def _printable(name: bytes) -> str:
    return "".join(chr(byte) if 32 < byte < 127 else "?" for byte in name)


def _check_matroska(file: IO[bytes], size: int) -> str | None:
    """The EBML header and the segment after it; the segment of a live recording has no size."""
    start = 0
    for _ in range(2):
        file.seek(start)
        head = file.read(12)
        if len(head) < 12 or head[4] == 0:
            return "it ends in its header"
        width = 9 - head[4].bit_length()
        length = int.from_bytes(head[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        if length == (1 << 7 * width) - 1:
            return None
        start += 4 + width + length
    return f"its header states {start:,} bytes but it holds {size:,}" if start > size else None
