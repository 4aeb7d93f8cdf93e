"""Clips: MP4, MOV, MKV, WebM and AVI to a few small frames and the whole sound track. Memory does not grow with the length."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import IO, Any

import numpy as np
from av.error import FFmpegError

from omnie.errors import MediaError
from omnie.media.audio import (
    check_codec,
    check_complete,
    check_seconds,
    claimed_seconds,
    decode_track,
    decoded,
    open_container,
    plain,
)
from omnie.media.kinds import Kind
from omnie.media.limits import Limits, damaged, empty, too_large
from omnie.media.types import Audio, Video

_SKIP_FROM = 6
"""Frames that no other frame refers to are skipped when a clip has this many times more frames than are kept."""


def decode(file: IO[bytes], kind: Kind, limits: Limits, audio: bool = True) -> Video | Audio:
    """Decode a clip. A container that has no picture track at all is a sound, whatever its name.

    Raises:
        MediaError: The clip is damaged, too long, too large, has no frames, or has sound that cannot be decoded and `audio`
            was asked for.
    """
    with open_container(file, kind) as container:
        track = _picture_track(container)
        if track is None and container.streams.audio:
            return decode_track(container, kind, limits)
        if track is None:
            raise empty("the clip has no frames", f"{kind.title} without a picture track")
        has_sound = bool(container.streams.audio)
        claimed = container.duration / 1e6 if container.duration and (audio or not has_sound) else 0.0
    keeper = _frames(file, kind, limits)
    sound = _sound(file, kind, limits, keeper.times[0]) if audio and has_sound else None
    seconds = max(keeper.seconds, sound.seconds if sound else 0.0)
    check_complete(kind, claimed, seconds)
    return Video(keeper.frames, np.array(keeper.times) - keeper.times[0], seconds, sound)


def _picture_track(container: Any) -> Any:
    """The best track of moving pictures; the cover picture of a song is none."""
    moving = [track for track in container.streams.video if not track.disposition.value & 0x400]
    best = container.streams.best("video")
    return best if best in moving else next(iter(moving), None)


def _sound(file: IO[bytes], kind: Kind, limits: Limits, origin: float) -> Audio:
    with open_container(file, kind) as container:
        try:
            return decode_track(container, kind, limits, origin)
        except MediaError as error:
            raise MediaError(
                f"the clip's sound cannot be used: {error.what}",
                value=error.value,
                allowed=error.allowed,
                hint="repair it, or leave the sound out (--no-audio, audio=False)",
            ) from error


def _frames(file: IO[bytes], kind: Kind, limits: Limits) -> "_Keeper":
    with open_container(file, kind) as container:
        track = _picture_track(container)
        claimed = claimed_seconds(container, track)
        check_seconds(claimed, limits)
        check_codec(track, f"the picture track of {kind.title}")
        _check_frame_size(track, limits)
        keeper = _Keeper(limits, claimed, float(track.sample_aspect_ratio or 1))
        track.thread_type = "AUTO"
        wanted = None
        if _keyframes_suffice(track, 1 / keeper.rate):
            wanted = _due_keyframes(track, keeper.rate)
        elif track.average_rate and track.average_rate >= _SKIP_FROM * keeper.rate:
            track.codec_context.skip_frame = "NONREF"
        period = 1 / (track.average_rate or Fraction(25))
        try:
            for index, frame in enumerate(decoded(container, track, kind, wanted)):
                time = float(index * period) if frame.time is None else frame.time
                shown = frame.duration * frame.time_base if frame.duration and frame.time_base else period
                keeper.offer(frame, time, float(shown))
        except FFmpegError as error:
            raise damaged(kind.title, plain(error)) from error
    if not keeper.times:
        raise empty("the clip has no frames", kind.title)
    return keeper


def _check_frame_size(track: Any, limits: Limits) -> None:
    width, height = track.codec_context.width, track.codec_context.height
    if width * height > limits.megapixels * 1e6:
        raise too_large(
            "the clip's frames are too large",
            f"{width} x {height} pixels",
            f"at most {limits.megapixels:g} megapixels",
            "megapixels",
        )


def _keyframes_suffice(track: Any, period: float) -> bool:
    """Whether the container's index knows a keyframe in every `period` (s) of the clip: they decode without the others."""
    if not track.duration or not track.time_base:
        return False
    start = track.start_time or 0
    keys = sorted(entry.timestamp for entry in track.index_entries if entry.is_keyframe)
    gaps = [later - earlier for earlier, later in pairwise([start, *keys, start + track.duration])]
    return bool(keys) and max(gaps) * track.time_base <= period


def _due_keyframes(track: Any, rate: float) -> Callable[[Any], bool]:
    """Chooses the first keyframe in each period, before anything is decoded."""
    start, last = track.start_time or 0, -1

    def wanted(packet: Any) -> bool:
        nonlocal last
        if not packet.is_keyframe or packet.pts is None:
            return False
        turn = int(float((packet.pts - start) * track.time_base) * rate + 0.01)
        is_due, last = turn > last, max(turn, last)
        return is_due

    return wanted


class _Keeper:
    """Chooses, scales and turns the frames that are kept, at an even rate and under a budget."""

    def __init__(self, limits: Limits, seconds: float | None, aspect: float):
        self.limits, self.expected = limits, seconds or 0.0
        self.aspect = aspect if 0.1 <= aspect <= 10 else 1.0  # width of a stored pixel for a height of 1
        self.rate = min(limits.frame_rate, limits.frames / seconds) if seconds else limits.frame_rate
        self.times: list[float] = []
        self.end = 0.0
        self.turn = 0  # how many periods after the first frame the next one is due
        self.size: tuple[int, int] | None = None
        self.quarters = 0  # turns by 90 degrees, counter-clockwise
        self.store = np.empty((0, 0, 0, 3), np.uint8)

    @property
    def frames(self) -> np.ndarray:
        """uint8 [frames, height, width, 3]."""
        return self.store[: len(self.times)]

    @property
    def seconds(self) -> float:
        return self.end - self.times[0] if self.times else 0.0

    def offer(self, frame: Any, time: float, shown: float) -> None:
        """Keep the frame if its turn has come; `time` and how long it is `shown` in seconds."""
        if self._is_due(time, shown) and len(self.times) == self.limits.frames:
            self._thin()
        if self._is_due(time, shown) and len(self.times) < self.limits.frames:
            self._keep(self._small(frame))
            self.times.append(time)
            self.turn = self._turn(time, shown) + 1
        self.end = max(self.end, time + shown)
        check_seconds(self.seconds, self.limits)

    def _is_due(self, time: float, shown: float) -> bool:
        return not self.times or self._turn(time, shown) >= self.turn

    def _turn(self, time: float, shown: float) -> int:
        """How many periods have passed since the first frame. Half a frame early is on time: the time stamps of 29.97 frames
        per second never meet a half second exactly."""
        slack = min(shown, 0.5 / self.rate) / 2
        return int((time - self.times[0] + slack) * self.rate)

    def _keep(self, picture: np.ndarray) -> None:
        count = len(self.times)
        if count == len(self.store):
            room = min(self.limits.frames, max(2 * count, int(self.expected * self.rate) + 2))
            store = np.empty((room, *picture.shape), np.uint8)
            store[:count] = self.store if count else 0
            self.store = store
        self.store[count] = picture

    def _thin(self) -> None:
        """The clip is longer than its header said: keep every second frame, and half as many from here on."""
        self.times, self.rate = self.times[::2], self.rate / 2
        for index in range(len(self.times)):
            self.store[index] = self.store[2 * index]
        self.turn = self._turn(self.times[-1], 1 / self.rate) + 1

    def _small(self, frame: Any) -> np.ndarray:
        self.size = self.size or self._target(frame)
        width, height = self.size
        picture = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_ndarray()
        return np.rot90(picture, self.quarters)

    def _target(self, frame: Any) -> tuple[int, int]:
        """Width and height, before the frame is turned, that hold at most `frame_pixels` square pixels."""
        self.quarters = round(frame.rotation / 90) % 4
        width = frame.width * self.aspect
        factor = max(1.0, (width * frame.height / self.limits.frame_pixels) ** 0.5)
        return max(1, int(width / factor)), max(1, int(frame.height / factor))
