"""The decode loop on the toy model: cached equals uncached, and every way in which generation ends."""

import copy

import numpy as np
import pytest
import torch

from omnie.engine.certainty import Certainty
from omnie.engine.engine import Engine
from omnie.engine.request import Request, SamplingOptions
from omnie.errors import CheckpointError, InputError
from omnie.evaluation.decode import greedy
from omnie.inputs import IMAGE, positions
from omnie.model.cache import KeyValueCache
from omnie.model.config import architecture
from omnie.model.omni import Omni

LENGTH = 24


@pytest.fixture(scope="module")
def model() -> Omni:
    """A toy with weights large enough that its answers vary."""
    torch.manual_seed(0)
    toy = Omni(architecture("toy"))
    for parameter in toy.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return toy.eval()


def prompt(picture: bool = False) -> dict[str, np.ndarray]:
    """24 tokens; with `picture`, six of them are a picture of 4 x 6 patches."""
    random = np.random.default_rng(1)
    ids, types = random.integers(32, 1024, LENGTH), np.zeros(LENGTH, dtype=np.int64)
    if not picture:
        return {"input_ids": ids, "mm_token_type_ids": types, "position_ids": positions(types, [], [])}
    types[5:11] = IMAGE
    grid = np.array([[1, 4, 6]])
    pixels = random.normal(size=(24, 3 * 16 * 16)).astype(np.float32)
    media = {"pixel_values": pixels, "image_grid_thw": grid}
    return {"input_ids": ids, "mm_token_type_ids": types, "position_ids": positions(types, grid.tolist(), [])} | media


def generate(model, inputs, *, stop=(), context=4096, **options) -> list[int]:
    request = Request(inputs, SamplingOptions(**options), frozenset(stop))
    return list(Engine(model, context=context).generate(request))


def uncached(model, inputs, count: int) -> list[int]:
    """The largest logit, `count` times, the whole sequence through the model each time."""
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    ids, types, where = (tensors.pop(name)[None] for name in ("input_ids", "mm_token_type_ids", "position_ids"))
    for _ in range(count):
        with torch.inference_mode():
            token = model(ids, where, mm_token_type_ids=types, **tensors).logits[:, -1].argmax(-1, keepdim=True)
        ids, types = torch.cat([ids, token], 1), torch.cat([types, torch.zeros_like(token)], 1)
        where = torch.cat([where, (where.max() + 1).expand(1, 1, 3)], 1)
    return ids[0, LENGTH:].tolist()


@pytest.mark.parametrize("picture", [False, True], ids=["text", "picture"])
def test_cached_greedy_equals_the_loop_without_a_cache(model, picture):
    tokens = generate(model, prompt(picture), max_tokens=12)
    assert tokens == uncached(model, prompt(picture), 12)
    assert len(set(tokens)) > 3


def test_the_picture_matters(model):
    other = prompt(picture=True)
    other["pixel_values"] = other["pixel_values"][::-1].copy()
    assert generate(model, other, max_tokens=12) != generate(model, prompt(picture=True), max_tokens=12)


def test_a_seed_reproduces_an_answer(model):
    first, again, other = (generate(model, prompt(), max_tokens=8, temperature=1.5, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_stop_token_ends_the_answer_and_is_not_part_of_it(model):
    free = generate(model, prompt(), max_tokens=12)
    stop = free[4]
    assert generate(model, prompt(), max_tokens=12, stop=[stop]) == free[: free.index(stop)]


def test_the_repetition_penalty_reaches_the_loop(model):
    tokens = generate(model, prompt(), max_tokens=80, repetition_penalty=10.0)
    free = generate(model, prompt(), max_tokens=80)
    assert len(set(tokens)) > len(set(free))


class Constant:
    """A guide to which every token is open or, in between, sure to come."""

    def __init__(self, certain: dict[int, list[int]]):
        self.certain, self.taken, self.calls = certain, [], ()

    def allowed(self) -> np.ndarray:
        return np.ones(1024, dtype=bool)

    def forced(self) -> list[int]:
        return self.certain.get(len(self.taken), [])

    def take(self, token: int) -> None:
        self.taken.append(token)


@pytest.mark.parametrize("count", [1, 4, 9])
def test_what_must_come_costs_no_step_of_its_own_and_is_read_as_if_it_had_been_said(model, monkeypatch, count):
    inputs, passes = prompt(), []
    said = generate(model, inputs, max_tokens=9)
    forward = Engine._forward

    def counted(self, inputs, cache, attend, count=1):
        passes.append(inputs["input_ids"].shape[1])
        return forward(self, inputs, cache, attend, count)

    monkeypatch.setattr(Engine, "_forward", counted)
    guide = Constant({1: said[1:4], 6: said[6:8]})
    request = Request(inputs, SamplingOptions(max_tokens=count, repetition_penalty=1.0), frozenset(), guide)
    assert list(Engine(model, context=4096).generate(request)) == said[:count] == guide.taken
    assert passes == [len(inputs["input_ids"]), 4, 1, 3, 1][: {1: 1, 4: 1, 9: 4}[count]]


def test_the_repetition_penalty_counts_what_had_to_come(model):
    inputs, options = prompt(), SamplingOptions(max_tokens=16, repetition_penalty=10.0)
    said = generate(model, inputs, max_tokens=16, repetition_penalty=10.0)
    assert len(set(said)) == len(said)
    request = Request(inputs, options, frozenset(), Constant({1: said[1:9]}))
    assert list(Engine(model, context=4096).generate(request)) == said


def cost(model, inputs, said: list[int]) -> float:
    """The negative log-probability of what was said, the whole sequence through the model at once."""
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    ids = torch.cat([tensors["input_ids"], torch.tensor(said)])[None]
    where = tensors["position_ids"]
    more = where[-1:].amax(-1, keepdim=True) + torch.arange(1, 1 + len(said))[:, None]
    with torch.inference_mode():
        logits_TV = model(ids, torch.cat([where, more.expand(-1, 3)])[None]).logits[0, LENGTH - 1 : -1]
    return -float(logits_TV.log_softmax(-1).gather(1, torch.tensor(said)[:, None]).sum())


@pytest.mark.parametrize("certain", [{}, {1: 3, 6: 2}], ids=["free", "some had to come"])
@pytest.mark.parametrize("options", [{}, {"temperature": 2.0, "seed": 5}, {"repetition_penalty": 3.0}], ids=str)
def test_certainty_is_the_probability_of_all_that_was_said(model, options, certain):
    inputs = prompt()
    said = generate(model, inputs, max_tokens=9, **options)
    guide = Constant({place: said[place : place + count] for place, count in certain.items()}) if not options else None
    sure = Certainty()
    request = Request(inputs, SamplingOptions(max_tokens=9, **options), frozenset(), guide)
    assert list(Engine(model, context=4096).generate(request, certainty=sure)) == said
    assert sure.nats == pytest.approx(cost(model, inputs, said), rel=1e-3)
    assert sure.confidence == pytest.approx(np.exp(-sure.nats))


def test_certainty_knows_the_end(model):
    inputs = prompt()
    said, sure = generate(model, inputs, max_tokens=9), Certainty()
    end = said.index(said[5])
    request = Request(inputs, SamplingOptions(max_tokens=9), frozenset(said[5:6]))
    assert list(Engine(model, context=4096).generate(request, certainty=sure)) == said[:end]
    assert sure.nats == pytest.approx(cost(model, inputs, said[: end + 1]), rel=1e-3)


def looks_at(inputs, count: int) -> list[dict[str, np.ndarray]]:
    """The same prompt with other pixels each time."""
    random = np.random.default_rng(9)
    return [inputs | {"pixel_values": random.normal(size=(24, 3 * 16 * 16)).astype(np.float32)} for _ in range(count)]


def test_the_surest_look_answers(model):
    inputs, options = prompt(picture=True), SamplingOptions(max_tokens=8)
    looks, alone = looks_at(inputs, 4), []
    for look in (inputs, *looks):
        certainty = Certainty()
        ids = list(Engine(model, context=4096).generate(Request(look, options), certainty=certainty))
        alone.append((ids, certainty.nats))
    for count in range(len(looks) + 1):
        certainty, request = Certainty(), Request(inputs, options, looks=looks[:count])
        said = list(Engine(model, context=4096).generate(request, certainty=certainty))
        assert (said, certainty.nats) == min(alone[: count + 1], key=lambda answer: answer[1])
    assert min(alone, key=lambda answer: answer[1]) != alone[0]


@pytest.mark.parametrize(("sure", "taken"), [(0.0, 1), (1.1, 4)])
def test_after_a_sure_answer_no_other_look_is_taken(model, monkeypatch, sure, taken):
    monkeypatch.setattr("omnie.engine.engine.SURE", sure)
    steps, seen = Engine._steps, []
    monkeypatch.setattr(Engine, "_steps", lambda self, request, *more: seen.append(request) or steps(self, request, *more))
    inputs = prompt(picture=True)
    list(Engine(model, context=4096).generate(Request(inputs, SamplingOptions(max_tokens=3), looks=looks_at(inputs, 3))))
    assert len(seen) == taken


@pytest.mark.parametrize("further", [0, 2])
def test_logits_that_are_no_numbers_are_an_error(model, further):
    inputs, damaged = prompt(picture=True), copy.deepcopy(model)
    damaged.lm_head.weight.data.fill_(torch.nan)
    request = Request(inputs, SamplingOptions(max_tokens=4), looks=looks_at(inputs, further))
    with pytest.raises(CheckpointError, match="gives no probabilities"):
        list(Engine(damaged, context=64).generate(request))
    with pytest.raises(CheckpointError, match="gives no probabilities"):
        greedy(damaged, [inputs], 4)


def test_each_look_is_guided_anew(model):
    """The second look is the surer one, and its guide has seen nothing of the first."""
    inputs = prompt(picture=True)
    free = [generate(model, look, max_tokens=6) for look in (inputs, *looks_at(inputs, 2))]
    guide = Guided()
    request = Request(inputs, SamplingOptions(max_tokens=6), guide=guide, looks=looks_at(inputs, 2))
    assert list(Engine(model, context=4096).generate(request)) in free
    assert guide.taken == [] and [copy.taken for copy in guide.copies] == free


class Guided(Constant):
    """A guide that remembers its copies."""

    def __init__(self):
        super().__init__({})
        self.copies: list[Constant] = []

    def copy(self) -> Constant:
        self.copies.append(Constant({}))
        return self.copies[-1]


def test_generation_ends_with_the_context(model):
    assert len(generate(model, prompt(), max_tokens=12, context=LENGTH + 5)) == 5


def test_a_prompt_without_room_for_an_answer_is_refused_before_any_work(model):
    with pytest.raises(InputError, match="24 tokens .allowed: fewer than 24"):
        generate(model, prompt(), context=LENGTH)


def test_no_step_is_computed_ahead(model):
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    tokens = Engine(model, context=4096).generate(Request(prompt(), SamplingOptions(max_tokens=10)))
    assert calls == []
    next(tokens), next(tokens)
    handle.remove()
    assert len(calls) == 2


def test_the_cache_returns_everything_appended():
    cache, parts = KeyValueCache(7), [torch.randn(1, 2, length, 4) for length in (4, 1, 2)]
    for part in parts:
        for layer in range(2):
            keys, values = cache.update(part, -part, layer)
    assert torch.equal(keys, torch.cat(parts, 2)) and torch.equal(values, -keys)
    assert cache.length == 7
