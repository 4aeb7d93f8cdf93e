"""Questions as people type them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from omnie.data import skills
from omnie.data.example import SPLITS, generator_for
from omnie.data.typed import BETWEEN, SHARE, hurried, typed
from omnie.evaluation import cases
from omnie.media.types import Audio
from omnie.messages import Part
from omnie.train.stream.source import default_source

TEXT = ("text.qa", "text.copy", "text.math", "text.sort", "text.extract", "text.sentiment", "text.smalltalk", "tools.call")


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


@pytest.mark.parametrize("skill", TEXT)
def test_the_question_keeps_its_words_and_the_answer(skill):
    for split in SPLITS:
        for index in range(12):
            asked = skills.example(skill, split, index)
            again = typed(np.random.default_rng(index), asked)
            assert replace(again, parts=asked.parts, more=asked.more) == asked and again.parts[:-1] == asked.parts[:-1]
            questions = [asked.parts[-1].value, *(question for question, _ in asked.more)]
            hasty = [again.parts[-1].value, *(question for question, _ in again.more)]
            for before, after in zip(questions, hasty, strict=True):
                assert [word.casefold() for word in words(before)] == [word.casefold() for word in words(after)]


def test_words_of_the_answer_keep_their_letters_and_neighbours():
    for seed in range(60):
        said = hurried(np.random.default_rng(seed), "Berlin or New York: where is it 12 °C?", 'New York\nBerlin, "12 °C"')
        assert said.strip().startswith("Berlin") and "New York:" in said and "12 °C" in said


def test_apostrophes_of_the_answer_stay():
    asked = [hurried(np.random.default_rng(seed), "What's O'Neill's job?", "O'Neill") for seed in range(200)]
    assert any("What’s" in said for said in asked) and all("O'Neill" in said for said in asked)


def test_a_recording_that_asks_by_itself_stays():
    asked = skills.example("text.math", "train", 0)
    recording = Part("audio", Audio(np.zeros(1600, np.float32)))
    assert typed(np.random.default_rng(0), replace(asked, parts=(recording,))).parts == (recording,)


def test_every_habit_comes():
    seen = {hurried(np.random.default_rng(seed), "What’s up there?", "") for seed in range(400)}
    assert {"what’s up there?", "What’s up there", "What’s up there??", "What’s up there ?", "What's up there?"} <= seen
    assert {" What’s up there?", "\nWhat’s up there?", "What’s up there?\n", "What’s up there? "} <= seen
    assert {f"What’s{blank}up there?" for blank in BETWEEN} <= seen
    assert hurried(np.random.default_rng(5), "", "").strip() == ""


def test_some_of_trainings_questions_are_typed():
    stream, counted = default_source(None, None, seed=3), 300
    changed = sum(
        stream.example("text.math", index) != skills.example("text.math", "train", index, 3) for index in range(counted)
    )
    assert 0.5 * SHARE < changed / counted <= 1.3 * SHARE
    assert stream.example("text.math", 7) == stream.example("text.math", 7)


def test_cases_are_asked_as_people_type_them():
    plain, hasty = ([*cases.chunks("text.qa", "validation", 8, False, way)][0] for way in (False, True))
    assert [case.answer for case in plain] == [case.answer for case in hasty]
    rngs = [generator_for("typed/text.qa", "validation", index) for index in range(8)]
    assert plain != hasty and hasty == [typed(rng, example) for rng, example in zip(rngs, plain, strict=True)]
