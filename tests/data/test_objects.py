"""Laws of object and shape pictures: equal seeds, true answers, visible drawings, families that belong to one split."""

import numpy as np
import pytest
from PIL import Image

from omnie.data import assets, objects, words
from omnie.data.example import SPLITS, generator_for
from omnie.data.pictures import backgrounds, emoji, questions, restyle, shapes
from omnie.data.pictures.things import things
from omnie.data.writing.grammar import every

needs_emoji = pytest.mark.skipif(
    not all(map(assets.fetched, assets.assets("emoji"))), reason=f"emoji are not fetched: run `{assets.COMMAND}`"
)
SKILLS = [pytest.param(skill, marks=() if skill == "objects.colour" else needs_emoji) for skill in objects.GENERATORS]
NAMES = {name: {objects.word(thing, name) for thing in things().values()} for name in words.LANGUAGES}


def examples(skill, split, count):
    return [objects.GENERATORS[skill](generator_for(skill, split, index), split) for index in range(count)]


def test_things_are_many_and_named_once_in_each_language():
    assert len(things()) >= 120
    assert all(len(names) == len(things()) for names in NAMES.values())
    icons = [icon for thing in things().values() for icon in thing.icons]
    assert len(icons) == len(set(icons))


@pytest.mark.parametrize("skill", SKILLS)
def test_equal_seeds_give_equal_examples(skill):
    for one, other in zip(examples(skill, "train", 6), examples(skill, "train", 6), strict=True):
        assert (one.answer, one.parts[1], one.families, one.more) == (other.answer, other.parts[1], other.families, other.more)
        assert np.array_equal(one.parts[0].value.pixels, other.parts[0].value.pixels)


@pytest.mark.parametrize("skill", SKILLS)
def test_families_belong_to_one_split(skill):
    seen = {split: [example.families for example in examples(skill, split, 120)] for split in SPLITS}
    for kind in seen["train"][0]:
        train, validation, heldout = ({name for one in seen[split] for name in one[kind].split("+")} for split in SPLITS)
        assert not train & validation and not train & heldout and not validation & heldout


@needs_emoji
def test_every_family_draws_most_things_and_heldout_draws_all():
    for split in SPLITS:
        for family in emoji.families(split):
            assert len(emoji.drawn_by(family.family)) >= 115, family.family
    assert all(len(emoji.drawn_by(family.family)) == len(things()) for family in emoji.families("heldout"))


@needs_emoji
def test_answers_are_names_numbers_or_sides():
    known = NAMES["en"] | NAMES["de"]
    sides = {side for rows in words.SIDES.values() for row in rows.values() for side in row}
    assert {example.answer for example in examples("objects.name", "train", 100)} <= known
    assert {example.answer for example in examples("objects.count", "train", 100)} <= set("1234567")
    assert {example.answer for example in examples("objects.which", "train", 100)} <= known | sides


def truths(question, answer, language, **fields):
    """Every training wording of a question, with its answer."""
    asked = [text.format(**fields) for wording in questions.wordings()[question][language]["train"] for text in every(wording)]
    return {text[0].upper() + text[1:]: answer for text in asked}


def of_things(skill, placed, language):
    """All that may be asked of things at their places, for one of the skills."""
    row = [things()[name] for name, _ in sorted(placed, key=lambda one: one[1][0])]
    found, names = {}, [objects.word(thing, language) for thing in row]
    if skill == "objects.name":
        return truths("objects-name", names[0], language)
    if skill == "objects.count":
        for thing, name in zip(row, names, strict=True):
            plural = thing.plural if language == "en" else thing.german_plural
            found |= truths("objects-count", str(names.count(name)), language, plural=plural)
        return found | truths("objects-count-all", str(len(row)), language)
    for index, name in enumerate(names):
        found |= truths("objects-which", name, language, place=objects.PLACES[language][len(row)][index])
        found |= truths("objects-where", words.SIDES[language][len(row)][index], language, name=name)
    return found


def of_shapes(forms, colours, language):
    """All that may be asked of coloured shapes from left to right."""
    found = {}
    for index, (form, colour) in enumerate(zip(forms, colours, strict=True)):
        german = shapes.COLOURS[colour][0]
        named = {"shape": form, "colour": colour, "the": "the", "hue": colour}
        if language == "de":
            shape = shapes.SHAPES[form]
            named = {"shape": shape.german, "colour": german, "the": shape.the, "hue": german.capitalize()}
        found |= truths("shapes-colour", named["colour"], language, **named)
        found |= truths("shapes-shape", named["shape"], language, **named)
        if len(forms) > 1:
            found |= truths("shapes-where", words.SIDES[language][len(forms)][index], language, **named)
    return found


@pytest.mark.parametrize("skill", SKILLS)
def test_further_answers_are_true_and_nothing_is_asked_twice(skill, monkeypatch):
    """What was painted is caught on its way to the canvas; the first answer is checked too."""
    painted, blank = [], np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setattr(objects, "paint", lambda rng, family, placed, *size: painted.append((skill, placed)) or blank)
    monkeypatch.setattr(
        shapes, "paint", lambda rng, forms, colours: painted.append((forms, colours)) or (blank, [()] * len(forms))
    )
    of = of_shapes if skill == "objects.colour" else of_things
    made = examples(skill, "train", 60)
    for example, seen in zip(made, painted, strict=True):
        known = of(*seen, "en") | of(*seen, "de")
        turns = ((example.parts[1].value, example.answer), *example.more)
        assert all(known[question] == answer.rpartition(" = ")[2] for question, answer in turns), turns
        assert len(dict(turns)) == len(turns)
    assert sum(len(example.more) for example in made) > 20
    assert all(not example.more for split in ("validation", "heldout") for example in examples(skill, split, 10))


@needs_emoji
def test_counted_things_do_not_overlap():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        width, height = (int(side) for side in rng.integers(120, 177, 2))
        cover = np.zeros((height, width), int)
        boxes = objects._scatter(rng, 1 + seed % 7, width, height)
        assert len(boxes) == 1 + seed % 7
        for left, top, side in boxes:
            assert 0 <= left <= width - side and 0 <= top <= height - side and side >= 20
            cover[top : top + side, left : left + side] += 1
        assert cover.max() == 1


@needs_emoji
@pytest.mark.parametrize("thing", ["cloud", "ghost", "spider", "dog"])
def test_drawings_stand_out_from_their_ground(thing):
    drawing = emoji.picture(np.random.default_rng(0), "Twemoji", thing)
    distances = []
    for seed in range(40):
        ground = objects._visible_ground(np.random.default_rng(seed), [drawing])
        distances.append(objects._distance(ground, [objects._mean(drawing)]))
    assert min(distances) > 20 and np.median(distances) >= 40


def test_a_shape_has_the_colour_that_is_named():
    """The colour at a lone shape's middle is nearest to an example of its own name."""
    for name in shapes.COLOURS:
        for seed in range(5):
            shade = np.array(shapes._shade(np.random.default_rng(seed), name))
            gaps = {other: np.abs(np.array(rgbs) - shade).sum(1).min() for other, (_, rgbs) in shapes.COLOURS.items()}
            assert min(gaps, key=gaps.__getitem__) == name


def test_shapes_lie_inside_the_picture_and_are_filled(monkeypatch):
    monkeypatch.setattr(shapes.augment, "strength", lambda rng: 0.0)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pixels, _ = shapes.paint(rng, ["circle"], ["red"])
        red = (pixels[..., 0] > 150) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90)
        box = Image.fromarray(red).getbbox()
        assert red.sum() > 500 and box[0] > 0 and box[1] > 0 and box[2] < pixels.shape[1] and box[3] < pixels.shape[0]


def test_ink_differs_from_its_ground():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        ground = backgrounds.base(rng)
        assert abs(backgrounds.luma(backgrounds.ink(rng, ground, 80)) - backgrounds.luma(ground)) > 60


def test_a_restyled_drawing_stays_a_drawing_of_its_size():
    drawing = Image.new("RGBA", (40, 40))
    drawing.paste((200, 60, 30, 255), (8, 12, 30, 36))
    before = drawing.copy()
    made = [restyle.restyled(np.random.default_rng(seed), drawing) for seed in range(60)]
    assert drawing == before
    assert all(one.mode == "RGBA" and one.size == (40, 40) for one in made)
    assert all(one.getchannel("A").getbbox() is not None for one in made)
    assert 0.3 < np.mean([one == before for one in made]) < 0.7
    assert len({one.tobytes() for one in made}) > 20


def test_only_training_is_restyled_and_each_picture_in_one_style(monkeypatch):
    styles = []
    monkeypatch.setattr(objects, "restyled", lambda rng, drawing: styles.append(rng.integers(2**31)) or drawing)
    monkeypatch.setattr(objects.emoji, "picture", lambda rng, family, thing: Image.new("RGBA", (120, 120), (9, 9, 9, 255)))
    placed = [("apple", (2, 2, 30)), ("apple", (40, 2, 30))]
    for family in (*objects.emoji.families("validation"), *objects.emoji.families("heldout")):
        objects.paint(np.random.default_rng(0), family, placed, 80, 40)
    assert not styles
    for family in objects.emoji.families("train"):
        objects.paint(np.random.default_rng(0), family, placed, 80, 40)
        assert len(set(styles)) == (1 if family.kind == "colour" else 0)
        assert len(styles) == (2 if family.kind == "colour" else 0)
        styles.clear()
