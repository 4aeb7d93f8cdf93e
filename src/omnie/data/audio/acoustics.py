"""What happens to a sound on its way to the microphone: room, noise, band limits, gain. NumPy on 16 kHz samples.

Everything here is applied in every split alike, but `coloured` and `transmitted`, which are training's; what is split are
voices and synthesis recipes, not microphones.
"""

import numpy as np
import soxr

from omnie.media.types import SAMPLE_RATE, Audio


def resample(samples: np.ndarray, rate: float, *, warp: float = 1.0) -> np.ndarray:
    """Samples at `rate` brought to 16 kHz; `warp` > 1 plays them faster and higher, as from a smaller speaker."""
    return soxr.resample(samples, rate * warp, SAMPLE_RATE, quality="MQ")


def noise(rng: np.random.Generator, count: int, tilt: float = 0.0) -> np.ndarray:
    """Noise of unit power whose spectrum falls with frequency ** -tilt (0 white, 1 pink, 2 brown): float32 [count]."""
    white = rng.standard_normal(count, dtype=np.float32)
    if tilt == 0 or count < 8:
        return white
    size = _fast_size(count)
    bins = np.arange(1, size // 2 + 2, dtype=np.float32)
    coloured = np.fft.irfft(np.fft.rfft(white, size) * bins ** (-tilt / 2), size)[:count]
    return (coloured / (np.sqrt(np.mean(coloured**2)) + 1e-9)).astype(np.float32)


def band(samples: np.ndarray, low: float, high: float) -> np.ndarray:
    """Samples with everything outside `low` to `high` (Hz) faded out over a third of an octave."""
    size = _fast_size(len(samples))
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE) + 1e-3
    gain = np.clip(1 + 3 * np.log2(frequencies / max(low, 1e-3)), 0, 1) * np.clip(1 - 3 * np.log2(frequencies / high), 0, 1)
    return np.fft.irfft(np.fft.rfft(samples, size) * gain, size)[: len(samples)].astype(np.float32)


def coloured(rng: np.random.Generator, samples: np.ndarray, most: float = 9.0) -> np.ndarray:
    """Samples whose spectrum is raised and lowered by up to `most` dB, smoothly, as by another throat or microphone."""
    size = _fast_size(len(samples))
    octaves = np.log2(np.fft.rfftfreq(size, 1 / SAMPLE_RATE) / 125 + 1e-3)
    decibels = np.interp(octaves, np.arange(7), rng.uniform(-most, most, 7) * rng.uniform(0.2, 1.0))
    return np.fft.irfft(np.fft.rfft(samples, size) * 10 ** (decibels / 20), size)[: len(samples)].astype(np.float32)


def filtered(samples: np.ndarray, zeros: list[float], poles: list[float]) -> np.ndarray:
    """Samples through the recursive filter `zeros(z) / poles(z)` (coefficients of z^0, z^-1, ...); the end is cut."""
    size = _fast_size(len(samples) + 1024)
    back = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.polyval(zeros[::-1], back) / np.polyval(poles[::-1], back)
    return np.fft.irfft(np.fft.rfft(samples, size) * response, size)[: len(samples)]


def room(rng: np.random.Generator, samples: np.ndarray, seconds: float) -> np.ndarray:
    """Samples heard in a small room: the direct sound plus an exponentially decaying tail of noise."""
    count = int(seconds * SAMPLE_RATE)
    tail = rng.standard_normal(count) * np.exp(-6.9 * np.arange(count) / count) * rng.uniform(0.02, 0.12)
    tail[: int(0.003 * SAMPLE_RATE)] = 0
    tail[0] = 1
    size = _fast_size(len(samples) + count)
    return np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)].astype(np.float32)


def placed(samples: np.ndarray, before: float, after: float) -> np.ndarray:
    """Samples with silence of so many seconds before and after."""
    return np.pad(samples, (int(before * SAMPLE_RATE), int(after * SAMPLE_RATE)))


def recorded(rng: np.random.Generator, samples: np.ndarray, *, snr: tuple[float, float] = (10, 40)) -> Audio:
    """The samples as a recording: perhaps a room, perhaps a telephone line, noise at `snr` (dB), a random gain."""
    if rng.random() < 0.35:
        samples = room(rng, samples, rng.uniform(0.08, 0.3))
    if rng.random() < 0.7:
        power = np.sqrt(np.mean(samples**2)) + 1e-6
        hiss = noise(rng, len(samples), rng.choice([0.0, 0.0, 1.0, 1.5]))
        samples = samples + hiss * np.float32(power * 10 ** (-rng.uniform(*snr) / 20))
    if rng.random() < 0.2:
        samples = band(samples, rng.uniform(60, 300), rng.uniform(3300, 6000))
    peak = np.abs(samples).max() + 1e-6
    return Audio(np.clip(samples * (rng.uniform(0.15, 0.95) / peak), -1, 1).astype(np.float32))


def transmitted(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """A quarter of all samples, as they come out of a telephone, a low bit rate, a bad connection or an overdriven input."""
    if rng.random() < 0.75 or not len(samples):
        return samples
    way = (_telephone, _low_rate, _lost, _overdriven)[int(rng.integers(4))]
    return way(rng, samples).astype(np.float32)


def _telephone(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """300 to 3,400 Hz in eight bits with logarithmic steps (ITU-T G.711, mu = 255)."""
    peak = np.abs(samples).max() + 1e-6
    narrow = np.clip(band(samples, 300, 3400) / peak * rng.uniform(0.3, 1.0), -1, 1)
    steps = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127) / 127
    return np.sign(steps) * np.expm1(np.abs(steps) * np.log(256)) / 255 * peak


def _low_rate(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """A codec short of bits: spectra of 32 ms keep their strongest bins, in coarse steps, up to a limit."""
    size = 512
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size)  # its square adds up to one at half a window's distance
    padded = np.pad(samples, (size // 2, size + size // 2))
    starts = np.arange(0, len(padded) - size + 1, size // 2)
    spectra = np.fft.rfft(padded[starts[:, None] + np.arange(size)] * window)
    top = int(rng.uniform(3000, 7000) / SAMPLE_RATE * size)
    strength = np.abs(spectra)
    least = np.quantile(strength[:, :top], rng.uniform(0.4, 0.8), axis=1, keepdims=True)
    step = rng.uniform(1.5, 4.0)  # decibels
    rounded = 10 ** (np.round(20 * np.log10(strength + 1e-9) / step) * step / 20)
    spectra = np.where(strength >= least, spectra * rounded / (strength + 1e-9), 0)
    spectra[:, top:] = 0
    pieces, result = np.fft.irfft(spectra, size) * window, np.zeros(len(padded))
    for start, piece in zip(starts, pieces, strict=True):
        result[start : start + size] += piece
    return result[size // 2 : size // 2 + len(samples)]


def _lost(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """One to four packets of 10 to 30 ms are missing, and their edges are smoothed."""
    kept = np.ones(len(samples))
    for _ in range(int(rng.integers(1, 5))):
        length, start = int(rng.uniform(0.01, 0.03) * SAMPLE_RATE), int(rng.integers(len(samples)))
        kept[start : start + length] = 0
    return samples * np.convolve(kept, np.full(32, 1 / 32), "same")[: len(samples)]


def _overdriven(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """Louder than the input takes: peaks are cut, softly or hard."""
    peak = np.abs(samples).max() + 1e-6
    driven = samples / peak * rng.uniform(1.5, 5.0)
    return peak * (np.tanh(driven) if rng.random() < 0.5 else np.clip(driven, -1, 1))


def _fast_size(count: int) -> int:
    """The next multiple of a small power of two: transforms of a large prime length are slow."""
    unit = 1 << max(count.bit_length() - 4, 3)
    return -(-count // unit) * unit
