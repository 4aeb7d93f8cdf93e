"""The call that is likeliest as a whole: which one that is, what is given up, and that nothing else about an answer changes."""

import numpy as np
import pytest
import torch

from omnie import checkpoint
from omnie.engine.choice import likeliest
from omnie.engine.engine import Engine
from omnie.engine.guide import Guides
from omnie.engine.request import Request, SamplingOptions
from omnie.engine.sampler import only
from omnie.messages import Tool, text, user
from omnie.processor.tokens import CALL_END, CALL_START, ID

BEGIN, END = 0, 1
SIZE = 6
NUMBER = {"type": "object", "properties": {"n": {"enum": [1, 22, 333]}}, "required": ["n"], "additionalProperties": False}
WORD = {"type": "object", "properties": {"w": {"enum": ["so", "or"]}}, "required": ["w"], "additionalProperties": False}
TOOLS = [Tool("count", "", NUMBER), Tool("say", "", WORD), Tool("stop"), Tool("call", "", WORD)]


class Fixed:
    """A guide to one answer, of which so many tokens from each place on are sure to come."""

    def __init__(self, answer, certain=0):
        self.answer, self.certain, self.taken = answer, certain, []

    def forced(self):
        return self.answer[len(self.taken) :][: self.certain]

    def allowed(self):
        found = np.zeros(SIZE, dtype=bool)
        found[self.answer[len(self.taken)]] = True
        return found

    def take(self, token):
        self.taken.append(token)


class Model:
    """What a token costs follows from those before it; counts how often it is asked."""

    def __init__(self, likely):
        self.likely, self.asked = likely, 0

    def __call__(self):
        said = []

        def step(tokens, before):
            assert before == len(said)
            self.asked += 1
            return torch.stack([behind(token) for token in tokens])

        def behind(token):
            said.append(token)
            logits = torch.full((SIZE,), -9.0)
            for ids, value in self.likely.items():
                if len(ids) > len(said) and list(ids[: len(said)]) == said:
                    logits[ids[len(said)]] = max(value, float(logits[ids[len(said)]]))
            return logits

        return step


@pytest.mark.parametrize("certain", [0, 1, 2, 9])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_whole_answer_counts_not_its_first_token(order, certain):
    """The second answer begins less likely than the first one and is likelier in all."""
    answers = [[BEGIN, 2, 3, 4, END], [BEGIN, 3, 3, END], [BEGIN, 4, END]]
    model = Model({(BEGIN, 2): 2.0, (BEGIN, 2, 5): 5.0, (BEGIN, 3, 3, END): 1.5, (BEGIN, 4): -3.0, (BEGIN, 4, END): -3.0})
    assert likeliest(model, [Fixed(answers[place], certain) for place in order], BEGIN, END, 9) == answers[1]


def test_what_cannot_win_any_more_is_given_up():
    model = Model({(BEGIN, 2, END): -3.0})
    guides = [Fixed([BEGIN, 2, END]), Fixed([BEGIN, 3, 3, 3, 3, 3, 3, END])]
    assert likeliest(model, guides, BEGIN, END, 20) == [BEGIN, 2, END]
    assert model.asked == 3 and len(guides[1].taken) == 2


@pytest.mark.parametrize("certain", [0, 1, 2, 9])
def test_an_answer_that_does_not_end_in_time_is_none(certain):
    long, short = [BEGIN, 2, 2, 2, END], [BEGIN, 3, END]
    model = Model({tuple(long): 9.0})

    def found(*answers, limit):
        return likeliest(model, [Fixed(answer, certain) for answer in answers], BEGIN, END, limit)

    assert found(long, limit=4) == []
    assert found(long, short, limit=4) == short
    assert found(long, short, limit=5) == long


def test_what_is_sure_to_come_is_read_at_once():
    answer, model = [BEGIN, 2, 3, 4, 5, END], Model({})
    assert likeliest(model, [Fixed(answer)], BEGIN, END, 9) == answer and model.asked == 5
    model.asked = 0
    assert likeliest(model, [Fixed(answer, 9)], BEGIN, END, 9) == answer and model.asked == 1


@pytest.fixture(scope="module")
def toy(toy_folder):
    return checkpoint.load(toy_folder)


def asked(toy, question: str, tools=TOOLS, **options) -> tuple[Request, list[int]]:
    """A request that begins with a call, and its answer."""
    model, encoder = toy
    guide = Guides(encoder.tokenizer.backend, min(encoder.stop)).calls(tools)
    inputs = encoder.encode([*encoder.offer(tools), user(text(question))])
    request = Request(inputs, SamplingOptions(max_tokens=60, **options), frozenset(encoder.stop), guide)
    return request, list(Calling(model, context=4096).generate(request))


class Calling(Engine):
    """The first token is made a call's."""

    def _forward(self, inputs, cache, attend, count=1):
        first = not cache.length
        logits_TV = super()._forward(inputs, cache, attend, count)
        return logits_TV.index_fill(1, torch.tensor(ID[CALL_START]), 1e4) if first else logits_TV


def costs(toy, request: Request, ids: list[int]) -> float:
    """What an answer's tokens behind the first one cost in all, in one pass without a cache."""
    model, inputs = toy[0], {name: torch.from_numpy(array)[None] for name, array in request.inputs.items() if name != "labels"}
    count, where = len(ids), inputs["position_ids"]
    more = where[:, -1:] + torch.arange(1, count + 1)[None, :, None]
    with torch.no_grad():
        logits = model(
            torch.cat([inputs["input_ids"], torch.tensor([ids])], 1),
            torch.cat([where, more], 1),
            mm_token_type_ids=torch.zeros(1, where.shape[1] + count, dtype=torch.long),
        ).logits[0, -count:-1]
    return -float(logits.log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None]).sum())


@pytest.mark.parametrize("question", ["What?", "Count to three.", "Sag so!", "Stop it", "12 + 3"])
def test_no_other_tool_s_call_is_likelier(toy, question):
    request, ids = asked(toy, question)
    first = ids[: ids.index(ID[CALL_END]) + 1]
    encoder, others = toy[1], []
    for tool in TOOLS:
        _, alone = asked(toy, question, [tool])
        others.append(alone[: alone.index(ID[CALL_END]) + 1])
    # A tool alone on offer has another prompt, so its call may differ; among those that may come none costs less.
    calls = [f'{{"name": "{tool.name}", "arguments": ' for tool in TOOLS]
    assert any(encoder.decode(first).startswith(call) for call in calls)
    assert costs(toy, request, first) <= min(costs(toy, request, one) for one in others) + 1e-3


def test_the_answer_goes_on_as_if_the_call_had_been_the_only_one(toy):
    """Nothing that was tried stays in the cache."""
    request, ids = asked(toy, "What?")
    end = ids.index(ID[CALL_END]) + 1
    model, guide = toy[0], Guides(toy[1].tokenizer.backend, min(toy[1].stop)).calls(TOOLS)
    for token in ids[:end]:
        guide.take(token)
    inputs = {name: torch.from_numpy(array)[None] for name, array in request.inputs.items() if name != "labels"}
    said = ids[:end]
    while True:
        count, where = len(said), inputs["position_ids"]
        with torch.no_grad():
            logits_V = model(
                torch.cat([inputs["input_ids"], torch.tensor([said])], 1),
                torch.cat([where, where[:, -1:] + torch.arange(1, count + 1)[None, :, None]], 1),
            ).logits[0, -1]
        token = int(only(logits_V, guide.allowed()).argmax())
        if token in request.stop or len(said) == 60:
            break
        said.append(token)
        guide.take(token)
    assert said == ids


@pytest.mark.parametrize("options", [{"temperature": 0.5, "seed": 3}, {"repetition_penalty": 1.2}])
def test_sampling_is_left_alone(toy, options, monkeypatch):
    monkeypatch.setattr("omnie.engine.engine.likeliest", lambda *_: pytest.fail("a call was chosen"))
    _, ids = asked(toy, "What?", **options)
    assert ids[0] == ID[CALL_START]


def test_guides_know_the_calls_of_several_tools(toy):
    encoder = toy[1]
    guides = Guides(encoder.tokenizer.backend, min(encoder.stop))
    assert not guides.calls(TOOLS[:1]).calls
    found = guides.calls(TOOLS).calls
    assert len(found) == len(TOOLS)
    rng = np.random.default_rng(0)
    for guide, tool in zip(found, TOOLS, strict=True):
        ids = []
        while not ids or ids[-1] != ID[CALL_END]:
            ids.append(int(rng.choice(np.flatnonzero(guide.allowed()))))
            guide.take(ids[-1])
        (call,) = encoder.parse(ids)[0].tool_calls
        assert ids[0] == ID[CALL_START] and call.name == tool.name
