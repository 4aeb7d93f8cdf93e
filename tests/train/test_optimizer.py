"""The optimiser and the schedule: orthogonal updates, who gets which rule, master weights, state, values."""

import pytest
import torch
from torch import nn

from omnie.ops.int4_linear import rounded
from omnie.train.optim import optimizer
from omnie.train.optim.optimizer import Optimizer, OptimizerSettings, kind_of, orthogonalize
from omnie.train.optim.schedule import Schedule


@pytest.mark.parametrize("shape", [(1, 32, 128), (4, 128, 32), (3, 64, 64)], ids=["wide", "tall stack", "square stack"])
def test_orthogonalize_brings_singular_values_near_one(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.linspace(0.05, 1.0, min(shape[1:]))  # a spectrum that a gradient may have
    u = torch.linalg.qr(torch.randn(shape[0], shape[1], len(values), generator=generator))[0]
    v = torch.linalg.qr(torch.randn(shape[0], shape[2], len(values), generator=generator))[0]
    x = orthogonalize(u * values @ v.mT * 7.0).float()
    singular = torch.linalg.svdvals(x)
    assert singular.min() > 0.6
    assert singular.max() < 1.3
    aligned = torch.einsum("emr,emn,enr->er", u, x, v)
    assert aligned.min() > 0.5  # the directions are the input's


def test_steps_on_the_gram_matrix_are_the_same_steps() -> None:
    x = torch.randn(3, 16, 64, generator=torch.Generator().manual_seed(0)) / 30
    assert torch.allclose(optimizer._by_gram(x), optimizer._by_steps(x), atol=1e-4)


def test_orthogonalize_of_zero_is_zero() -> None:
    assert orthogonalize(torch.zeros(2, 4, 8)).abs().max() == 0


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("model.language_model.layers.1.mlp.groups.text.experts.gate_up_proj", (8, 32, 64), "muon"),
        ("model.language_model.layers.1.self_attn.q_proj.weight", (64, 64), "muon"),
        ("model.language_model.layers.1.mlp.groups.text.gate.weight", (8, 64), "adamw"),
        ("model.language_model.layers.1.mlp.shared_experts.gate_proj.weight", (64, 64), "muon"),
        ("model.language_model.embed_tokens.weight", (1024, 64), "embedding"),
        ("model.visual.patch_embed.fine.weight", (48, 16), "adamw"),
        ("model.audio.conv1.proj.weight", (64, 384), "adamw"),
        ("alignment.head.image.weight", (2056, 64), "adamw"),
        ("model.visual.blocks.0.norm1.weight", (32,), "plain"),
        ("model.visual.blocks.0.attention.qkv.bias", (96,), "plain"),
    ],
)
def test_each_parameter_gets_its_rule(name: str, shape: tuple[int, ...], kind: str) -> None:
    assert kind_of(name, torch.zeros(shape)) == kind


def test_muon_update_has_the_rms_of_adamw() -> None:
    weight = nn.Parameter(torch.zeros(64, 128))
    optimizer = Optimizer([("layer.weight", weight)], OptimizerSettings(muon=0.1, decay=0.0, clip=1e9))
    weight.grad = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.1 * 0.2, rel=0.2)


def test_small_steps_are_kept_in_the_master_copy() -> None:
    """bfloat16 alone would lose every one of these steps: each is under half a unit in the last place."""
    weight = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    optimizer = Optimizer([("norm.weight", weight)], OptimizerSettings(adamw=5e-4, clip=1e9))
    for _ in range(20):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    assert weight.detach().float().mean().item() == pytest.approx(0.99, abs=0.003)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_rounded_matrices_follow_their_masters(dtype) -> None:
    """Small steps add up in the master, though rounding hides them; what is not to be rounded stays as fine as it is."""
    named = [(name, nn.Parameter(torch.randn(32, 64).to(dtype))) for name in ("a.weight", "b.weight")]
    optimizer = Optimizer(named, OptimizerSettings(muon=1e-4, clip=1e9), coarse={"a.weight"})
    optimizer.rounds = True
    start = optimizer.master(0).clone()
    for _ in range(3):
        for _, weight in named:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
    (_, a), (_, b) = named
    assert torch.equal(a.data, rounded(optimizer.master(0)).to(dtype)) and not torch.equal(
        a.data, optimizer.master(0).to(dtype)
    )
    assert torch.equal(b.data, optimizer.master(1).to(dtype)) and not torch.equal(optimizer.master(0), start)
    optimizer.rounds = False
    optimizer.show([0])
    assert torch.equal(a.data, optimizer.master(0).to(dtype))


def test_clipping_scales_the_whole_gradient() -> None:
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer = Optimizer([("a", a), ("b", b)], OptimizerSettings(clip=1.0))
    a.grad, b.grad = torch.full((2,), 30.0), torch.full((2,), 40.0)
    assert optimizer.step() == pytest.approx(50 * 2**0.5)
    first = torch.cat(optimizer.first)
    assert first.norm().item() == pytest.approx(0.1, rel=1e-3)  # (1 - beta1) of a gradient of norm 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(value: float) -> None:
    weight = nn.Parameter(torch.ones(4, 4))
    optimizer = Optimizer([("layer.weight", weight)], OptimizerSettings())
    weight.grad = torch.full((4, 4), value)
    optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(4, 4))
    assert optimizer.steps == 0


def test_parameters_without_gradient_stay() -> None:
    used, unused = nn.Parameter(torch.ones(4, 4)), nn.Parameter(torch.ones(4, 4))
    optimizer = Optimizer([("used.weight", used), ("unused.weight", unused)], OptimizerSettings())
    used.grad = torch.eye(4)
    optimizer.step()
    assert torch.equal(unused.detach(), torch.ones(4, 4))
    assert not torch.equal(used.detach(), torch.ones(4, 4))


def test_optimiser_minimises() -> None:
    torch.manual_seed(0)
    target, weight = torch.randn(16, 16), nn.Parameter(torch.zeros(16, 16))
    optimizer = Optimizer([("layer.weight", weight)], OptimizerSettings(muon=0.1, decay=0.0))
    for step in range(200):
        weight.grad = None
        (weight - target).square().mean().backward()
        optimizer.step(1 - step / 200)
    assert (weight - target).square().mean() < 0.01


def test_schedule_warms_up_stays_and_decays_by_steps() -> None:
    schedule = Schedule(steps=1000, warmup=10, decay=0.2)
    rates = [schedule.rate(step, 0.0) for step in range(1001)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:801] == [1.0] * 792
    assert rates[850] == pytest.approx(1 - 0.25**0.5)
    assert rates[1000] == pytest.approx(0.0, abs=1e-9)
    assert not schedule.done(999, 0)
    assert schedule.done(1000, 0)


def test_schedule_by_time_ends_its_decay_in_time() -> None:
    schedule = Schedule(minutes=10, warmup=1, decay=0.5)
    assert schedule.rate(50, 299) == 1.0
    assert schedule.rate(50, 598) < 0.01
    assert schedule.done(50, 600)


def test_a_finished_run_with_a_longer_budget_goes_on_at_the_peak() -> None:
    assert Schedule(minutes=20, warmup=1, decay=0.4).rate(100, 600) == 1.0
