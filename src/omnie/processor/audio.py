"""Sound to log-mel frames, whole or as it comes. NumPy only; the model's audio encoder starts where this ends.

Frame t looks at the window that *ends* with its own 10 ms (samples 160 t + 160 - window to 160 t + 160, silence before the
start and after the end). So a frame is ready as soon as its samples are, nothing depends on the whole sound, and pieces that
arrive one by one give the frames of the whole.
"""

from functools import lru_cache

import numpy as np

from omnie.errors import InputError
from omnie.inputs import MEL_BINS, MEL_RATE
from omnie.processor.settings import ProcessorSettings

SAMPLE_RATE = 16_000
HOP = SAMPLE_RATE // MEL_RATE
BLOCK = 4096
"""Frames computed at once: bounds the memory of a long sound."""


def mel_frames(samples: int) -> int:
    """Log-mel frames of a sound of that many samples; the last, partial 10 ms counts."""
    return -(-samples // HOP)


def log_mel(samples: np.ndarray, settings: ProcessorSettings) -> np.ndarray:
    """float32 [samples] at 16 kHz -> float32 [frames, 128]."""
    stream = MelStream(settings)
    return np.concatenate([stream.push(samples), stream.finish()])


class MelStream:
    """Log-mel frames of a sound that arrives in pieces.

    Use: `push` each piece, then `finish`; the frames returned, put together, are `log_mel` of the whole.
    """

    def __init__(self, settings: ProcessorSettings):
        self._settings = settings
        self._tail = np.zeros(settings.mel_window - HOP, dtype=np.float32)
        self._past = len(self._tail)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The frames that these samples complete: float32 [frames, 128], possibly none."""
        if samples.ndim != 1:
            raise InputError("sound has the wrong form", value=f"axes {samples.shape}", allowed="[samples], one channel")
        self._tail = np.concatenate([self._tail, samples.astype(np.float32, copy=False)])
        ready = (len(self._tail) - self._past) // HOP
        frames = self._frames(ready)
        self._tail = self._tail[ready * HOP :]
        return frames

    def finish(self) -> np.ndarray:
        """The last, partial frame, with silence after the end: [0 or 1, 128]."""
        missing = -(len(self._tail) - self._past) % HOP
        return self.push(np.zeros(missing, dtype=np.float32))

    def _frames(self, count: int) -> np.ndarray:
        result = np.empty((count, MEL_BINS), dtype=np.float32)
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            result[start:stop] = self._block(self._tail[start * HOP : (stop - 1) * HOP + self._settings.mel_window])
        return result

    def _block(self, samples: np.ndarray) -> np.ndarray:
        settings = self._settings
        windows = np.lib.stride_tricks.sliding_window_view(samples, settings.mel_window)[::HOP]
        spectrum = np.fft.rfft(windows * hann(settings.mel_window), axis=-1)
        power = spectrum.real**2 + spectrum.imag**2
        mel = power @ filters(settings.mel_window)
        return (np.log(np.maximum(mel, np.float32(settings.mel_floor))) + settings.mel_offset) / settings.mel_scale


@lru_cache(maxsize=4)
def hann(size: int) -> np.ndarray:
    """The periodic Hann window, float32 [size]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


@lru_cache(maxsize=4)
def filters(window: int) -> np.ndarray:
    """Triangles on Slaney's mel scale from 0 to 8000 Hz, each of area one: float32 [window // 2 + 1, 128].

    M. Slaney, "Auditory Toolbox", technical report 1998-010: linear below 1 kHz, logarithmic above.
    """
    edges = hertz(np.linspace(0.0, mel(SAMPLE_RATE / 2), MEL_BINS + 2))
    frequencies = np.arange(window // 2 + 1)[:, None] * (SAMPLE_RATE / window)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return (np.clip(np.minimum(rising, falling), 0, None) * 2 / (high - low)).astype(np.float32)


_BREAK_HERTZ, _HERTZ_PER_MEL = 1000.0, 200.0 / 3.0
_BREAK_MEL = _BREAK_HERTZ / _HERTZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def mel(frequency: float) -> float:
    """Slaney's mel of a frequency (Hz) above 1 kHz."""
    return float(_BREAK_MEL + np.log(frequency / _BREAK_HERTZ) / _LOG_STEP)


def hertz(mels: np.ndarray) -> np.ndarray:
    """Frequencies (Hz) of Slaney's mels."""
    return np.where(mels < _BREAK_MEL, mels * _HERTZ_PER_MEL, _BREAK_HERTZ * np.exp(_LOG_STEP * (mels - _BREAK_MEL)))
