"""The sound events: name -> a function that makes one, and what each is called in German and English.

An event is float32 [samples] at 16 kHz with a peak of 1 and begins within 10 ms of its first sample.
"""

from collections.abc import Callable

import numpy as np

from omnie.data.audio.synthesis import RECIPES, Source
from omnie.data.example import Split
from omnie.media.types import SAMPLE_RATE

Event = Callable[[Source], np.ndarray]

NAMES: dict[str, dict[str, str]] = {
    "beep": {"en": "beep", "de": "Piepton"},
    "bell": {"en": "bell", "de": "Glocke"},
    "buzzer": {"en": "buzzer", "de": "Summer"},
    "alarm": {"en": "alarm", "de": "Alarm"},
    "siren": {"en": "siren", "de": "Sirene"},
    "whistle": {"en": "whistle", "de": "Pfeife"},
    "chord": {"en": "chord", "de": "Akkord"},
    "drum": {"en": "drum", "de": "Trommel"},
    "knock": {"en": "knocking", "de": "Klopfen"},
    "clap": {"en": "clapping", "de": "Klatschen"},
    "ticking": {"en": "ticking", "de": "Ticken"},
    "noise": {"en": "noise", "de": "Rauschen"},
    "bark": {"en": "barking", "de": "Bellen"},
}


def draw_event(rng: np.random.Generator, split: Split, name: str) -> tuple[np.ndarray, str]:
    """One event of the split, and its recipe."""
    recipe = str(rng.choice(RECIPES[split]))
    samples = EVENTS[name](Source(rng, split, recipe))
    return (samples / (np.abs(samples).max() + 1e-9)).astype(np.float32), recipe


def _count(seconds: float) -> int:
    return int(seconds * SAMPLE_RATE)


def _times(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32) / SAMPLE_RATE


def _held(count: int, rise: float = 0.01, fall: float = 0.03) -> np.ndarray:
    """Loudness that rises, stays and falls (seconds)."""
    times = _times(count)
    return np.minimum(1, np.minimum(times / rise, (count / SAMPLE_RATE - times) / fall)).astype(np.float32)


def _struck(count: int, half_life: float) -> np.ndarray:
    """Loudness that jumps and decays by half every `half_life` seconds."""
    return np.minimum(_times(count) / 0.002, 1) * np.exp2(-_times(count) / half_life) * _held(count, 1e-4, 0.02)


def _repeated(source: Source, hit: Callable[[], np.ndarray], times: int, gap: float) -> np.ndarray:
    """Several hits, one every `gap` seconds, not quite regular."""
    hits = [hit() * source.rng.uniform(0.7, 1) for _ in range(times)]
    starts = [_count(n * gap * source.rng.uniform(0.94, 1.06)) for n in range(times)]
    out = np.zeros(max(start + len(hit) for start, hit in zip(starts, hits, strict=True)), np.float32)
    for start, one in zip(starts, hits, strict=True):
        out[start : start + len(one)] += one
    return out


def beep(source: Source) -> np.ndarray:
    """A short steady tone."""
    count = _count(source.rng.uniform(0.15, 0.45))
    return source.tone(source.pitch(600, 1600), count, source.rng.uniform(0, 0.25)) * _held(count)


def bell(source: Source) -> np.ndarray:
    """A strike of partials that are no harmonics, ringing out; the higher ones sooner."""
    count = _count(source.rng.uniform(0.9, 1.6))
    base, life = source.pitch(450, 1100), source.rng.uniform(0.12, 0.28)
    out = np.zeros(count, np.float32)
    for ratio in (0.5, 1.0, 1.19, 1.56, 2.0, 2.74, 3.76):
        partial = base * ratio * source.rng.uniform(0.985, 1.015)
        strength = source.rng.uniform(0.4, 1) / ratio**0.5
        out += source.tone(partial, count, 0.05) * _struck(count, life / ratio**0.6) * np.float32(strength)
    return out


def buzzer(source: Source) -> np.ndarray:
    """A low, harsh, steady sound."""
    count = _count(source.rng.uniform(0.4, 1.0))
    return source.tone(source.pitch(85, 190), count, 1.0) * _held(count)


def alarm(source: Source) -> np.ndarray:
    """Two tones in turn."""
    count = _count(source.rng.uniform(0.9, 1.6))
    low = source.pitch(500, 1000)
    high = low * source.rng.uniform(1.25, 1.5)
    turn = (_times(count) / source.rng.uniform(0.14, 0.26)).astype(int) % 2
    return source.tone(np.where(turn == 0, high, low), count, source.rng.uniform(0.2, 0.5)) * _held(count)


def siren(source: Source) -> np.ndarray:
    """A tone that wails up and down."""
    count = _count(source.rng.uniform(1.2, 2.0))
    low, period = source.pitch(400, 650), source.rng.uniform(0.6, 1.1)
    sweep = 0.5 - 0.5 * np.cos(2 * np.pi * _times(count) / period)
    return source.tone(low * source.rng.uniform(1.8, 2.4) ** sweep, count, source.rng.uniform(0.1, 0.4)) * _held(
        count, 0.03, 0.05
    )


def whistle(source: Source) -> np.ndarray:
    """A high, trilling, slightly breathy tone."""
    count = _count(source.rng.uniform(0.45, 0.9))
    base, trill = source.pitch(2000, 3000), source.rng.uniform(22, 38)
    swing = np.sin(2 * np.pi * trill * _times(count))
    tone = source.tone(base * (1 + 0.03 * swing), count, 0.05) * (0.75 + 0.25 * swing)
    return (tone + 0.25 * source.hiss(count, base, 0.5)) * _held(count, 0.02, 0.05)


def chord(source: Source) -> np.ndarray:
    """Three harmonious tones together, softly."""
    count = _count(source.rng.uniform(0.9, 1.5))
    base, third = source.pitch(180, 330), source.rng.choice([1.189, 1.26])
    tones = [source.tone(base * ratio, count, 0.35) for ratio in (1.0, third, 1.498)]
    return sum(tones[1:], tones[0]) * _held(count, 0.06, 0.5)


def drum(source: Source) -> np.ndarray:
    """One deep beat whose pitch falls, with a little skin noise."""
    count = _count(source.rng.uniform(0.35, 0.6))
    pitch = source.pitch(65, 105) * (1 + source.rng.uniform(0.6, 1.4) * np.exp2(-_times(count) / 0.025))
    beat = source.tone(pitch, count, 0.1) * _struck(count, source.rng.uniform(0.06, 0.11))
    return beat + 0.3 * source.hiss(count, 400, 3) * _struck(count, 0.01)


def knock(source: Source) -> np.ndarray:
    """Two to four dull, very short hits on wood."""
    pitch = source.pitch(280, 520)

    def hit() -> np.ndarray:
        count = _count(0.1)
        body = source.tone(pitch, count, 0.2) + 0.5 * source.tone(pitch * 2.3, count, 0.1)
        return body * _struck(count, 0.011) + 0.3 * source.hiss(count, 900, 2) * _struck(count, 0.004)

    return _repeated(source, hit, int(source.rng.integers(2, 5)), source.rng.uniform(0.17, 0.26))


def clap(source: Source) -> np.ndarray:
    """Two to five bursts of noise, like hands."""
    centre = source.pitch(900, 1900)

    def hit() -> np.ndarray:
        count = _count(0.14)
        return source.hiss(count, centre, 1.5) * _struck(count, source.rng.uniform(0.012, 0.022))

    return _repeated(source, hit, int(source.rng.integers(2, 6)), source.rng.uniform(0.22, 0.36))


def ticking(source: Source) -> np.ndarray:
    """Many quiet, high, extremely short clicks, as of a clock."""
    pitch = source.pitch(3200, 5200)

    def hit() -> np.ndarray:
        count = _count(0.03)
        return (source.tone(pitch, count, 0.0) + 0.5 * source.hiss(count, 5000, 1)) * _struck(count, 0.0025)

    return _repeated(source, hit, int(source.rng.integers(6, 10)), source.rng.uniform(0.13, 0.2))


def noise(source: Source) -> np.ndarray:
    """Steady hiss, as of water or a radio between stations."""
    count = _count(source.rng.uniform(0.7, 1.4))
    return source.hiss(count, source.pitch(1200, 3500), 2.5) * _held(count, 0.05, 0.08)


def bark(source: Source) -> np.ndarray:
    """One to three hoarse cries whose pitch rises and falls."""
    base = source.pitch(320, 560)

    def hit() -> np.ndarray:
        count = _count(source.rng.uniform(0.14, 0.2))
        arch = np.sin(np.pi * np.arange(count) / count).astype(np.float32)
        voice = source.tone(base * (0.75 + 0.5 * arch), count, 0.8)
        return (voice + 0.6 * source.hiss(count, base * 2.5, 1.2)) * arch**0.7

    return _repeated(source, hit, int(source.rng.integers(1, 4)), source.rng.uniform(0.3, 0.45))


EVENTS: dict[str, Event] = {
    event.__name__: event
    for event in (beep, bell, buzzer, alarm, siren, whistle, chord, drum, knock, clap, ticking, noise, bark)
}
