"""Backends of the convolution over the last tokens give the same values and gradients."""

import pytest
import torch

from omnie.ops.convolution import BACKENDS, convolve, cpu


def case(
    rows: int, tokens: int, taps: int, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, weights, and the gradient of what comes out."""
    made = torch.Generator().manual_seed(rows * tokens + taps)
    shapes = ((rows, tokens + taps - 1, 6), (taps, 6), (rows, tokens, 6))
    x, weight, grad = (torch.randn(shape, dtype=dtype, generator=made) for shape in shapes)
    return x, weight, grad


def sight(kind: str, rows: int, tokens: int, taps: int) -> torch.Tensor | None:
    """Which tokens before each one it may see."""
    if kind == "all":
        return None
    made = torch.Generator().manual_seed(7)
    number = {"nobody": 1.0, "some": 0.1, "shared": 0.1, "further": 0.1}[kind]
    count = taps + 2 if kind == "further" else taps - 1
    return (torch.rand(1 if kind == "shared" else rows, tokens, count, generator=made) >= number).double()


def both_ways(backend, x, weight, grad, near):
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    y = backend(x, weight, near)
    y.backward(grad)
    return y.detach(), x.grad, weight.grad


@pytest.mark.parametrize("kind", ["all", "some", "shared", "further", "nobody"])
@pytest.mark.parametrize(("rows", "tokens", "taps"), [(1, 1, 4), (2, 300, 4), (3, 128, 13), (1, 129, 1), (2, 5, 8)])
def test_backends_agree(rows, tokens, taps, kind):
    x, weight, grad = case(rows, tokens, taps)
    near = sight(kind, rows, tokens, taps)
    expected = both_ways(BACKENDS["reference"], x, weight, grad, near)
    found = both_ways(BACKENDS["cpu"], x, weight, grad, near)
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)  # sums over tokens are float32's


@pytest.mark.parametrize("asked", ["tokens", "weights"])
def test_only_what_is_asked_for(asked):
    x, weight, grad = case(2, 40, 4)
    near = sight("some", 2, 40, 4)
    expected = both_ways(BACKENDS["reference"], x, weight, grad, near)
    wanted = (x if asked == "tokens" else weight).requires_grad_()
    BACKENDS["cpu"](x, weight, near).backward(grad)
    torch.testing.assert_close(wanted.grad, expected[1 if asked == "tokens" else 2], rtol=1e-5, atol=1e-5)


def test_tokens_that_do_not_lie_side_by_side():
    x, weight, grad = case(2, 40, 4)
    strided = x.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(BACKENDS["cpu"](strided, weight, None), BACKENDS["reference"](x, weight, None))


def test_what_it_is_picked_for(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert cpu.fits(torch.zeros(2, cpu.FEW, 4))
    assert not cpu.fits(torch.zeros(1, cpu.FEW - 1, 4))
    assert not cpu.fits(torch.zeros(2, cpu.FEW, 4, dtype=torch.float64))
    assert not cpu.fits(torch.zeros(2, cpu.FEW, 4, device="meta"))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert not cpu.fits(torch.zeros(2, cpu.FEW, 4))


def test_in_training_types():
    """float32 as it is picked, and bfloat16, whose sums over tokens are float32's."""
    x, weight, grad = case(2, 400, 8, torch.float32)
    near = sight("some", 2, 400, 8).float()
    expected = both_ways(BACKENDS["reference"], *(t.double() for t in (x, weight, grad, near)))
    for a, b in zip(both_ways(convolve, x, weight, grad, near), expected):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-4)
    rounded = [t.bfloat16() for t in (x, weight, grad, near)]
    expected = both_ways(BACKENDS["reference"], *(t.double() for t in rounded))
    for a, b in zip(both_ways(BACKENDS["cpu"], *rounded), expected):
        assert (a.double() - b).norm() / b.norm() < 0.01


def test_weights_in_another_type_are_rounded():
    x, weight, _ = case(1, 30, 4)
    assert convolve(x.float(), weight, None).dtype == torch.float32
