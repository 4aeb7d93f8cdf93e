"""Experts without work start anew; what the layer computes stays nearly the same."""

import dataclasses

import pytest
import torch

from omnie import checkpoint
from omnie.errors import OptionError
from omnie.model import config as architecture
from omnie.model.experts import ExpertGroup, MixtureOfExperts
from omnie.model.omni import Omni
from omnie.processor import Encoder
from omnie.train import revival
from omnie.train.config import TrainConfig
from omnie.train.model import build
from omnie.train.stream.source import BUILT_IN

from . import fake

HIDDEN, EXPERTS = 16, 32


def collapsed(seed: int = 0) -> tuple[ExpertGroup, torch.Tensor]:
    """A group whose router sees little but what all tokens have in common, and such tokens."""
    torch.manual_seed(seed)
    group = ExpertGroup(HIDDEN, EXPERTS, 8, 4, 1e-12)
    common = torch.randn(HIDDEN)
    tokens = common + 0.3 * torch.randn(400, HIDDEN)
    with torch.no_grad():
        for weight in group.experts.parameters():
            weight.normal_(std=0.3)
        group.gate.weight.normal_(std=0.05)
        group.gate.weight[:4] += 0.6 * common / common.norm()
    return group, tokens


def load(group: ExpertGroup, tokens: torch.Tensor) -> torch.Tensor:
    return torch.bincount(group.gate(tokens)[1].flatten(), minlength=EXPERTS)


def test_a_collapsed_router_is_mended():
    group, tokens = collapsed()
    with torch.no_grad():
        before = group(tokens, "vision", None)
        assert (load(group, tokens) > 0).sum() <= EXPERTS // 2
        idle = revival.renew(group, tokens)
        after = group(tokens, "vision", None)
    assert idle >= EXPERTS // 2 and (load(group, tokens) > 0).all()
    changed = (after.mean(0) - before.mean(0)).square().sum()  # in the mean: which token goes where is drawn anew
    assert changed < 0.1 * before.mean(0).square().sum()
    assert revival.renew(group, tokens) == 0


def test_of_few_idle_experts_each_becomes_a_twin():
    torch.manual_seed(1)
    group, tokens = ExpertGroup(HIDDEN, EXPERTS, 8, 4, 1e-12), torch.randn(400, HIDDEN)
    with torch.no_grad():
        group.gate.weight.normal_()
        group.gate.bias[3] = -9.0
        others = group.gate.weight[[n for n in range(EXPERTS) if n != 3]].clone()
        assert revival.renew(group, tokens) == 1
        assert torch.equal(group.gate.weight[[n for n in range(EXPERTS) if n != 3]], others)
        assert load(group, tokens)[3] > 0


def test_copies_are_shared_out_by_what_experts_contribute():
    assert revival._shared_out([0.5, 0.25, 0.25], [7, 1, 2], 8) == [7] * 4 + [1] * 2 + [2] * 2
    assert revival._shared_out([1.0, 0.0], [4, 5], 3) == [4, 4, 4]
    assert len(revival._shared_out([0.4, 0.35, 0.25], [0, 1, 2], 7)) == 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A toy model that cannot read charts, saved."""
    shape = architecture.architecture("toy")
    reading = {name: count for name, count in shape.reading.items() if name != "marks"}
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("toy") / "model"
    checkpoint.save(Omni(dataclasses.replace(shape, reading=reading)), Encoder.load(BUILT_IN), path)
    return path


def test_a_model_that_cannot_read_charts_gets_the_head_for_it(folder, tmp_path):
    model = build(TrainConfig(tmp_path, init=folder, steps=1, marks=2), torch.device("cpu"), torch.float32)
    head = model.model.reading["image"].marks
    assert head.kind_head.weight.shape[0] == 3 + 2 + 1 and model.config.reading["marks"] == 2
    assert len(head.read(torch.randn(6, model.config.hidden_size), [(1, 2, 3)])) == 1  # of one picture, whatever is seen
    same = build(TrainConfig(tmp_path, init=folder, steps=1), torch.device("cpu"), torch.float32)
    assert same.model.reading["image"].marks is None
    with pytest.raises(OptionError, match="marks"):
        TrainConfig(tmp_path, steps=1, marks=2)


def test_all_experts_of_a_model_have_work_after_revival(folder, monkeypatch):
    monkeypatch.setattr(revival.skills, "generators", lambda: ("picture", "sound", "words"))
    monkeypatch.setattr(revival.skills, "example", lambda skill, split, index: fake.example(skill, index))
    model = checkpoint.load(folder)[0]
    revival.revive(model, None)
    assert revival.revive(model, None) == {"text": 0, "vision": 0, "audio": 0}
    assert any(isinstance(module, MixtureOfExperts) for module in model.modules())
