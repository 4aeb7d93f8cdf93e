"""The law of batched decoding: a row's answer is what it would be alone, whatever stands beside it."""

import numpy as np
import pytest
import torch

from omnie import checkpoint
from omnie.engine.certainty import Certainty
from omnie.engine.engine import Engine
from omnie.engine.request import Request, SamplingOptions
from omnie.evaluation.decode import ROWS, TOKENS, answers, batches, greedy
from omnie.media.types import Audio, Image, Video
from omnie.messages import Part, user
from omnie.processor.tokens import END, ID

LIMIT = 12
random = np.random.default_rng(5)


def image(height: int, width: int) -> Part:
    return Part("image", Image(random.integers(0, 256, (height, width, 3), dtype=np.uint8)))


def audio(seconds: float) -> Audio:
    return Audio(random.normal(0, 0.1, int(16_000 * seconds)).astype(np.float32))


def clip(sound: Audio | None) -> Part:
    frames = random.integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    return Part("video", Video(frames, np.arange(8) / 4, 2.0, sound))


PROMPTS = {
    "short": ["What?"],
    "long": ["The third of the seven grey boxes stood open for some days. Which one was it, and for how long?"],
    "picture": [image(64, 96), "Which colour?"],
    "sound": [Part("audio", audio(0.7)), "What is said?"],
    "larger picture": [image(96, 160), "Read."],
    "longer sound": [Part("audio", audio(1.9)), "And here?"],
    "clip with sound": [clip(audio(2.0)), "What moves?"],
    "silent clip": [clip(None), "Does it move?"],
}
"""Prompts of different lengths and media."""


@pytest.fixture(scope="module")
def toy(toy_folder):
    return checkpoint.load(toy_folder)


@pytest.fixture(scope="module")
def rows(toy):
    return {name: toy[1].encode([user(*parts)]) for name, parts in PROMPTS.items()}


@pytest.fixture(scope="module")
def together(toy, rows):
    return dict(zip(rows, greedy(toy[0], list(rows.values()), LIMIT)))


def alone(model, row, stop=()) -> tuple[list[int], float]:
    options, certainty = SamplingOptions(max_tokens=LIMIT), Certainty()
    request = Request(row, options, frozenset({ID[END], *stop}))
    return list(Engine(model, context=4096).generate(request, certainty=certainty)), certainty.confidence


@pytest.mark.parametrize("name", PROMPTS)
def test_batched_equals_single(toy, rows, together, name):
    ids, confidence = alone(toy[0], rows[name])
    assert together[name] == (ids, pytest.approx(confidence, rel=1e-3))
    assert len(ids) > 1 and 0 < confidence < 1


def test_answers_differ_between_prompts(together):
    """Else the law above would hold for a model that never looks at its prompt."""
    assert len({tuple(ids) for ids, _ in together.values()}) > len(together) // 2


def test_a_row_that_ends_early_leaves_the_others_alone(toy, rows, together):
    """The end token is taken to be one that the first prompt says as its third token."""
    end = together["short"][0][2]
    found = dict(zip(rows, greedy(toy[0], list(rows.values()), LIMIT, stop=(end,))))
    for name, (ids, _) in together.items():
        assert found[name][0] == (ids[: ids.index(end)] if end in ids else ids)
        assert found[name][1] == pytest.approx(alone(toy[0], rows[name], stop=(end,))[1], rel=1e-3)
    assert len(found["short"][0]) < LIMIT and max(len(ids) for ids, _ in found.values()) == LIMIT


def test_answers_come_in_the_order_of_the_questions(toy):
    model, encoder = toy
    asked = [[user(*parts)] for parts in PROMPTS.values()]
    forth, back = answers(model, encoder, asked, 4), answers(model, encoder, asked[::-1], 4)[::-1]
    assert [said for said, _ in forth] == [said for said, _ in back]
    assert [sure for _, sure in forth] == pytest.approx([sure for _, sure in back], rel=1e-3)


def test_several_looks_are_what_they_are_alone(toy):
    """Pictures and sounds are looked at three times; clips and what has no media once."""
    model, encoder = toy[0], toy[1].with_looks(3)
    asked = [[user(*parts)] for parts in PROMPTS.values()]
    found, again = answers(model, encoder, asked, 6, read=str), 0
    for messages, (ids, sure) in zip(asked, found):
        inputs = encoder.encode(messages)
        looks, certainty, options = encoder.looks(inputs), Certainty(), SamplingOptions(max_tokens=6)
        request = Request(inputs, options, frozenset({ID[END]}), looks=looks)
        assert str(list(Engine(model, context=4096).generate(request, certainty=certainty))) == ids
        assert sure == pytest.approx(certainty.confidence, rel=1e-3)
        assert len(looks) == (2 if any(part.kind in ("image", "audio") for part in messages[0].parts) else 0)
        first = Certainty()
        list(Engine(model, context=4096).generate(Request(inputs, options, frozenset({ID[END]})), certainty=first))
        again += first.nats > certainty.nats + 1e-3
    assert again, "no look but the first was the surest one"


@pytest.mark.parametrize(
    "lengths", [[], [5], [7] * (2 * ROWS + 1), [TOKENS + 1, 3, TOKENS + 2], list(range(300, 400))], ids=lambda x: str(len(x))
)
def test_batches_hold_every_prompt_once_within_the_budget(lengths):
    found = list(batches(lengths))
    assert sorted(place for batch in found for place in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) == 1 or (len(batch) <= ROWS and len(batch) * max(lengths[place] for place in batch) <= TOKENS)


def test_limit_is_kept(toy, rows):
    assert [len(ids) for ids, _ in greedy(toy[0], [rows["short"]], 1)] == [1]
    assert not torch.is_inference_mode_enabled()
