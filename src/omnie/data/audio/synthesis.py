"""Sound events from formulas: what a bell, a knock or a siren is, whichever way it is synthesised.

An event fixes how loudness and pitch move in time; the *recipe* fixes what oscillates and hisses. Recipes and pitch ranges
belong to one split each, so that a model which knows the event by its recipe alone fails on the held-out ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from omnie.data.audio.acoustics import filtered
from omnie.data.example import Split
from omnie.media.types import SAMPLE_RATE

Recipe = str
RECIPES: dict[Split, tuple[Recipe, ...]] = {
    "train": ("additive", "clipped", "detuned"),
    "validation": ("subtractive",),
    "heldout": ("modulated", "pulsed"),
}

# Octaves are cut into twelve; a split may only use its own steps, so that not even the pitches repeat.
_STEPS: dict[Split, tuple[int, ...]] = {"train": (0, 1, 3, 4, 6, 7, 9, 10), "validation": (5, 11), "heldout": (2, 8)}


@dataclass(frozen=True)
class Source:
    """Where an event's randomness and timbre come from."""

    rng: np.random.Generator
    split: Split
    recipe: Recipe

    def pitch(self, low: float, high: float) -> float:
        """A frequency (Hz) of about `low` to `high` on the split's own steps."""
        steps = np.arange(96)
        steps = steps[np.isin(steps % 12, _STEPS[self.split])]
        frequencies = 55 * 2 ** ((steps + self.rng.uniform(0.1, 0.9, len(steps))) / 12)
        fitting = frequencies[(frequencies >= low) & (frequencies <= high)]
        return float(self.rng.choice(fitting) if len(fitting) else frequencies[np.abs(frequencies - low).argmin()])

    def tone(self, frequency: np.ndarray | float, count: int, bright: float = 0.3) -> np.ndarray:
        """A tone that follows `frequency` (Hz); `bright` from 0 (nearly pure) to 1 (buzzing). About unit amplitude."""
        steps = np.broadcast_to(np.asarray(frequency, np.float64), (count,))
        phase = 2 * np.pi * np.cumsum(steps) / SAMPLE_RATE + self.rng.uniform(0, 2 * np.pi)
        return _TONES[self.recipe](self, phase, bright).astype(np.float32)

    def hiss(self, count: int, centre: float, width: float) -> np.ndarray:
        """Noise around `centre` (Hz), `width` octaves wide, of about unit amplitude."""
        grain = max(int(SAMPLE_RATE / (4 * centre)), 1) if self.recipe in ("pulsed", "modulated") else 1
        if self.recipe == "pulsed":
            raw = np.where(self.rng.random(count) < 0.2, self.rng.choice([-1.0, 1.0], count), 0.0)
        elif grain > 1:
            raw = np.repeat(self.rng.uniform(-1, 1, count // grain + 1), grain)[:count]
        else:
            raw = self.rng.standard_normal(count)
        shaped = resonate(raw, centre, max(centre * (2 ** (width / 2) - 2 ** (-width / 2)), 30))
        return (shaped / (np.sqrt(np.mean(shaped**2)) * 2 + 1e-9)).astype(np.float32)


def resonate(samples: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Samples through one resonance at `centre` (Hz) that is `width` (Hz) wide."""
    radius = np.exp(-np.pi * width / SAMPLE_RATE)
    poles = [1, -2 * radius * np.cos(2 * np.pi * min(centre, 7800) / SAMPLE_RATE), radius**2]
    return filtered(samples, [1 - radius, 0, -(1 - radius)], poles)


def _additive(source: Source, phase: np.ndarray, bright: float) -> np.ndarray:
    """A few harmonics with random weights."""
    out = np.sin(phase)
    for harmonic in range(2, 3 + int(5 * bright)):
        out += source.rng.uniform(0.4, 1.2) * bright / harmonic**0.5 * np.sin(harmonic * phase)
    return out / (1 + bright)


def _clipped(source: Source, phase: np.ndarray, bright: float) -> np.ndarray:
    """A sine driven into saturation."""
    return np.tanh((1 + 5 * bright) * (np.sin(phase) + source.rng.uniform(0, 0.4) * bright))


def _detuned(source: Source, phase: np.ndarray, bright: float) -> np.ndarray:
    """Two tones a little apart; the second is weaker, so that their beating is never taken for separate tones."""
    other = phase * (1 + source.rng.uniform(0.002, 0.008))
    return 0.8 * np.tanh((1 + 3 * bright) * np.sin(phase)) + 0.2 * np.sin(other)


def _subtractive(_source: Source, phase: np.ndarray, bright: float) -> np.ndarray:
    """A sawtooth without the harmonics that would fold back, smoothed."""
    highest = np.diff(phase, prepend=phase[0]).max() / (2 * np.pi) * SAMPLE_RATE
    harmonics = range(1, 1 + min(int(7500 / (highest + 1)), 4 + int(14 * bright)))
    return sum((np.sin(number * phase) / number ** (1.6 - 0.6 * bright) for number in harmonics), np.zeros(len(phase))) * 0.7


def _modulated(source: Source, phase: np.ndarray, bright: float) -> np.ndarray:
    """Frequency modulation."""
    return np.sin(phase + 2.2 * bright * np.sin(source.rng.choice([1.0, 2.0]) * phase))


def _pulsed(source: Source, phase: np.ndarray, bright: float) -> np.ndarray:
    """A train of raised-cosine pulses: the brighter, the narrower."""
    power = 1 + 7 * bright
    out = (0.5 + 0.5 * np.cos(phase)) ** power
    return (out - out.mean()) * 1.6


_TONES: dict[Recipe, Callable[[Source, np.ndarray, float], np.ndarray]] = {
    "additive": _additive,
    "clipped": _clipped,
    "detuned": _detuned,
    "subtractive": _subtractive,
    "modulated": _modulated,
    "pulsed": _pulsed,
}
