"""What pictures and sounds suffer: sizes are kept, equal sources give equal results, and only training is photographed."""

import numpy as np
import pytest

from omnie.data import assets, augment, skills
from omnie.data.audio import acoustics
from omnie.media.types import SAMPLE_RATE


def picture(height: int = 40, width: int = 90) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([(rows * 5) % 256, (columns * 3) % 256, (rows + columns) % 256], -1).astype(np.uint8)


def sound(seconds: float = 0.7) -> np.ndarray:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.5 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(2 * np.pi * 2500 * time)).astype(np.float32)


@pytest.mark.parametrize("effect", augment._PHOTOGRAPHED, ids=lambda effect: effect.__name__.strip("_"))
@pytest.mark.parametrize("size", [(1, 1), (24, 31), (3, 400)], ids=str)
def test_an_effect_keeps_the_picture(effect, size):
    pixels = picture(*size)
    worn, again = (effect(np.random.default_rng(1), pixels) for _ in range(2))
    assert worn.shape == pixels.shape and worn.dtype == np.uint8 and np.array_equal(worn, again)
    assert np.array_equal(pixels, picture(*size))


@pytest.mark.parametrize("effect", augment._PHOTOGRAPHED, ids=lambda effect: effect.__name__.strip("_"))
def test_an_effect_changes_a_picture_but_leaves_it_recognisable(effect):
    changes = []
    for seed in range(20):
        rows, columns = np.mgrid[:64, :96]
        smooth = np.stack([(127 + 100 * np.sin(rows / 9) * np.cos(columns / 13))] * 3, -1).astype(np.uint8)
        worn = effect(np.random.default_rng(seed), smooth)
        changes.append(not np.array_equal(worn, smooth))
        assert np.corrcoef(worn.flatten(), smooth.flatten())[0, 1] > 0.6
    assert sum(changes) >= 15


def test_most_pictures_are_not_photographed():
    pixels = picture()
    same = [np.array_equal(augment.photographed(np.random.default_rng(seed), pixels), pixels) for seed in range(300)]
    assert 0.55 < np.mean(same) < 0.78


WAYS = (acoustics._telephone, acoustics._low_rate, acoustics._lost, acoustics._overdriven)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
@pytest.mark.parametrize("count", [1, 511, 16_001])
def test_a_way_keeps_the_length(way, count):
    samples = np.resize(sound(), count)
    heard, again = (way(np.random.default_rng(2), samples) for _ in range(2))
    assert len(heard) == count and np.isfinite(heard).all() and np.array_equal(heard, again)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__.strip("_"))
def test_what_was_said_can_still_be_heard(way):
    samples = sound()
    for seed in range(10):
        heard = way(np.random.default_rng(seed), samples)
        assert np.corrcoef(heard, samples)[0, 1] > 0.7


def test_a_codec_with_all_its_bits_gives_the_sound_back(monkeypatch):
    """Nothing dropped, steps too fine to see: windows overlap to one."""
    monkeypatch.setattr(acoustics.np, "quantile", lambda strength, share, **_: np.zeros((len(strength), 1)))
    samples = acoustics.band(sound(), 50, 2800)

    class Fine:
        def uniform(self, low, high):
            return high if high > 100 else 1e-4

    np.testing.assert_allclose(acoustics._low_rate(Fine(), samples), samples, atol=0.02)


def test_most_sounds_come_as_they_are():
    samples = sound(0.1)
    same = [np.array_equal(acoustics.transmitted(np.random.default_rng(seed), samples), samples) for seed in range(200)]
    assert 0.6 < np.mean(same) < 0.88
    assert len(acoustics.transmitted(np.random.default_rng(0), samples[:0])) == 0


@pytest.mark.skipif(
    not all(map(assets.fetched, assets.assets("font"))), reason=f"fonts are not fetched: run `{assets.COMMAND}`"
)
def test_only_training_is_photographed_and_transmitted(monkeypatch):
    touched = []
    monkeypatch.setattr(augment, "photographed", lambda rng, pixels: touched.append("picture") or pixels)
    monkeypatch.setattr("omnie.data.speech.transmitted", lambda rng, samples: touched.append("sound") or samples)
    for split in ("validation", "heldout", "train"):
        assert not touched
        for skill in ("lines.read", "lines.block", "speech.transcribe"):
            skills.example(skill, split, 0)
    assert touched == ["picture", "picture", "sound"]
