"""Guides: whatever the logits say, the answer is JSON of the schema, or text or calls; what cannot be obeyed is refused."""

import json

import numpy as np
import pytest

from omnie.engine.guide import Guides
from omnie.engine.sampler import only
from omnie.errors import OptionError
from omnie.messages import Tool
from omnie.processor import Encoder
from omnie.processor.tokens import CALL_END, CALL_START, END, ID
from omnie.train.stream.source import BUILT_IN

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}, "sex": {"enum": ["f", "m"]}},
    "required": ["name", "age", "sex"],
    "additionalProperties": False,
}
TOOLS = [
    Tool("greet", "", {"type": "object", "properties": {"who": {"type": "string", "maxLength": 5}}, "required": ["who"]}),
    Tool("stop"),
]


@pytest.fixture(scope="module")
def encoder():
    return Encoder.load(BUILT_IN)


@pytest.fixture(scope="module")
def guides(encoder):
    return Guides(encoder.tokenizer.backend, ID[END])


def written(guide, rng, first=(), limit=400):
    """Ids of an answer whose tokens are drawn from those allowed, ends where it may."""
    ids = []
    for step in range(limit):
        allowed = guide.allowed()
        assert allowed.any()
        token = first[step] if step < len(first) else int(rng.choice(np.flatnonzero(allowed)))
        assert allowed[token]
        if token == ID[END] or (step >= len(first) and allowed[ID[END]]):
            return ids
        ids.append(token)
        guide.take(token)
    raise AssertionError("the answer never ends")


@pytest.mark.parametrize("seed", range(6))
def test_any_answer_is_json_of_the_schema(guides, encoder, seed):
    value = json.loads(encoder.decode(written(guides.json(PERSON), np.random.default_rng(seed))))
    assert list(value) == ["name", "age", "sex"] and isinstance(value["age"], int) and value["sex"] in "fm"


@pytest.mark.parametrize("seed", range(6))
def test_any_call_is_one_of_the_tools_with_arguments_that_fit(guides, encoder, seed):
    ids = written(guides.calls(TOOLS), np.random.default_rng(seed), first=[ID[CALL_START]])
    calls = [call for message in encoder.parse(ids) for call in message.tool_calls]
    assert calls and ids[0] == ID[CALL_START] and ids[-1] == ID[CALL_END]
    for call in calls:
        assert list(call.arguments) == {"greet": ["who"], "stop": []}[call.name]


def test_training_s_own_answers_are_allowed(guides, encoder):
    said = '{"name": "Jörg \\"x", "age": 12, "sex": "m"}'
    assert written(guides.json(PERSON), np.random.default_rng(0), [*encoder.tokenizer.encode(said), ID[END]])
    call = [ID[CALL_START], *encoder.tokenizer.encode('{"name": "greet", "arguments": {"who": "Bo"}}'), ID[CALL_END], ID[END]]
    assert written(guides.calls(TOOLS), np.random.default_rng(0), call)
    text = [*encoder.tokenizer.encode("Das kann\nkeines."), ID[END]]
    assert written(guides.calls(TOOLS), np.random.default_rng(0), text)


@pytest.mark.parametrize("seed", range(6))
def test_forced_tokens_are_those_that_training_says_and_no_other_text_could_come(guides, encoder, seed):
    """Drawing as one likes, with what is forced taken as it is, gives answers that are written in training's own tokens."""
    rng, said = np.random.default_rng(seed), []
    for guide, first in ((guides.json(PERSON), []), (guides.calls(TOOLS), [ID[CALL_START]])):
        ids, sure = [], 0
        for token in first:
            guide.take(token)
            ids.append(token)
        for _ in range(200):
            for token in guide.forced():
                assert guide.allowed()[token] and token != ID[END]
                guide.take(token)
                ids.append(token)
                sure += 1
            allowed = guide.allowed()
            if allowed[ID[END]]:
                break
            ids.append(int(rng.choice(np.flatnonzero(allowed))))
            guide.take(ids[-1])
        said.append((ids, sure))
    (answer, of_answer), (call, of_call) = said
    assert list(json.loads(encoder.decode(answer))) == ["name", "age", "sex"]
    assert of_answer >= len(encoder.tokenizer.encode('{"name":')) and of_call >= len(encoder.tokenizer.encode('{"name": "'))
    beginning = encoder.tokenizer.encode('{"name":')
    assert answer[: len(beginning)] == beginning and call[1 : 1 + len(beginning)] == beginning


def test_nothing_is_forced_where_the_model_has_a_choice(guides, encoder):
    guide = guides.calls(TOOLS)
    assert guide.forced() == []
    for token in encoder.tokenizer.encode("Das"):
        guide.take(token)
    assert guide.forced() == []
    whole = guides.json({"const": 1})
    for token in whole.forced():
        whole.take(token)
    assert whole.forced() == [] and np.flatnonzero(whole.allowed()).tolist() == [ID[END]]


def test_guides_of_one_maker_do_not_know_each_other(guides, encoder):
    one, other = guides.json(PERSON), guides.json(PERSON)
    before = other.allowed()
    one.take(encoder.tokenizer.encode('{"')[0])
    assert (other.allowed() == before).all() and (one.allowed() != before).any()


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"type": "string", "if": {}, "unheard": 1, "not": {}}, {"$ref": "#/nowhere"}],
    ids=["type", "keyword", "reference"],
)  # fmt: skip
def test_a_schema_that_cannot_be_obeyed_is_refused(guides, schema):
    with pytest.raises(OptionError, match="schema cannot be obeyed"):
        guides.json(schema)


def test_the_tool_whose_parameters_cannot_be_obeyed_is_named(guides):
    with pytest.raises(OptionError, match="parameters of bad"):
        guides.calls([*TOOLS, Tool("bad", "", {"properties": {"a": {"type": "nonsense"}}})])


def test_only_what_is_allowed_keeps_its_logit():
    import torch

    kept = only(torch.arange(5.0), np.array([True, False, True]))
    assert kept.tolist() == [0.0, -torch.inf, 2.0, -torch.inf, -torch.inf]
    assert only(torch.arange(2.0), np.array([False, True, True])).tolist() == [-torch.inf, 1.0]
