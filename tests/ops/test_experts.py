"""The backends of `experts` agree with the reference, forward and backward, however the router chooses."""

import pytest
import torch
from torch import Tensor

from laws import assert_close
from omnie.ops.experts import BACKENDS, experts
from omnie.ops.experts.batched import slots
from omnie.ops.grouped_linear import cpu

FAST = [name for name in BACKENDS if name != "reference"]
SHAPES = {
    "no-row": (0, 8, 2, 6, 4),
    "one-row": (1, 8, 2, 6, 4),
    "two-rows": (2, 8, 2, 6, 4),
    "three-rows-odd-widths": (3, 5, 3, 7, 3),
    "one-expert": (9, 1, 1, 4, 2),
    "all-experts-chosen": (11, 4, 4, 8, 4),
    "one-chosen": (40, 8, 1, 8, 8),
    "more-experts-than-choices": (4, 64, 3, 8, 4),
    "many-rows": (300, 6, 2, 8, 4),
}
"""Rows, experts, chosen, hidden, width."""
CHOICES = {
    "random": lambda rows, experts, chosen: torch.rand(rows, experts),
    "all-on-one": lambda rows, experts, chosen: torch.arange(experts).float().expand(rows, -1),
    "some-empty": lambda rows, experts, chosen: torch.rand(rows, experts) + (torch.arange(experts) < max(chosen, experts // 2)),
}
"""Router scores [rows, experts]. `all-on-one`: every row takes the same experts. `some-empty`: half of them is never chosen."""


def case(shape: str, choice: str, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """x_TD, index_TK, weight_TK, gate_up_EID, down_EDI; the floating ones take gradients."""
    torch.manual_seed(7)
    rows, number, chosen, hidden, width = SHAPES[shape]
    index = CHOICES[choice](rows, number, chosen).topk(chosen, dim=-1).indices
    weight = torch.rand(rows, chosen).softmax(-1)
    floats = [torch.randn(rows, hidden), weight, torch.randn(number, 2 * width, hidden), torch.randn(number, hidden, width)]
    x, weight, gate_up, down = (tensor.to(dtype).requires_grad_() for tensor in floats)
    return [x, index, weight, gate_up, down]


def run(backend, arguments: list[Tensor]) -> list[Tensor]:
    """The output and the gradients of x, weight, gate_up and down for a fixed random direction."""
    leaves = [tensor for tensor in arguments if tensor.is_floating_point()]
    y = backend(*arguments)
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    grads = torch.autograd.grad(y, leaves, direction, allow_unused=True)
    return [y, *(torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, grads))]


NAMES = ("output", "x", "weight", "gate_up", "down")


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("shape", SHAPES)
def test_backends_agree(backend, choice, shape):
    want = run(BACKENDS["reference"], case(shape, choice))
    got = run(BACKENDS[backend], case(shape, choice))
    for name, a, b in zip(NAMES, got, want):
        assert_close(f"{backend} {name}", a, b)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("shape", ["one-row", "three-rows-odd-widths", "many-rows"])
def test_backends_agree_in_bfloat16(backend, shape):
    """Against the float32 reference of the same rounded numbers. Each bfloat16 product rounds by up to 0.4 %, and sums of a few
    terms cancel (the gradient of a choice's weight is one), which multiplies that."""
    arguments = case(shape, "random", torch.bfloat16)
    wide = [t.detach().float().requires_grad_() if t.is_floating_point() else t for t in arguments]
    for name, a, b in zip(NAMES, run(BACKENDS[backend], arguments), run(BACKENDS["reference"], wide)):
        assert a.dtype == torch.bfloat16
        assert_close(f"{backend} {name}", a, b, 4e-2)


def test_the_reference_is_the_formula():
    """y_t = sum over k of w_tk * down_e(silu(gate_e x_t) * up_e x_t), number by number."""
    x, index, weight, gate_up, down = (t.detach() for t in case("three-rows-odd-widths", "random"))
    half = gate_up.shape[1] // 2
    for t in range(len(x)):
        want = torch.zeros(x.shape[1])
        for k, e in enumerate(index[t].tolist()):
            gate, up = gate_up[e, :half] @ x[t], gate_up[e, half:] @ x[t]
            want += weight[t, k] * (down[e] @ (gate * torch.sigmoid(gate) * up))
        assert_close(f"row {t}", BACKENDS["reference"](x, index, weight, gate_up, down)[t], want)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_against_finite_differences(backend):
    x, index, weight, gate_up, down = case("three-rows-odd-widths", "random", torch.float64)
    assert torch.autograd.gradcheck(lambda *a: BACKENDS[backend](a[0], index, *a[1:]), (x, weight, gate_up, down))


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 40])
def test_the_chosen_backend_agrees(rows):
    """Whichever it is, on either side of the border between few rows and many."""
    torch.manual_seed(3)
    index = torch.rand(rows, 16).topk(4).indices
    weight, x = torch.rand(rows, 4), torch.randn(rows, 8)
    gate_up, down = torch.randn(16, 12, 8), torch.randn(16, 8, 6)
    assert_close("output", experts(x, index, weight, gate_up, down), BACKENDS["reference"](x, index, weight, gate_up, down))


@pytest.mark.parametrize("multiple", [1, 4, 16])
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("shape", SHAPES)
def test_slots_hold_every_choice_once_and_in_order(shape, choice, multiple):
    _, index, *_ = case(shape, choice)
    number = SHAPES[shape][1]
    slot, token, end = slots(index, number, multiple)
    assert len(set(slot.flatten().tolist())) == index.numel()
    assert torch.equal(torch.searchsorted(end, slot, right=True), index)
    assert torch.equal(token[slot], torch.arange(len(index))[:, None].expand_as(index))
    assert not (end % multiple).any() and end[-1] == len(token)
    assert len(token) - index.numel() <= (0 if multiple == 1 else number * (multiple - 1) + 16 * multiple)
    order = slot.flatten()[index.flatten().argsort(stable=True)]
    assert (order.diff() > 0).all()


@pytest.mark.parametrize("choice", CHOICES)
def test_tiles_agree_with_windows_and_the_reference(choice, monkeypatch):
    """Both ways of the CPU's product, in float32: what is faster differs from what is right."""
    want = run(BACKENDS["reference"], case("many-rows", choice))
    monkeypatch.setattr(cpu, "height", lambda dtype: 64)
    for small in (0, 10**6):
        monkeypatch.setattr(cpu, "SMALL", small)
        for name, a, b in zip(NAMES, run(BACKENDS["batched"], case("many-rows", choice)), want):
            assert_close(f"{small} {name}", a, b)
