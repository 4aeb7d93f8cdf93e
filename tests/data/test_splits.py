"""The law of the splits, over every skill: families are disjoint, no held-out question was a training one, seeds decide all.

Skills whose fonts, emoji or voices have not been fetched are skipped with what is missing.
"""

import zlib

import numpy as np
import pytest

from omnie.data import skills, sounds
from omnie.data.clips import wording
from omnie.data.example import SPLITS, Example, generator_for
from omnie.data.pictures.questions import wordings
from omnie.data.words import LANGUAGES
from omnie.data.writing.grammar import every
from omnie.errors import InputError, OmnieError, OptionError

KINDS = {"font", "emoji", "voice", "layout", "renderer", "recipe", "template", "tool"}
"""Kinds of families that no two splits may share. A name may list several, joined by `+`."""
ALL = (("train", "validation"), ("train", "heldout"), ("validation", "heldout"))
EXCEPT = {
    ("charts", "renderer"): ALL[:1],  # validation chooses and is never reported; held-out charts come from another renderer
    ("tables", "renderer"): ALL,  # one renderer; fonts, layouts and templates are apart
}
"""(group, kind) -> splits that may share, with the reason."""
N = {"charts": 40, "lines": 60, "tables": 40, "objects": 40, "speech": 40, "sounds": 40, "scenes": 20, "pages": 60}
"""Examples a skill and split; 200 for text, which costs next to nothing."""


def draw(skill: str, split: str, index: int) -> Example:
    try:
        return skills.example(skill, split, index)
    except InputError as error:
        pytest.skip(str(error))


def content(value) -> int:
    """A fingerprint of a part's value, arrays included."""
    if isinstance(value, np.ndarray):
        return zlib.crc32(np.ascontiguousarray(value).tobytes())
    if hasattr(value, "__dataclass_fields__"):
        value = [content(getattr(value, name)) for name in value.__dataclass_fields__]
    elif isinstance(value, tuple):
        value = [content(item) for item in value]
    return zlib.crc32(repr(value).encode())


def fingerprint(example: Example) -> tuple:
    return (*(content(part.value) for part in example.parts), example.answer)


@pytest.fixture(scope="module")
def drawn():
    """skill -> split -> examples, each made once."""
    made: dict[str, dict[str, list[Example]]] = {}

    def get(skill: str) -> dict[str, list[Example]]:
        if skill not in made:
            n = N.get(skills.group_of(skill), 200)
            made[skill] = {split: [draw(skill, split, index) for index in range(n)] for split in SPLITS}
        return made[skill]

    return get


@pytest.mark.parametrize("skill", skills.skills())
def test_families_are_disjoint(skill, drawn):
    found: dict[str, dict[str, set[str]]] = {kind: {split: set() for split in SPLITS} for kind in KINDS}
    for split, examples in drawn(skill).items():
        for example in examples:
            for kind in KINDS & example.families.keys():
                found[kind][split] |= set(example.families[kind].split("+"))
    assert any(names["train"] for names in found.values()), "the skill names no family"
    for kind, names in found.items():
        for one, other in set(ALL) - set(EXCEPT.get((skills.group_of(skill), kind), ())):
            assert not names[one] & names[other], f"{kind} shared by {one} and {other}"


@pytest.mark.parametrize("skill", skills.skills())
def test_no_heldout_question_was_a_training_one(skill, drawn):
    trained = {fingerprint(example) for example in drawn(skill)["train"]}
    assert not trained & {fingerprint(example) for example in drawn(skill)["heldout"]}


@pytest.mark.parametrize("skill", skills.skills())
def test_an_example_says_what_it_is(skill, drawn):
    for examples in drawn(skill).values():
        for example in examples:
            assert example.skill == skill and example.answer.strip() == example.answer != ""
            assert example.parts and example.parts[-1].kind in ("text", "audio")


@pytest.mark.parametrize("skill", skills.skills())
def test_seeds_decide_everything(skill):
    first, again = draw(skill, "train", 3), draw(skill, "train", 3)
    assert fingerprint(first) == fingerprint(again) and first.families == again.families
    others = [draw(skill, "train", index) for index in range(4, 10)] + [skills.example(skill, "train", 3, seed=1)]
    assert any(fingerprint(first) != fingerprint(other) for other in others)


def test_the_mixture_follows_the_weights():
    table = skills.weights()
    assert sum(table.values()) == pytest.approx(1)
    n = 4000
    picks = [skills.choose(generator_for("draw", "train", index)) for index in range(n)]
    for skill, share in table.items():
        assert picks.count(skill) / n == pytest.approx(share, abs=4 * (share / n) ** 0.5 + 1e-3)


def test_draw_can_be_limited_and_is_deterministic():
    only = ("text.math", "text.sort")
    one, two = skills.draw("train", 5, only=only), skills.draw("train", 5, only=only)
    assert one.skill in only and fingerprint(one) == fingerprint(two)


def test_unknown_skills_are_refused():
    with pytest.raises(OptionError, match="text.qa"):
        skills.example("text.nothing", "train", 0)
    with pytest.raises(OmnieError):
        skills.choose(np.random.default_rng(0), only=("nothing",))


def test_no_choice_of_words_makes_a_question_of_another_split():
    """`[a|b]` multiplies wordings; none of training's may become one that validation or held-out cases ask."""
    tables = [by_split for questions in wordings().values() for by_split in questions.values()]
    spoken = [value for module in (wording, sounds) for value in vars(module).values() if isinstance(value, dict)]
    tables += [
        {split: table[split][language] for split in SPLITS} for table in spoken if "heldout" in table for language in LANGUAGES
    ]
    assert len(tables) > 30
    for table in tables:
        said = {split: {text.casefold().rstrip(".?!") for line in table[split] for text in every(line)} for split in SPLITS}
        for one, other in ALL:
            assert not said[one] & said[other]
