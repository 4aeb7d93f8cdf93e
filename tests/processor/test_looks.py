"""Looks at media: what moves, what stays, and what is refused."""

import numpy as np
import pytest

from omnie.errors import OptionError
from omnie.media.types import Audio, Image, Video
from omnie.messages import Part, user
from omnie.processor.image import join
from omnie.processor.looks import FRAMES, SHIFTS, Looks, slide
from omnie.processor.settings import MOST, ProcessorSettings

PATCH = 16


def drawn(height: int = 96, width: int = 160) -> np.ndarray:
    """A white picture with a dark square well inside."""
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    pixels[40:60, 70:90] = 10
    return pixels


def pictures(arrays) -> list[np.ndarray]:
    """The pixels that patches hold, a picture at a time."""
    found, at = [], 0
    for _, rows, columns in arrays["image_grid_thw"].tolist():
        found.append(join(arrays["pixel_values"][at : at + rows * columns], rows, columns, PATCH))
        at += rows * columns
    return found


def where(pixels: np.ndarray) -> tuple[int, int]:
    """Middle of what is dark."""
    rows, columns = np.nonzero(pixels[..., 0] < 0)
    return round(rows.mean()), round(columns.mean())


def test_each_look_is_moved_by_halves_of_a_patch(encoder):
    arrays = encoder.encode([user(Part("image", Image(drawn())), "What?")])
    found = Looks(arrays, MOST, PATCH)
    assert len(found) == MOST - 1 == len(SHIFTS) - 1
    row, column = where(*pictures(arrays))
    for moved, (down, right) in zip(found, SHIFTS[1:], strict=True):
        assert where(*pictures(moved)) == (row + 8 * down, column + 8 * right)
        assert set(moved) == set(arrays)
        assert all(moved[name] is array for name, array in arrays.items() if name != "pixel_values")


def test_all_pictures_move(encoder):
    arrays = encoder.encode([user(*(Part("image", Image(drawn(*size))) for size in ((96, 160), (128, 192))), "What?")])
    (moved,) = Looks(arrays, 2, PATCH)
    before, after = pictures(arrays), pictures(moved)
    assert len(before) == len(after) == 2
    for one, other in zip(before, after):
        assert where(other) == (where(one)[0] + 8, where(one)[1] + 8)


def test_clips_are_looked_at_once(encoder):
    clip = Video(np.stack([drawn()] * 4), np.arange(4) / 2, 2.0)
    arrays = encoder.encode([user(Part("image", Image(drawn())), Part("video", clip), "What?")])
    assert len(Looks(arrays, MOST, PATCH)) == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_what_stands_at_a_border_stays(axis):
    page = np.ones((40, 40, 3))
    np.moveaxis(page, axis, 0)[-3:, 5:9] = -1
    moved = slide(page, 8, axis)
    assert np.array_equal(np.moveaxis(moved, axis, 0)[:32], np.moveaxis(page, axis, 0)[8:])
    assert np.array_equal(np.moveaxis(moved, axis, 0)[32:], np.repeat(np.moveaxis(page, axis, 0)[-1:], 8, 0))
    assert slide(page, 0, axis) is page


def test_sounds_are_heard_later_or_earlier(encoder):
    """Where they are quiet at the end later, else earlier; each sound by itself."""
    tone = np.sin(np.arange(16_000) / 3).astype(np.float32) / 2
    sounds = [np.where(np.arange(16_000) < 8_000, tone, 0), np.where(np.arange(16_000) < 8_000, 0, tone)]
    arrays = encoder.encode([user(*(Part("audio", Audio(sound.astype(np.float32))) for sound in sounds))])
    for moved, by in zip(Looks(arrays, MOST, PATCH), FRAMES[1:], strict=True):
        late, early = np.split(moved["input_features"], 2)
        first, second = np.split(arrays["input_features"], 2)
        assert np.array_equal(late[by:], first[:-by]) and np.array_equal(early[:-by], second[by:])
        assert (late[:by] == first[0]).all() and (early[-by:] == second[-1]).all()


def test_a_sound_too_short_to_move_stays(encoder):
    arrays = encoder.encode([user(Part("audio", Audio(np.zeros(300, np.float32))))])
    (moved,) = Looks(arrays, 2, PATCH)
    assert np.array_equal(moved["input_features"], arrays["input_features"])


def test_without_media_there_is_nothing_to_look_at_again(encoder):
    looks = Looks(encoder.encode([user("What?")]), MOST, PATCH)
    assert not looks and list(looks) == []


def test_the_settings_say_how_often(encoder):
    arrays = encoder.encode([user(Part("image", Image(drawn())), "What?")])
    assert [len(encoder.with_looks(count).looks(arrays)) for count in (1, 2, 4)] == [0, 1, 3]
    assert encoder.with_looks(None) is encoder


@pytest.mark.parametrize("count", [0, 5, -1])
def test_out_of_range_is_refused(encoder, count):
    with pytest.raises(OptionError, match="looks"):
        encoder.with_looks(count)
    with pytest.raises(OptionError, match="looks"):
        ProcessorSettings(looks=count)
