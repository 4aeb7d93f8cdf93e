"""Needles: keys stand once, answers quote them, wordings keep the value near its key, texts are as long as is wanted."""

import itertools

import numpy as np
import pytest

from omnie.data import skills
from omnie.data.example import SPLITS, generator_for
from omnie.data.scoring import score
from omnie.data.text_needle import FEW, MANY, haystack
from omnie.data.writing.grammar import SLOT, tidy, wordings
from omnie.data.writing.vocabulary import LANGUAGES

FEWEST = {"train": 8, "validation": 2, "heldout": 3}


@pytest.mark.parametrize(("split", "language"), itertools.product(SPLITS, LANGUAGES))
@pytest.mark.parametrize(("characters", "needles"), [(0, 1), (400, 2), (3000, 8), (30_000, 60)])
def test_a_needle_is_told_once(split, language, characters, needles):
    hay = haystack(generator_for("needles", split, characters), split, language, characters, needles)
    assert len(hay.needles) == needles and len({needle.question for needle in hay.needles}) == needles
    assert abs(len(hay.text) - characters) < 200 + 12 * needles
    for needle in hay.needles:
        assert needle.quote in hay.text and needle.quote.endswith(needle.answer) and 0 <= needle.depth < 1
        start = round(needle.depth * len(hay.text))
        assert hay.text.index(needle.quote) in range(start, start + 90)
        quote, question = needle.quote.casefold(), needle.question.casefold()
        key = next(quote[:end] for end in range(len(quote), 0, -1) if quote[:end] in question)
        assert hay.text.casefold().count(key.strip()) == 1, key


def test_depths_are_spread():
    depths = [needle.depth for needle in haystack(np.random.default_rng(0), "train", "en", 50_000, 200).needles]
    assert np.histogram(depths, 4, (0, 1))[0].min() > 30


def test_a_long_context_has_the_wanted_length():
    hay = haystack(np.random.default_rng(0), "heldout", "de", 400_000, 20)
    assert len(hay.text) == pytest.approx(400_000, rel=0.01)


@pytest.mark.parametrize(("skill", "kind"), [("text.needle", FEW), ("text.needles", MANY)])
@pytest.mark.parametrize("split", SPLITS)
def test_training_asks_for_more_keys(split, skill, kind):
    sizes = []
    for index in range(60):
        example = skills.example(skill, split, index)
        body, asked = (part.value for part in example.parts)
        turns = ((asked, example.quote), *example.more)
        assert score(example, example.quote) == score(example, example.answer) == 1
        assert all(quote in body for _, quote in turns) and len(dict(turns)) == len(turns)
        assert 1 <= len(example.more) <= kind.more[1] if split == "train" else not example.more
        sizes.append(len(body))
    shortest, longest = kind.characters
    assert min(sizes) > 0.4 * shortest and max(sizes) < 1.1 * longest and np.median(sizes) < longest / 2


@pytest.mark.parametrize(("language", "split"), itertools.product(LANGUAGES, SPLITS))
def test_the_value_comes_right_after_its_key(language, split):
    sentences, questions = (wordings(task, language, split) for task in ("needle", "needle.ask"))
    assert min(len(sentences), len(questions)) >= FEWEST[split]
    for template, seed in itertools.product(sentences, range(6)):
        said = tidy(template.wording(np.random.default_rng(seed)))
        assert {slot for _, slot in SLOT.findall(said)} == {"mark", "key", "value"}
        between = said[said.index("{key}") + 5 : said.index("{value}")].replace("{mark}", "mark")
        words = SLOT.sub("the mark", between).split()
        assert said.index("{key}") < said.index("{value}") and len(words) <= 3, said
    for template in questions:
        assert {slot for _, slot in SLOT.findall(template.text)} == {"mark", "key"}
