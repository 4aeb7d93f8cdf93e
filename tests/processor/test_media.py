"""Laws of the features: sizes, patch order, streaming sound, frames and sound by time, pages as lines."""

import time

import numpy as np
import pytest

from omnie import inputs
from omnie.errors import InputError, OptionError
from omnie.media.types import Video, Word
from omnie.processor import ProcessorSettings, audio, documents, image, video

from .conftest import clip, picture, sound

SETTINGS = ProcessorSettings()
NANO = 448 * 320


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((16, 64), (80, 336)), ((112, 128), (160, 176)), ((176, 160), (240, 224)), ((224, 256), (400, 448)),
        ((320, 448), (400, 576)), ((960, 960), (480, 480)),
    ],
    ids=str,
)  # fmt: skip
def test_the_larger_a_picture_the_more_it_is_enlarged(size, expected):
    """To the least size, or by the root of how many times half of that it is, and no further than zoom and limit."""
    limits = {"unit": 16, "max_pixels": 480 * 480, "min_pixels": 2 * 112 * 128, "zoom": 1.75}
    assert image.fit(*size, **limits) == expected


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 160)], ids=str)
def test_patches_can_be_put_together_again(size):
    pixels = picture(*size).pixels
    rows, columns = size[0] // 16, size[1] // 16
    made = image.patches(pixels, rows, columns, 16)
    assert made.shape == (rows * columns, 768) and made.dtype == np.float32
    again = image.join((made + 1) * 127.5, rows, columns, 16)
    np.testing.assert_allclose(again, pixels, atol=1e-4)


def test_four_patches_in_a_row_are_one_block():
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32, 32:] = 255  # the second block of the first row of blocks
    assert (image.patches(pixels, 4, 4, 16).mean(1) > 0).tolist() == [n in range(4, 8) for n in range(16)]


def test_a_patch_is_row_column_channel():
    pixels = picture(32, 32).pixels
    np.testing.assert_array_equal(image.cut(pixels, 16)[1], pixels[:16, 16:].reshape(-1))


@pytest.mark.parametrize("pixels", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))], ids=str)
def test_pixels_of_another_form_are_refused(pixels):
    with pytest.raises(InputError, match="wrong form"):
        image.patches(pixels, 2, 2, 16)


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 400, 16_000, 16_123, 700_001])
def test_sound_in_pieces_is_the_whole(samples):
    whole = sound(samples).samples
    expected = audio.log_mel(whole, SETTINGS)
    assert expected.shape == (audio.mel_frames(samples), 128) == (-(-samples // 160), 128)
    stream, rng, parts, start = audio.MelStream(SETTINGS), np.random.default_rng(samples), [], 0
    while start < samples:
        step = int(rng.integers(0, 40_000))
        parts.append(stream.push(whole[start : start + step]))
        start += step
    np.testing.assert_allclose(np.concatenate([*parts, stream.finish()]), expected, atol=1e-5)


def test_a_frame_needs_no_later_sound():
    whole = sound(16_000).samples
    np.testing.assert_allclose(audio.log_mel(whole[:8000], SETTINGS), audio.log_mel(whole, SETTINGS)[:50], atol=1e-5)


@pytest.mark.parametrize("frequency", [250.0, 1000.0, 3000.0, 7000.0])
def test_a_tone_is_loudest_in_its_band(frequency):
    tone = np.sin(2 * np.pi * frequency * np.arange(16_000) / 16_000).astype(np.float32)
    edges = audio.hertz(np.linspace(0, audio.mel(8000.0), 130))
    loudest = int(audio.log_mel(tone, SETTINGS)[50].argmax())
    assert abs(edges[loudest + 1] - frequency) < 60 + frequency * 0.03


def test_values_are_small_and_silence_is_the_floor():
    made = audio.log_mel(sound(16_000).samples, SETTINGS)
    assert np.abs(made).max() < 2.5
    assert np.allclose(audio.log_mel(np.zeros(1600, np.float32), SETTINGS), (np.log(1e-5) + 4) / 5)


def test_a_minute_of_sound_takes_no_time():
    minute = sound(960_000).samples
    began = time.perf_counter()
    audio.log_mel(minute, SETTINGS)
    assert time.perf_counter() - began < 1.5  # 0.03 s when the machine is idle


@pytest.mark.parametrize(
    ("frames", "fps", "seconds", "limit", "expected"),
    [
        (8, 2, 4, 128, list(range(8))), (100, 25, 4, 128, [0, 12, 25, 37, 50, 62, 75, 87]), (1, 2, 0.5, 128, [0]),
        (1, 2, 10, 128, [0]), (3, 1, 3, 128, [0, 1, 2]), (240, 2, 120, 4, [0, 60, 120, 180]), (5, 2, 2.5, 128, [0, 1, 2, 3, 4]),
    ],
    ids=str,
)  # fmt: skip
def test_frames_are_chosen_by_rate_and_budget(frames, fps, seconds, limit, expected):
    assert video.choose(np.arange(frames) / fps, seconds, fps=2, limit=limit) == expected


def test_frames_at_odd_times_are_taken_once():
    chosen = video.choose(np.array([0.0, 0.05, 0.1, 3.0, 3.9]), 4.0, fps=2, limit=128)
    assert chosen == sorted(set(chosen)) and chosen[0] == 0 and {3, 4} <= set(chosen)


def test_the_sound_is_shared_out_by_time_and_stays_whole():
    assert video.share(400, [0.0, 1.0, 2.0, 3.0]) == [13, 12, 13, 12]
    assert video.share(1000, [0.0, 1.0]) == [13, 112]  # the picture ends before the sound
    assert video.share(100, [0.0, 1.0, 2.0]) == [13, 0, 0]
    assert sum(video.share(12_345, [0.0, 0.7, 9.1])) == inputs.audio_tokens(12_345)


def test_pieces_hold_two_frames_and_the_odd_one_is_repeated():
    pieces = video.plan(clip(5, audio=sound(40_000)), SETTINGS)
    assert [(piece.time, piece.frames, piece.grid, piece.audio) for piece in pieces] == [
        (0.0, (0, 1), (2, 4, 8), 13), (1.0, (2, 3), (2, 4, 8), 12), (2.0, (4, 4), (2, 4, 8), 7),
    ]  # fmt: skip


def test_a_long_clip_keeps_the_budget_and_all_its_sound():
    settings = ProcessorSettings(video_max_frames=8)
    pieces = video.plan(clip(120, audio=sound(960_000)), settings)
    assert len(pieces) == 4 and sum(piece.audio for piece in pieces) == 750
    assert [round(piece.time) for piece in pieces] == [0, 15, 30, 45]


def test_patches_of_a_piece_are_frame_after_frame():
    value = clip(4)
    made = video.patches(value, video.plan(value, SETTINGS), 16)
    np.testing.assert_array_equal(made[32:64], image.patches(value.frames[1], 4, 8, 16))


def test_a_clip_without_frames_is_refused():
    with pytest.raises(InputError, match="no frames"):
        video.plan(Video(np.zeros((0, 8, 8, 3), np.uint8), np.zeros(0), 1.0), SETTINGS)


def test_words_become_lines():
    boxes = [("a", 0.1, 0.1), ("b", 0.3, 0.102), ("c", 0.1, 0.2), ("d", 0.05, 0.2), ("e", 0.4, 0.22)]
    words = [Word(name, (left, top, left + 0.1, top + 0.02)) for name, left, top in boxes]
    assert documents.lines(words) == ["a b", "c", "d", "e"]


def test_settings_round_trip_and_refuse_the_unknown(tmp_path):
    settings = ProcessorSettings(context=77, video_fps=1.5)
    settings.save(tmp_path)
    assert ProcessorSettings.load(tmp_path) == settings
    with pytest.raises(OptionError, match="image_max_pixels"):
        ProcessorSettings.of({"max_pixels": 3})
    for wrong in (
        {"patch": 0},
        {"patch": 1.5},
        {"context": True},
        {"mel_scale": float("nan")},
        {"image_max_pixels": 100},
        {"image_min_pixels": 640 * 512 + 1},
        {"image_zoom": 0.9},
    ):
        with pytest.raises(OptionError):
            ProcessorSettings.of(wrong)
