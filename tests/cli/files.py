"""Files for the command line's tests, written byte by byte or by the libraries: good ones, and one of each way to be bad."""

import io
import struct
import wave
import zipfile
import zlib
from collections.abc import Callable

import numpy as np


def png(width: int, height: int, data: bytes | None = None) -> bytes:
    """A grey PNG; with `data`, that compressed stream instead of the true one."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    if data is None:
        data = zlib.compress(b"".join(b"\0" + bytes((row + column) % 251 for column in range(width)) for row in range(height)))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def wav(seconds: float = 1.0) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes((np.sin(np.arange(int(seconds * 16_000)) / 15) * 9000).astype("<i2").tobytes())
    return file.getvalue()


def wav_of_nan() -> bytes:
    samples = np.full(1600, np.nan, "<f4").tobytes()
    form = struct.pack("<HHIIHH", 3, 1, 16_000, 64_000, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wav_that_lies() -> bytes:
    """Its header promises two gigabytes; sixteen samples follow."""
    head = bytearray(wav(0.001))
    head[4:8] = head[40:44] = struct.pack("<I", 0x7FFFFFF0)
    return bytes(head)


def pdf(width: float = 300, height: float = 200, extra: str = "") -> bytes:
    """One page in points; `extra` goes into the trailer."""
    stream = "BT /F1 20 Tf 30 100 Td (Total 42 EUR) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Contents 4 0 R "
        "/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream",
    ]
    text, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(text))
        text += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    start = len(text)
    text += f"xref\n0 5\n0000000000 65535 f \n{table}trailer\n<< /Size 5 /Root 1 0 R {extra}>>\nstartxref\n{start}\n%%EOF\n"
    return text.encode("latin-1")


def locked_pdf() -> bytes:
    key = "00" * 32
    lock = f"<< /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >>"
    return pdf(extra=f"/Encrypt {lock} /ID [<{'11' * 16}> <{'11' * 16}>] ")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "nothing")
    return file.getvalue()


def clip(frames: int = 4, sound: bytes | None = None) -> bytes:
    """A Matroska clip at 2 frames a second; `sound` is the body of its FLAC packets, which need not be FLAC."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        video = container.add_stream("mpeg4", rate=2)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        audio = container.add_stream("flac", rate=16_000) if sound is not None else None
        container.start_encoding()
        for number in range(frames):
            pixels = np.full((64, 96, 3), 60 * number, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
        for number in range(frames if audio else 0):
            packet = av.Packet(sound)
            packet.stream, packet.pts, packet.dts, packet.time_base = audio, number * 8000, number * 8000, audio.time_base
            container.mux(packet)
    return file.getvalue()


GOOD: dict[str, Callable[[], bytes]] = {
    "picture.png": lambda: png(96, 64),
    "voice.wav": wav,
    "clip.mkv": clip,
    "page.pdf": pdf,
    "table.csv": lambda: b"name,price\nTea,3\nCake,4\n",
    "notes.txt": lambda: "Der Zug fährt um acht.\n".encode(),
}
BAD: dict[str, Callable[[], bytes]] = {
    "empty.png": lambda: b"",
    "truncated.png": lambda: png(96, 64)[:120],
    "giant.png": lambda: png(20_000, 20_000, zlib.compress(bytes(100))),
    "broken.png": lambda: png(96, 64, b"no zlib stream"),
    "zip.pdf": zipped,
    "truncated.pdf": lambda: pdf()[:200],
    "locked.pdf": locked_pdf,
    "200-metres.pdf": lambda: pdf(width=200 / 0.0254 * 72),
    "lying.wav": wav_that_lies,
    "nan.wav": wav_of_nan,
    "no-frames.mkv": lambda: clip(frames=0),
    "broken-sound.mkv": lambda: clip(sound=b"this is no FLAC frame"),
    "truncated.mkv": lambda: clip()[:900],
    "program.jpg": lambda: b"\x7fELF\2\1\1" + bytes(500),
    "random.mp4": lambda: np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes(),
}
