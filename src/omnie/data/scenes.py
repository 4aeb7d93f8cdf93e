"""Little clips with moving shapes and sound events, and what may be asked about them.

Shapes, paths and surfaces live in `clips/`, the sounds in `audio/events.py` and `sounds.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from omnie.data.audio.events import EVENTS, NAMES, draw_event
from omnie.data.clips.motion import MOTIONS, draw_path
from omnie.data.clips.motion import seen as motion_seen
from omnie.data.clips.paint import COLOURS, SIZES, Thing, draw_background, draw_clip
from omnie.data.clips.shapes import SHAPES
from omnie.data.clips.wording import (
    BOTH,
    MOTION,
    MOTION_WORDS,
    NO_SOUND,
    OBJECT,
    OBJECT_COLOUR,
    OBJECT_SHAPE,
    SOUND,
    WHEN,
    Questions,
    adjective,
    colour_name,
    described,
    shape_name,
    sound_with_article,
    story,
)
from omnie.data.example import Example, Generator, Scoring, Split, Written
from omnie.data.sounds import draw_language, mix
from omnie.data.turns import Turn, followed
from omnie.data.words import Language
from omnie.data.writing.grammar import decided
from omnie.media.types import Video
from omnie.messages import Part, text

FRAMES_PER_SECOND = 2
TRAVELS = tuple(kind for kind in MOTIONS if kind not in ("still", "grows", "shrinks"))
"""What is meant by "moves", where it is asked which shape does."""
REVEALING: tuple[Questions, ...] = (OBJECT, MOTION, WHEN, BOTH)
"""Questions that tell what others ask for ("When is the bell heard?"), or whose answers do: asked after those."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A clip and the truth: `things` from back to front with the `motions` they make, `sounds` as (start in s, event)."""

    video: Video
    things: tuple[Thing, ...]
    motions: tuple[str, ...]
    sounds: tuple[tuple[float, str], ...]
    families: dict[str, str]


def draw_scene(rng: np.random.Generator, split: Split, *, motions: tuple[str, ...], sounds: int, silent: bool = False) -> Scene:
    """A clip of 2 to 6 s with one shape for each of `motions` and so many sound events.

    Args:
        silent: The clip has no sound track at all (only if `sounds` is 0); otherwise it has at least background noise.
    """
    frames = int(rng.integers(6 if "circles" in motions or sounds else 4, 13))
    seconds = frames / FRAMES_PER_SECOND
    shapes, colours = rng.choice(SHAPES, len(motions), replace=False), rng.choice(list(COLOURS), len(motions), replace=False)
    paths = [draw_path(rng, motion, frames, seconds) for motion in motions]
    things = tuple(Thing(str(shape), str(colour), path) for shape, colour, path in zip(shapes, colours, paths, strict=True))
    size = SIZES[split][rng.integers(len(SIZES[split]))]
    background, backdrop = draw_background(rng, split, size, [thing.colour for thing in things])
    pictures, surface = draw_clip(rng, split, background, list(things))
    heard, tracks, recipe = _draw_sounds(rng, split, sounds, seconds)
    audio = None if silent and not sounds else mix(rng, tracks, seconds)
    video = Video(pictures, np.arange(frames) / FRAMES_PER_SECOND, seconds, audio)
    families = {"renderer": surface, "background": backdrop} | ({"recipe": recipe} if recipe else {})
    return Scene(video, things, motions, heard, families)


def motion(rng: np.random.Generator, split: Split) -> Example:
    """How the shape moves, or one of two."""
    count = 2 if rng.random() < 0.3 else 1
    motions = tuple(str(kind) for kind in rng.choice(MOTIONS, count, replace=False))
    scene, language = _scene(rng, split, motions), draw_language(rng)
    words = _called(scene, language)
    return _example(rng, split, "scenes.motion", MOTION, scene, language, MOTION_WORDS[motions[-1]][language], what=words)


def sound(rng: np.random.Generator, split: Split) -> Example:
    """Which sound is heard, if any."""
    language, quiet = draw_language(rng), rng.random() < 0.2
    scene = draw_scene(rng, split, motions=(_any_motion(rng),), sounds=0 if quiet else 1, silent=rng.random() < 0.5)
    answer = NO_SOUND[language] if quiet else NAMES[scene.sounds[0][1]][language]
    return _example(rng, split, "scenes.sound", SOUND, scene, language, answer)


def when(rng: np.random.Generator, split: Split) -> Example:
    """At which half second a sound begins; there may be another sound."""
    scene, language = draw_scene(rng, split, motions=(_any_motion(rng),), sounds=int(rng.integers(1, 3))), draw_language(rng)
    start, event = scene.sounds[rng.integers(len(scene.sounds))]
    what = sound_with_article(event, language)
    return _example(rng, split, "scenes.when", WHEN, scene, language, _half_second(start), scoring="seconds", what=what)


def _half_second(start: float) -> str:
    """A time in seconds as an answer: "2.5"."""
    return f"{round(start * 2) / 2:.1f}"


def moving_object(rng: np.random.Generator, split: Split) -> Example:
    """Which shape moves, of which colour; another one may stand still."""
    language = draw_language(rng)
    moves = str(rng.choice(TRAVELS))
    scene = _scene(rng, split, ("still", moves) if rng.random() < 0.5 else (moves,))
    thing = scene.things[-1]
    questions, answer = (
        (OBJECT, adjective(thing, language)),
        (OBJECT_COLOUR, colour_name(thing.colour, language)),
        (OBJECT_SHAPE, shape_name(thing.shape, language)),
    )[rng.integers(3)]
    return _example(rng, split, "scenes.object", questions, scene, language, answer)


def both(rng: np.random.Generator, split: Split) -> Example:
    """What moves and what is heard, in one short sentence."""
    language, kind, quiet = draw_language(rng), _any_motion(rng), rng.random() < 0.15
    scene = draw_scene(rng, split, motions=(kind,), sounds=0 if quiet else 1, silent=rng.random() < 0.5)
    answer = story(scene.things[0], kind, None if quiet else scene.sounds[0][1], language)
    return _example(rng, split, "scenes.both", BOTH, scene, language, answer, scoring="contains")


GENERATORS: dict[str, Generator] = {
    "scenes.motion": motion,
    "scenes.sound": sound,
    "scenes.when": when,
    "scenes.object": moving_object,
    "scenes.both": both,
}


def _draw_sounds(
    rng: np.random.Generator, split: Split, count: int, seconds: float
) -> tuple[tuple[tuple[float, str], ...], list[tuple[float, np.ndarray]], str]:
    """Different events that begin near different half seconds, in order of time; their samples; and their recipe."""
    slots = np.sort(rng.choice(np.arange(1, int(2 * seconds) - 1), count, replace=False))
    starts = [float(slot / 2 + rng.uniform(-0.12, 0.12)) for slot in slots]
    names = [str(name) for name in rng.choice(list(EVENTS), count, replace=False)]
    drawn = [draw_event(rng, split, name) for name in names]
    room = [np.diff([*starts, seconds])[n] for n in range(count)]
    tracks = [(start, _cut(samples, gap)) for start, (samples, _), gap in zip(starts, drawn, room, strict=True)]
    return tuple(zip(starts, names, strict=True)), tracks, "+".join(sorted({recipe for _, recipe in drawn}))


def _cut(samples: np.ndarray, seconds: float) -> np.ndarray:
    """Samples that end, faded, before the next event begins."""
    count = min(len(samples), int(seconds * 16_000))
    return samples[:count] * np.minimum(1, (count - np.arange(count)) / 320).astype(np.float32)


def _scene(rng: np.random.Generator, split: Split, motions: tuple[str, ...]) -> Scene:
    """A clip about pictures: with one sound, with noise only, or without a track."""
    return draw_scene(rng, split, motions=motions, sounds=int(rng.random() < 0.35), silent=rng.random() < 0.7)


def _called(scene: Scene, language: Language) -> str:
    """The last shape as questions call it; it is in front, so that a shape in question is never hidden."""
    return described(scene.things[-1], language) if len(scene.things) > 1 else {"en": "shape", "de": "die Form"}[language]


def _any_motion(rng: np.random.Generator) -> str:
    return str(rng.choice(MOTIONS))


def _example(
    rng: np.random.Generator,
    split: Split,
    skill: str,
    questions: Questions,
    scene: Scene,
    language: Language,
    answer: str,
    scoring: Scoring = "exact",
    **slots: str,
) -> Example:
    template = str(rng.choice(questions[split][language]))
    parts = (Part("video", scene.video), text(decided(rng, template).format(**slots)))
    families = scene.families | {"template": template}
    example = Example(skill, parts, answer, scoring, families=families, written=tuple(_seen(scene)))
    return followed(example, split, _further(rng, split, scene, language, questions, slots))


def _seen(scene: Scene) -> Iterator[Written]:
    """What is to be read in each pair of frames: which shape is there, and what it does from one of them to the other."""
    frames, height, width = scene.video.frames.shape[:3]
    alone = len(scene.things) == 1
    for pair in range((frames + 1) // 2):
        first, second = 2 * pair, min(2 * pair + 1, frames - 1)
        for thing in scene.things:
            path, does = thing.path, motion_seen(thing.path, first, second) if second > first else None
            x, y, radius = (float((values[first] + values[second]) / 2) for values in (path.x, path.y, path.radius))
            reach = radius * min(width, height)
            left, right = (0.0, float(width)) if alone else (max(x * width - reach, 0.0), min(x * width + reach, width))
            box = (left, max(y * height - reach, 0.0), right, min(y * height + reach, height))
            name = described(thing, "en")
            yield Written(f"{name}\n{MOTION_WORDS[does]['en']}" if does else name, box, pair)


def _further(
    rng: np.random.Generator, split: Split, scene: Scene, language: Language, first: Questions, slots: dict[str, str]
) -> Iterator[Turn]:
    """Three or four of the other questions that the clip answers, or as many as there are; what gives away most is last."""
    known = [OBJECT_COLOUR, OBJECT_SHAPE] if first is OBJECT else []
    others = [fact for fact in _answered(scene, language) if fact[0] not in known and (fact[0], fact[2]) != (first, slots)]
    chosen = [others[place] for place in rng.permutation(len(others))[: int(rng.integers(3, 5))]]
    for questions, answer, values in sorted(chosen, key=lambda fact: fact[0] in REVEALING and 1 + REVEALING.index(fact[0])):
        template = str(rng.choice(questions[split][language]))
        yield Turn(decided(rng, template).format(**values), answer, template)


def _answered(scene: Scene, language: Language) -> Iterator[tuple[Questions, str, dict[str, str]]]:
    """All questions that have one true answer in a clip: templates, the answer, and what fills the templates."""
    thing, kind = scene.things[-1], scene.motions[-1]
    yield MOTION, MOTION_WORDS[kind][language], {"what": _called(scene, language)}
    if kind in TRAVELS and set(scene.motions[:-1]) <= {"still"}:
        yield OBJECT, adjective(thing, language), {}
        yield OBJECT_COLOUR, colour_name(thing.colour, language), {}
        yield OBJECT_SHAPE, shape_name(thing.shape, language), {}
    for start, event in scene.sounds:
        yield WHEN, _half_second(start), {"what": sound_with_article(event, language)}
    if len(scene.sounds) > 1:
        return
    event = scene.sounds[0][1] if scene.sounds else None
    yield SOUND, NAMES[event][language] if event else NO_SOUND[language], {}
    if len(scene.things) == 1:
        yield BOTH, story(thing, kind, event, language), {}
