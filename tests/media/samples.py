"""Small media files, written by the tests that need them. Nothing here is read from disk."""

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image


def tone(seconds: float, rate: int = 16_000, hertz: float = 440.0) -> np.ndarray:
    """float32 [samples], a sine of amplitude 0.5."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def wav(samples: np.ndarray, rate: int = 16_000, *, stated_bytes: int | None = None, coding: int | None = None) -> bytes:
    """A WAV file; int16 or float32 samples [samples] or [samples, channels]. `stated_bytes` is what its header says."""
    data = samples.tobytes()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    size = samples.dtype.itemsize
    coding = coding or (3 if samples.dtype.kind == "f" else 1)
    form = struct.pack("<HHIIHH", coding, channels, rate, rate * channels * size, channels * size, 8 * size)
    stated = len(data) if stated_bytes is None else stated_bytes
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", stated) + data
    return b"RIFF" + struct.pack("<I", min(len(body), 2**32 - 1)) + body


def sound(path: Path, codec: str, seconds: float = 1.0, rate: int = 48_000, container: str | None = None) -> Path:
    """A 440 Hz tone in the given codec; the container follows from the path unless it is given."""
    with av.open(str(path), "w", format=container) as output:
        track = output.add_stream(codec, rate=rate, layout="mono")
        for packet in _sound_packets(track, tone(seconds, rate)):
            output.mux(packet)
    return path


def _sound_packets(track, samples):
    size = track.codec_context.frame_size or 1024
    samples = np.pad(samples, (0, -len(samples) % size))
    for start in range(0, len(samples), size):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + size], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = track.rate, start, Fraction(1, track.rate)
        resampled = av.AudioResampler(format=track.format.name, layout="mono", rate=track.rate).resample(frame)
        for piece in resampled:
            piece.pts, piece.time_base = start, Fraction(1, track.rate)
            yield from track.encode(piece)
    yield from track.encode(None)


def moving_frame(index: int, size: tuple[int, int]) -> np.ndarray:
    """uint8 [height, width, 3]: black, with a white bar whose left edge is at 2 * index, and a red top."""
    width, height = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, 2 * index % width : 2 * index % width + 8] = 255
    pixels[: height // 8] = (255, 0, 0)
    return pixels


def clip(
    path: Path,
    seconds: float = 2.0,
    *,
    size: tuple[int, int] = (128, 64),
    rate: int = 10,
    codec: str = "libx264",
    sound_codec: str | None = "aac",
    options: dict[str, str] | None = None,
) -> Path:
    """A clip of `moving_frame`s; with a 440 Hz tone unless `sound_codec` is None."""
    with av.open(str(path), "w") as output:
        track = output.add_stream(codec, rate=rate, options=options or {})
        track.width, track.height = size
        track.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        second = output.add_stream(sound_codec, rate=48_000, layout="mono") if sound_codec else None
        output.start_encoding()
        for index in range(round(seconds * rate)):
            output.mux(track.encode(av.VideoFrame.from_ndarray(moving_frame(index, size), format="rgb24")))
        output.mux(track.encode(None))
        for packet in _sound_packets(second, tone(seconds, 48_000)) if second else ():
            output.mux(packet)
    return path


def packets_overwritten(path: Path, kind: str) -> bytes:
    """The file with the payload of every packet of one track ("audio", "video") replaced by noise."""
    data = bytearray(path.read_bytes())
    noise = np.random.default_rng(0)
    with av.open(str(path)) as container:
        for packet in container.demux(**{kind: 0}):
            if packet.size and packet.pos is not None:
                data[packet.pos : packet.pos + packet.size] = noise.bytes(packet.size)
    return bytes(data)


def png(width: int, height: int, *, rows: bool = True) -> bytes:
    """A white 1-bit PNG, written without ever holding its pixels; without its rows it is a header only."""
    packer = zlib.compressobj(9)
    line = b"\0" + b"\xff" * ((width + 7) // 8)
    data = b"".join(packer.compress(line) for _ in range(height if rows else 0)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def picture(name: str, image: Image.Image, **options) -> bytes:
    """The image in one of Pillow's formats."""
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def gradient(width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3]: red grows to the right, green downwards."""
    red = np.broadcast_to(np.linspace(0, 255, width), (height, width))
    green = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
    return np.stack([red, green, np.full_like(red, 40)], axis=-1).astype(np.uint8)


def pdf(
    pages: Sequence[str], *, box: Sequence[float] = (0, 0, 595, 842), page_extra: str = "", password: bytes | None = None
) -> bytes:
    """A PDF whose pages show lines of text ("x y words" per line, in points from the lower left corner, 12 pt Helvetica).

    With a password, which may be empty, it is encrypted with RC4 and 40 bits (ISO 32000-1, 7.6.3).
    """
    cipher = _Cipher(password) if password is not None else None
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Count %d/Kids[%s]>>"
        % (len(pages), b" ".join(b"%d 0 R" % (4 + 2 * index) for index in range(len(pages)))),
        3: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    }
    for index, page in enumerate(pages):
        number = 4 + 2 * index
        sides = " ".join(f"{side:g}" for side in box)
        entries = f"/MediaBox[{sides}]/Contents {number + 1} 0 R/Resources<</Font<</F 3 0 R>>>>{page_extra}"
        objects[number] = f"<</Type/Page/Parent 2 0 R{entries}>>".encode()
        content = "\n".join(_text_line(line) for line in page.splitlines()).encode("latin-1")
        content = cipher.encrypt(number + 1, content) if cipher else content
        objects[number + 1] = b"<</Length %d>>stream\n%s\nendstream" % (len(content), content)
    trailer = b""
    if cipher:
        objects[len(objects) + 1] = cipher.dictionary
        trailer = b"/Encrypt %d 0 R/ID[<%s><%s>]" % (len(objects), cipher.identifier.hex().encode(), b"00" * 16)
    return _pdf_file(objects, trailer)


def _text_line(line: str) -> str:
    x, y, words = line.split(" ", 2)
    return f"BT /F 12 Tf {x} {y} Td ({words}) Tj ET"


def _pdf_file(objects: dict[int, bytes], trailer: bytes) -> bytes:
    data, places = b"%PDF-1.4\n", []
    for number, body in sorted(objects.items()):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    end = b"trailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (count, trailer, len(data))
    return data + b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table) + end


class _Cipher:
    """The standard security handler, revision 2."""

    _PAD = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")

    def __init__(self, password: bytes):
        padded = (password + self._PAD)[:32]
        self.identifier = bytes(range(16))
        owner = rc4(hashlib.md5(padded).digest()[:5], padded)
        rights = struct.pack("<i", -4)
        self.key = hashlib.md5(padded + owner + rights + self.identifier).digest()[:5]
        user = rc4(self.key, self._PAD)
        entries = b"/O<%s>/U<%s>" % (owner.hex().encode(), user.hex().encode())
        self.dictionary = b"<</Filter/Standard/V 1/R 2/P -4%s>>" % entries

    def encrypt(self, number: int, data: bytes) -> bytes:
        return rc4(hashlib.md5(self.key + struct.pack("<I", number)[:3] + b"\0\0").digest()[:10], data)


def rc4(key: bytes, data: bytes) -> bytes:
    """The RC4 stream cipher."""
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    output = bytearray()
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        output.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(output)


def zipped(parts: dict[str, bytes]) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()
