"""Sounds: WAV, MP3, FLAC, Ogg, M4A and the sound tracks of clips to 16 kHz mono. Frames of video are not touched here."""

from collections.abc import Callable, Iterator
from typing import IO, Any

import av
import numpy as np
import soxr
from av.error import FFmpegError

from omnie.errors import MediaError
from omnie.media.kinds import Kind
from omnie.media.limits import Limits, damaged, empty, not_numbers, too_large
from omnie.media.types import SAMPLE_RATE, Audio
from omnie.media.whole import check_whole

_SCALE = {"u8": 128.0, "s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63, "flt": 1.0, "dbl": 1.0}
"""Full scale of FFmpeg's sample formats; a trailing `p` (planar) changes the layout only."""
_GAP_SECONDS = 0.1
"""A jump of the time stamps that is longer becomes silence, so that sound and frames stay together."""
_BAD_SHARE = 0.02
"""Packets that may fail to decode: players tolerate stray bytes at the seams of a file, and so do we."""


def decode(file: IO[bytes], kind: Kind, limits: Limits) -> Audio:
    """Decode a sound file.

    Raises:
        MediaError: It is damaged, cut off, empty, too long, or holds samples that are not numbers.
    """
    with open_container(file, kind) as container:
        if not container.streams.audio:
            raise empty("the file has no sound", f"{kind.title}: {', '.join(s.type for s in container.streams) or 'no tracks'}")
        return decode_track(container, kind, limits)


def open_container(file: IO[bytes], kind: Kind) -> Any:
    """Open a sound or movie with the one demuxer that its kind allows; a playlist inside cannot open other files."""
    check_whole(file, kind)
    file.seek(0)
    try:
        return av.open(file, format=kind.format.split(",")[0], metadata_errors="replace", buffer_size=1 << 18)
    except EOFError as error:
        raise empty("the file has no frames and no sound", kind.title) from error
    except (FFmpegError, OSError, ValueError) as error:
        raise damaged(kind.title, plain(error)) from error


def plain(error: Exception) -> str:
    """FFmpeg's reason without numbers and file names."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def decode_track(container: Any, kind: Kind, limits: Limits, origin: float | None = None) -> Audio:
    """Decode the best sound track of an open container; `origin` is the time (s) that becomes sample 0, by default its start.

    Raises:
        MediaError: as `decode`.
    """
    track = container.streams.best("audio") or container.streams.audio[0]
    claimed = claimed_seconds(container, track)
    check_seconds(claimed, limits)
    check_codec(track, "the sound track of " + kind.title if origin is not None else kind.title)
    resampler = _Resampler(limits, origin)
    try:
        for frame in decoded(container, track, kind):
            resampler.add(frame)
    except FFmpegError as error:
        raise damaged(f"the sound of {kind.title}", plain(error)) from error
    samples = resampler.finish()
    if not len(samples):
        raise empty("the sound has no samples", kind.title)
    if origin is None and kind.format != "mp3":  # FFmpeg guesses an MP3's length from its bit rate
        check_complete(kind, claimed or 0.0, len(samples) / SAMPLE_RATE)
    return Audio(samples)


def check_codec(track: Any, title: str) -> None:
    """Refuse a track whose codec FFmpeg does not know."""
    if track.codec_context is None:
        raise MediaError("the codec is not read", value=title, allowed="a codec that FFmpeg decodes", hint="convert the file")


def claimed_seconds(container: Any, track: Any) -> float | None:
    """The length that the headers state, or None."""
    if track.duration is not None and track.time_base is not None:
        return float(track.duration * track.time_base)
    return container.duration / 1e6 if container.duration is not None else None


def check_seconds(seconds: float | None, limits: Limits) -> None:
    """Refuse what is longer than `limits.seconds`; a second more is granted, because no recording ends on the second."""
    if seconds is not None and seconds > limits.seconds + 1:
        raise too_large("the recording is too long", f"{seconds:,.1f} s", f"at most {limits.seconds:g} s", "seconds")


def check_complete(kind: Kind, claimed: float, seconds: float) -> None:
    """Refuse a file that ends clearly before the length that its header states; only FLAC's is exact."""
    slack = 0.05 if kind.format == "flac" else max(0.5, 0.05 * claimed)
    if seconds < claimed - slack:
        raise damaged(kind.title, f"it states {claimed:.1f} s but holds {seconds:.1f} s")


def decoded(container: Any, track: Any, kind: Kind, wanted: Callable[[Any], bool] | None = None) -> Iterator[Any]:
    """The decoded frames of one track; packets that are not `wanted` are not decoded.

    Raises:
        MediaError: More than a stray packet fails to decode.
    """
    packets, bad = 0, []
    for packet in container.demux(track):
        # The last packet is empty and makes the decoder give out what it still holds.
        if wanted and packet.size and not wanted(packet):
            continue
        packets += 1
        try:
            frames = packet.decode()
        except FFmpegError as error:
            bad.append(plain(error))
            continue
        yield from frames
    if len(bad) > max(1, _BAD_SHARE * packets):
        raise damaged(f"the {track.type} track of {kind.title}", f"{len(bad)} of {packets} packets fail: {bad[0]}")


class _Resampler:
    """Turns frames of any format, layout and rate into one 16 kHz mono array, a piece at a time."""

    def __init__(self, limits: Limits, origin: float | None):
        self.limits, self.origin = limits, origin
        self.pieces: list[np.ndarray] = []
        self.rate, self.stream = 0, None
        self.count, self.given = 0, 0.0  # samples made; seconds given in

    def add(self, frame: Any) -> None:
        if not frame.samples:
            return
        samples = _mono(frame)
        if frame.sample_rate != self.rate:
            self._change_rate(frame.sample_rate)
        samples = self._in_time(frame, samples)
        self.given += len(samples) / self.rate
        self._push(samples)

    def finish(self) -> np.ndarray:
        """float32 [samples], finite, in [-1, 1]."""
        self._flush()
        samples = np.concatenate(self.pieces) if self.pieces else np.zeros(0, np.float32)
        self.pieces.clear()
        return np.clip(samples, -1, 1, out=samples)

    def _change_rate(self, rate: int) -> None:
        if not 1000 <= rate <= 768_000:
            raise damaged("the sound", f"its header states {rate} samples per second")
        self._flush()
        self.rate = rate
        self.stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32") if rate != SAMPLE_RATE else None

    def _in_time(self, frame: Any, samples: np.ndarray) -> np.ndarray:
        """Silence before a frame that comes late; the beginning of a frame from before the origin is cut."""
        if frame.time is None:
            return samples
        if self.origin is None:
            self.origin = frame.time
        late = frame.time - self.origin - self.given
        if late > _GAP_SECONDS:
            check_seconds(frame.time - self.origin, self.limits)
            return np.concatenate([np.zeros(round(late * self.rate), np.float32), samples])
        if late < 0 and self.given == 0:
            return samples[min(len(samples), round(-late * self.rate)) :]
        return samples

    def _push(self, samples: np.ndarray) -> None:
        if self.stream is not None:
            samples = self.stream.resample_chunk(samples)
        self.count += len(samples)
        check_seconds(self.count / SAMPLE_RATE, self.limits)
        self.pieces.append(samples)

    def _flush(self) -> None:
        if self.stream is not None:
            self.pieces.append(self.stream.resample_chunk(np.zeros(0, np.float32), last=True))


def _mono(frame: Any) -> np.ndarray:
    """float32 [samples], the mean of the channels at full scale 1."""
    name, channels = frame.format.name, frame.layout.nb_channels
    planar = name.endswith("p")
    scale = _SCALE[name.removesuffix("p")]
    data = frame.to_ndarray()
    data = data if planar else data.reshape(-1, channels).T
    if scale == 1 and not np.isfinite(data).all():
        raise not_numbers("the sound", "samples")
    offset = 128.0 if name.startswith("u8") else 0.0
    return ((data.mean(axis=0, dtype=np.float64) - offset) / scale).astype(np.float32)
