"""Clips to pieces: which frames, when, and which share of the sound goes with them. Decoding lives in `omnie.media`.

A piece is two frames that the model merges in time, with the time at which it begins and the audio tokens of the sound until
the next piece begins. The sound is never cut: a long clip gets fewer frames a second, each piece then carries more sound.
"""

from dataclasses import dataclass

import numpy as np

from omnie.errors import InputError
from omnie.inputs import MEL_PER_TOKEN, MEL_RATE, TEMPORAL_MERGE, audio_tokens
from omnie.media.types import Video
from omnie.processor import image
from omnie.processor.audio import mel_frames
from omnie.processor.settings import ProcessorSettings

TOKEN_SECONDS = MEL_PER_TOKEN / MEL_RATE


@dataclass(frozen=True)
class Piece:
    """`time`: seconds; `frames`: indices into the clip; `grid`: (frames, rows, columns); `audio`: audio tokens."""

    time: float
    frames: tuple[int, ...]
    grid: tuple[int, int, int]
    audio: int


def plan(video: Video, settings: ProcessorSettings) -> list[Piece]:
    """The pieces of a clip, from its sizes and times alone (no pixel is read)."""
    if len(video.frames) == 0:
        raise InputError("clip has no frames", hint="send its sound as an audio file")
    chosen = choose(video.times, video.seconds, fps=settings.video_fps, limit=settings.video_max_frames)
    pairs = [chosen[start : start + TEMPORAL_MERGE] for start in range(0, len(chosen), TEMPORAL_MERGE)]
    starts = [float(video.times[pair[0]]) for pair in pairs]
    sound = share(mel_frames(len(video.audio.samples)), starts) if video.audio is not None else [0] * len(pairs)
    height, width = video.frames.shape[1:3]
    _, rows, columns = image.grid_of_frame(height, width, settings)
    return [
        Piece(start, (*pair, *[pair[-1]] * (TEMPORAL_MERGE - len(pair))), (TEMPORAL_MERGE, rows, columns), count)
        for pair, start, count in zip(pairs, starts, sound, strict=True)
    ]


def choose(times: np.ndarray, seconds: float, *, fps: float, limit: int) -> list[int]:
    """Indices of the frames nearest to an even rate: `fps`, or as much less as keeps their number within `limit`.

    A frame is taken once, so a clip that holds fewer frames gives fewer.
    """
    length = max(float(seconds), float(times[-1]), 1 / fps)
    count = int(np.clip(np.floor(length * fps + 0.5), 1, limit))  # sound may outlast the last frame by a sliver
    wanted = np.arange(count) * max(1 / fps, length / count)
    right = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
    left = right - 1
    right = np.minimum(right, len(times) - 1)
    nearest = np.where(wanted - times[left] <= times[right] - wanted, left, right)
    return np.unique(nearest).tolist()


def share(frames: int, starts: list[float]) -> list[int]:
    """How many of a sound's audio tokens go with each piece: those that begin in it; the first and last take the ends."""
    total = audio_tokens(frames)
    borders = [min(total, int(np.ceil(start / TOKEN_SECONDS - 1e-6))) for start in starts[1:]]
    edges = [0, *borders, total]
    return [after - before for before, after in zip(edges, edges[1:], strict=False)]


def patches(video: Video, pieces: list[Piece], patch: int) -> np.ndarray:
    """Patches of all pieces, frame after frame: float32 [P, patch * patch * 3]."""
    cut = [image.patches(video.frames[n], *piece.grid[1:], patch) for piece in pieces for n in piece.frames]
    return np.concatenate(cut)
