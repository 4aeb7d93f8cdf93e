"""Clips: splits share nothing that could be learned by heart; motion, size, colour and sound agree with the answer."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

from omnie.data import scenes
from omnie.data.audio.voices import VARIANTS
from omnie.data.clips import wording
from omnie.data.clips.motion import MOTIONS
from omnie.data.clips.paint import BACKGROUNDS, COLOURS, SIZES, SURFACES, Thing
from omnie.data.clips.shapes import SHAPES, exact, raster
from omnie.data.example import SPLITS, generator_for
from omnie.data.scenes import GENERATORS, TRAVELS, draw_scene
from omnie.data.writing.grammar import every

EXAMPLES = Path(__file__).parents[2] / "examples"


def examples(skill, split, count=10):
    return [GENERATORS[skill](generator_for(skill, split, index), split) for index in range(count)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("skill", GENERATORS)
def test_clips_are_whole_and_repeatable(skill, split):
    for one, other in zip(examples(skill, split, 4), examples(skill, split, 4), strict=True):
        video, twin = one.parts[0].value, other.parts[0].value
        assert (one.answer, one.families, one.parts[1], one.more) == (other.answer, other.families, other.parts[1], other.more)
        assert split == "train" or not one.more
        assert np.array_equal(video.frames, twin.frames)
        assert (video.audio is None) == (twin.audio is None)
        assert video.audio is None or np.array_equal(video.audio.samples, twin.audio.samples)
        assert video.frames.dtype == np.uint8 and video.frames.shape[1:3][::-1] in SIZES[split]
        assert np.array_equal(video.times, np.arange(len(video.frames)) / 2) and 2 <= video.seconds <= 6
        assert video.audio is None or abs(video.audio.seconds - video.seconds) < 0.01


@pytest.mark.parametrize("skill", GENERATORS)
def test_splits_share_no_family(skill):
    seen = {split: {pair for example in examples(skill, split, 30) for pair in example.families.items()} for split in SPLITS}
    assert {"renderer", "background", "template"} <= {kind for kind, _ in seen["train"]}
    for one, other in itertools.combinations(SPLITS, 2):
        assert not seen[one] & seen[other]


def test_pools_of_the_splits_are_disjoint():
    questions = [value for value in vars(wording).values() if isinstance(value, dict) and "heldout" in value]
    assert len(questions) == 7
    tables = [SURFACES, BACKGROUNDS, SIZES]
    tables += [{split: table[split][language] for split in SPLITS} for table in questions for language in ("de", "en")]
    for table in tables:
        assert len({name for split in SPLITS for name in table[split]}) == sum(len(set(table[split])) for split in SPLITS)


def test_no_two_questions_are_worded_alike():
    kinds = [value for value in vars(wording).values() if isinstance(value, dict) and "heldout" in value]
    for split, language in itertools.product(SPLITS, ("de", "en")):
        said = [{text for line in kind[split][language] for text in every(line)} for kind in kinds]
        assert len(set().union(*said)) == sum(map(len, said))


def _tracks(scene, travels):
    """Centroid (in pixels) and area of what has the shape's colour, per frame; if it travels, without what always has."""
    frames = scene.video.frames.astype(np.float32)
    thing = np.array(COLOURS[scene.things[-1].colour], np.float32)
    like = np.clip(1 - np.abs(frames - thing).max(-1) / 75, 0, 1)
    if travels:
        like = np.clip(like - np.median(like, 0) - 0.1, 0, 1)
    y, x = np.mgrid[: frames.shape[1], : frames.shape[2]]
    weight = like.sum((1, 2)) + 1e-6
    return (like * x).sum((1, 2)) / weight, (like * y).sum((1, 2)) / weight, weight


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("motion", MOTIONS)
def test_pixels_move_as_told(motion, split):
    for seed in range(6):
        scene = draw_scene(np.random.default_rng(seed), split, motions=(motion,), sounds=0)
        x, y, area = _tracks(scene, motion not in ("grows", "shrinks", "still"))
        height, width = scene.video.frames.shape[1:3]
        dx, dy, growth = (x[-1] - x[0]) / width, (y[-1] - y[0]) / height, area[-1] / area[0]
        if motion in ("right", "left"):
            assert (dx > 0.2) if motion == "right" else (dx < -0.2)
            assert abs(dx) > abs(dy)
        elif motion in ("up", "down"):
            assert (dy > 0.2) if motion == "down" else (dy < -0.2)
            assert abs(dy) > abs(dx)
        elif motion == "circles":
            assert np.ptp(x) / width > 0.2 and np.ptp(y) / height > 0.2
        else:
            assert np.ptp(x) / width < 0.06 and np.ptp(y) / height < 0.08
            assert {"grows": growth > 1.5, "shrinks": growth < 0.67, "still": 0.9 < growth < 1.1}[motion]


@pytest.mark.parametrize("cover", [exact, raster])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_centred_and_smooth(shape, cover):
    x, y = np.arange(-30, 31, dtype=np.float32)[None], np.arange(-30, 31, dtype=np.float32)[:, None]
    area = cover(shape, x, y, 20.0, 0.0)
    assert area.shape == (61, 61) and area.min() == 0 and area.max() == 1
    assert ((area > 0) & (area < 1)).sum() > 8  # anti-aliased edges
    assert abs((area * x).sum() / area.sum()) < 0.5 and abs((area * y).sum() / area.sum()) < 2.5
    assert (area[30, 30] < 0.5) == (shape == "ring")


@pytest.mark.parametrize("shape", SHAPES)
def test_both_back_ends_draw_the_same_kind_of_shape(shape):
    x, y = np.arange(-30, 31, dtype=np.float32)[None], np.arange(-30, 31, dtype=np.float32)[:, None]
    masks = {other: raster(other, x, y, 22.0, 0.1) > 0.5 for other in SHAPES}
    mine = exact(shape, x, y, 22.0, 0.1) > 0.5
    overlap = {other: (mine & mask).sum() / (mine | mask).sum() for other, mask in masks.items()}
    assert max(overlap, key=overlap.get) == shape and overlap[shape] > 0.6


@pytest.mark.parametrize("split", SPLITS)
def test_sounds_begin_when_told(split):
    for seed in range(12):
        scene = draw_scene(np.random.default_rng(seed), split, motions=("still",), sounds=1)
        samples = scene.video.audio.samples
        level = np.sqrt(np.add.reduceat(samples**2, np.arange(0, len(samples), 160)) / 160)
        onset = np.flatnonzero(level > 0.25 * level.max())[0] / 100
        assert abs(onset - scene.sounds[0][0]) < 0.15


def test_the_told_half_second_is_near_the_sound():
    for example in examples("scenes.when", "heldout", 20):
        level = np.abs(example.parts[0].value.audio.samples)
        start = int((float(example.answer) - 0.15) * 16_000)
        assert 0 < float(example.answer) < example.parts[0].value.seconds
        assert level[start : start + 9_600].max() > 0.2 * level.max()


def test_silence_is_called_silence():
    told = {True: 0, False: 0}
    for example in examples("scenes.sound", "train", 60):
        audio, silent = example.parts[0].value.audio, example.answer in wording.NO_SOUND.values()
        assert silent == ("recipe" not in example.families)
        assert silent or audio is not None
        told[silent] += 1
    assert min(told.values()) > 5


@pytest.mark.parametrize("split", SPLITS)
def test_named_colours_are_in_the_picture(split):
    for example in examples("scenes.object", split, 30):
        if example.answer in COLOURS:
            distance = np.abs(example.parts[0].value.frames.astype(int) - COLOURS[example.answer]).max(-1)
            assert (distance < 70).mean() > 0.005


def _truths(scene, language):
    """Training question -> its true answer, for everything that can be asked of a clip; None where there is no single one."""
    found = {}

    def add(questions, answer, what=""):
        found.update({text.format(what=what): answer for wording in questions["train"][language] for text in every(wording)})

    lone, events = len(scene.things) == 1, [event for _, event in scene.sounds] or [None]
    moving = [thing for thing, kind in zip(scene.things, scene.motions, strict=True) if kind in TRAVELS]
    mover = moving[0] if len(moving) == 1 else None
    add(wording.OBJECT, mover and wording.adjective(mover, language))
    add(wording.OBJECT_COLOUR, mover and wording.colour_name(mover.colour, language))
    add(wording.OBJECT_SHAPE, mover and wording.shape_name(mover.shape, language))
    for thing, kind in zip(scene.things, scene.motions, strict=True):
        called = {"en": "shape", "de": "die Form"}[language] if lone else wording.described(thing, language)
        add(wording.MOTION, wording.MOTION_WORDS[kind][language], called)
    for start, event in scene.sounds:
        add(wording.WHEN, f"{round(2 * start) / 2:.1f}", wording.sound_with_article(event, language))
    heard = wording.NAMES[events[0]][language] if events[0] else wording.NO_SOUND[language]
    add(wording.SOUND, heard if len(events) == 1 else None)
    story = wording.story(scene.things[0], scene.motions[0], events[0], language)
    add(wording.BOTH, story if lone and len(events) == 1 else None)
    return found


@pytest.mark.parametrize("skill", GENERATORS)
def test_further_answers_are_true_and_nothing_is_asked_twice(skill, monkeypatch):
    """The first question is checked too. Two sounds, or a second shape that moves, leave some questions without an answer."""
    scene, asked = [], []
    monkeypatch.setattr(scenes, "draw_scene", lambda *args, **kinds: scene.append(draw_scene(*args, **kinds)) or scene[-1])
    for index in range(25):
        example = GENERATORS[skill](generator_for(skill, "train", index), "train")
        known = _truths(scene[-1], "en") | _truths(scene[-1], "de")
        turns = ((example.parts[1].value, example.answer), *example.more)
        assert all(known[question] == answer for question, answer in turns), turns
        assert len(dict(turns)) == len(turns)
        asked.append(len(example.more))
    assert np.mean(asked) > 1.5 and max(asked) <= 4


def test_wording_inflects():
    thing = Thing("square", "orange", None)
    assert wording.adjective(thing, "en") == "an orange square" and wording.described(thing, "de") == "das orange Quadrat"
    assert wording.adjective(Thing("ring", "red", None), "de") == "ein roter Ring"
    assert wording.story(thing, "still", "bell", "de") == "ein oranges Quadrat bewegt sich nicht; Ton: Glocke"
    assert wording.story(thing, "left", None, "en") == "an orange square moves to the left; no sound"


def _script(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_clip_is_what_it_says():
    film = _script("make_clip")
    assert "omnie" not in (EXAMPLES / "make_clip.py").read_text().split('"""')[2]
    red = [film.picture(seconds)[..., 0].astype(int) - film.picture(seconds)[..., 2] > 90 for seconds in (0.5, 5.5)]
    centres = [np.nonzero(mask)[1].mean() for mask in red]
    assert centres[1] - centres[0] > 100
    level = np.abs(film.sound())
    assert abs(np.flatnonzero(level > 0.1)[0] / film.RATE - film.BELL_AT) < 0.05


def test_the_example_question_is_spoken_by_a_heldout_voice(tmp_path):
    voice = _script("make_voice")
    assert voice.VOICE.variant in VARIANTS["heldout"]
    voice.main(tmp_path)
    assert (tmp_path / "question.wav").read_bytes() == (EXAMPLES / "question.wav").read_bytes()
    assert all((EXAMPLES / name).stat().st_size < 200_000 for name in ("question.wav", "clip.mp4"))
