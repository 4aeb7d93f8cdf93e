"""Dynamic attention in the decode loop: a tight certificate changes no token, and what was left out is counted per layer."""

import dataclasses

import numpy as np
import pytest
import torch

from omnie.engine.engine import Engine
from omnie.engine.request import Request, SamplingOptions
from omnie.inputs import positions
from omnie.model.config import architecture
from omnie.model.omni import Omni
from omnie.ops.flashmask import dynamic
from omnie.ops.flashmask.layers import DynamicAttention
from omnie.ops.levels import Level

LENGTH = 700


@pytest.fixture(scope="module")
def model() -> Omni:
    """A toy with a sliding-window layer and weights large enough that attention is sharp."""
    torch.manual_seed(0)
    toy = Omni(dataclasses.replace(architecture("toy"), num_hidden_layers=3, sliding_window=300, global_layer_every=3))
    for parameter in toy.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return toy.eval()


def request(count: int) -> Request:
    ids, types = np.random.default_rng(1).integers(32, 1024, LENGTH), np.zeros(LENGTH, dtype=np.int64)
    inputs = {"input_ids": ids, "mm_token_type_ids": types, "position_ids": positions(types, [], [])}
    return Request(inputs, SamplingOptions(max_tokens=count))


def answer(model: Omni, attend: DynamicAttention | None, count: int = 4) -> list[int]:
    return list(Engine(model, context=4096).generate(request(count), attend))


@pytest.mark.parametrize("level", ["exact", "certified:1e-5", "fast:1"])
def test_levels_that_lose_nothing_give_the_same_tokens(model, level):
    assert answer(model, DynamicAttention(Level.parse(level))) == answer(model, None)


def test_what_was_left_out_is_counted_per_layer_and_phase(model, monkeypatch):
    monkeypatch.setattr(dynamic, "WINDOW", 64)
    attend = DynamicAttention(Level("fast", 0.2))
    answer(model, attend)
    report = attend.report()
    assert [(row["layer"], row["phase"]) for row in report] == [(i, phase) for i in range(3) for phase in ("prefill", "decode")]
    for row in report:
        assert 0 < row["kept_tiles"] < 1 and 0 < row["dropped_mass_bound"] <= 1 and row["saved_flops"] < 1
    decode = report[5]
    assert decode["kept_tiles"] == pytest.approx(0.25, abs=0.05)  # 3 of 11 or 12 pages: the first and the window are among them


def test_answer_tokens_that_come_together_are_not_the_prompt_s(model):
    class Sure:
        calls = ()

        def __init__(self, said):
            self.left = list(said)

        def allowed(self):
            return np.ones(1024, dtype=bool)

        def forced(self):
            return self.left[:3] if len(self.left) == 5 else []

        def take(self, token):
            self.left.remove(token)

    single, together = (DynamicAttention(Level("certified", 1e-5)) for _ in range(2))
    said = answer(model, single, count=6)
    assert len(set(said)) == 6
    asked = dataclasses.replace(request(6), guide=Sure(said))
    assert list(Engine(model, context=4096).generate(asked, together)) == said
    for one, other in zip(single.layers.values(), together.layers.values(), strict=True):
        assert float(one.prefill.tiles) == float(other.prefill.tiles) and other.decode.tiles


def test_a_decode_step_equals_exact_attention_over_kept_pages(model):
    """The pages are summarised once and grow: the same statistics as from fresh summaries at every step."""
    attend = DynamicAttention(Level("certified", 0.3))
    answer(model, attend, count=3)
    assert attend.layers[2].pages.length == LENGTH + 2
    assert attend.layers[2].decode.worst <= 0.3
