"""The backends of the grouped product agree with the reference: odd shapes, both passes, empty groups, dtypes, bad input."""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import importlib.util

import pytest
import torch
from torch import Tensor

from laws import assert_close
from omnie.errors import OptionError
from omnie.ops.grouped_linear import BACKENDS, cpu, grouped_linear

TRITON = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
FAST = ["cpu", pytest.param("gpu", marks=TRITON)]
CASES = {
    "no-row": ([0, 0, 0], 4, 3),
    "one-row": ([0, 1], 3, 5),
    "one-group": ([9], 8, 4),
    "odd": ([3, 1, 4, 1, 5], 7, 3),
    "one-input": ([2, 3], 1, 6),
    "one-output": ([2, 3], 6, 1),
    "empty-first-last-between": ([0, 0, 5, 0, 0, 17, 0], 5, 9),
    "all-on-the-first": ([40, 0, 0, 0], 6, 18),
    "all-on-the-last": ([0, 0, 0, 40], 18, 6),
    "tile-edges": ([15, 16, 17, 32, 33], 17, 33),
    "window-edges": ([63, 64, 65, 1, 128, 127], 10, 6),
    "small-groups-at-the-end": ([130, 3, 0, 2, 1], 8, 8),
    "many-groups": ([(7 * group) % 5 for group in range(33)], 6, 4),
    "513-rows": ([200, 0, 313], 20, 12),
    "whole-tiles": ([16, 0, 48, 32, 0, 80], 12, 7),
    "whole-tiles-on-one": ([0, 0, 256, 0], 12, 7),
}
"""Rows of each group, inputs, outputs."""


def case(name: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    counts, inputs, outputs = CASES[name]
    random = torch.Generator().manual_seed(len(counts) + inputs)
    x = torch.randn(sum(counts), inputs, generator=random).to(dtype)
    weight = torch.randn(len(counts), outputs, inputs, generator=random).to(dtype)
    return x.requires_grad_(), torch.tensor(counts).cumsum(0), weight.requires_grad_()


def run(backend: str, x: Tensor, end: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """The output, and the gradients for a fixed random direction."""
    y = grouped_linear(x, end, weight, backend=backend)
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    return dict(zip(("output", "x", "weight"), [y, *torch.autograd.grad(y, (x, weight), direction)]))


def agree(got: dict[str, Tensor], want: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    for name in want:
        assert_close(name, got[name], want[name], tolerance)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("name", CASES)
def test_backends_agree(backend, name):
    agree(run(backend, *case(name)), run("reference", *case(name)))


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("name", CASES)
def test_backends_agree_in_bfloat16(backend, name):
    """Against the float32 reference of the same rounded numbers: each product is rounded once to 8 bits, on the CPU a weight's
    gradient in two or more parts."""
    x, end, weight = case(name, torch.bfloat16)
    wide = run("reference", x.detach().float().requires_grad_(), end, weight.detach().float().requires_grad_())
    got = run(backend, x, end, weight)
    assert {tensor.dtype for tensor in got.values()} == {torch.bfloat16}
    agree(got, wide, 8e-3)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("name", ["odd", "whole-tiles"])
def test_backends_agree_in_float16(backend, name):
    x, end, weight = case(name, torch.float16)
    wide = run("reference", x.detach().float().requires_grad_(), end, weight.detach().float().requires_grad_())
    agree(run(backend, x, end, weight), wide, 1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows", [*range(0, 20), 63, 64, 65, 127, 128, 129, 255, 511, 512, 513])
def test_every_number_of_rows(rows, dtype):
    """On the CPU, which works in windows; the groups' sizes are random, and about a third of them is empty."""
    torch.manual_seed(rows)
    group = torch.multinomial(torch.rand(7).gt(0.3) + 1e-6, rows + 1, replacement=True)[1:]
    end = torch.bincount(group, minlength=7).cumsum(0)
    x, weight = torch.randn(rows, 9).to(dtype).requires_grad_(), torch.randn(7, 5, 9).to(dtype).requires_grad_()
    wide = [tensor.detach().float().requires_grad_() for tensor in (x, weight)]
    agree(run("cpu", x, end, weight), run("reference", wide[0], end, wide[1]), 1e-5 if dtype == torch.float32 else 8e-3)


def test_the_reference_is_the_formula():
    x, end, weight = case("odd")
    y = grouped_linear(x, end, weight, backend="reference")
    for row in range(len(x)):
        assert_close(f"row {row}", y[row], weight[int((end <= row).sum())] @ x[row])


@pytest.mark.parametrize("name", ["odd", "empty-first-last-between", "no-row"])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradients_against_finite_differences(backend, name):
    x, end, weight = case(name, torch.float64)
    assert torch.autograd.gradcheck(lambda x, weight: grouped_linear(x, end, weight, backend=backend), (x, weight))


@pytest.mark.parametrize("small", [0, 10**6], ids=["windows", "tiles"])
@pytest.mark.parametrize("height", [2, 8])
def test_windows_and_tiles_in_wide_types(height, small, monkeypatch):
    """The ways of bfloat16, in float32 against the reference and in float64 against finite differences."""
    monkeypatch.setattr(cpu, "height", lambda dtype: height)
    monkeypatch.setattr(cpu, "SMALL", small)
    for name in CASES:
        agree(run("cpu", *case(name)), run("reference", *case(name)))
    for x, end, weight in (case("odd", torch.float64), case("whole-tiles", torch.float64)):
        differs = lambda x, w, end=end: grouped_linear(x, end, w, backend="cpu")  # noqa: E731
        assert torch.autograd.gradcheck(differs, (x, weight), fast_mode=len(x) > 99)


def test_when_there_are_tiles():
    """In bfloat16, for whole tiles of small matrices; whoever asks for a multiple gets tiles."""
    x, end, weight = case("whole-tiles", torch.bfloat16)
    assert cpu.tiled(x, end, 7) == 16 and cpu.tiled(x.float(), end, 7) == 0
    assert cpu.tiled(x, end - end % 5, 7) == 0 and cpu.tiled(x, end, cpu.SMALL) == 0 and cpu.tiled(x[:0], 0 * end, 7) == 0
    assert cpu.multiple(64 * 60, 64, 2**14, x.dtype) == 32 and cpu.multiple(64 * 500, 64, 2**14, x.dtype) == 128
    assert cpu.multiple(64 * 60, 64, 2**20, x.dtype) == 1 and cpu.multiple(64 * 60, 64, 2**14, torch.float32) == 1


@pytest.mark.parametrize("backend", ["reference", *FAST])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_empty_groups_have_zero_gradients(backend, dtype):
    x, end, weight = case("empty-first-last-between", dtype)
    gradient = run(backend, x, end, weight)["weight"]
    empty = end.diff(prepend=end.new_zeros(1)) == 0
    assert not gradient[empty].any() and gradient[~empty].flatten(1).any(1).all()


@pytest.mark.parametrize("name", ["window-edges", "whole-tiles"])
@pytest.mark.parametrize("backend", ["reference", *FAST])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_neighbour_changes_nothing(backend, dtype, name):
    """Not even one whose numbers are not finite."""
    name = "odd" if backend == "gpu" else name  # the interpreter takes its time
    x, end, weight = (tensor.detach() for tensor in case(name, dtype))
    sick = 2
    x[end[sick - 1] : end[sick]] = torch.nan
    got, want = (run(backend, rows.requires_grad_(), end, weight.clone().requires_grad_()) for rows in (x, x.nan_to_num()))
    others = (torch.arange(len(x)) < end[sick - 1]) | (torch.arange(len(x)) >= end[sick])
    assert torch.equal(got["output"][others], want["output"][others]) and torch.equal(got["x"], want["x"])
    groups = torch.arange(len(end)) != sick
    assert torch.equal(got["weight"][groups], want["weight"][groups]) and got["weight"][sick].isnan().all()


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_strided_arguments(backend):
    """Halves of a matrix, columns of rows, a gradient that is one number everywhere."""
    x, end, weight = case("tile-edges")
    results = []
    for copy in (lambda tensor: tensor, torch.Tensor.contiguous):
        y = grouped_linear(copy(x[:, 1:9]), end, copy(weight[:, 3:, 2:10]), backend=backend)
        results.append([y, *torch.autograd.grad(y.sum(), (x, weight))])
    for name, a, b in zip(("output", "x", "weight"), *results):
        assert_close(name, a, b)


@pytest.mark.parametrize("backend", FAST)
def test_only_what_is_asked_for(backend):
    x, end, weight = case("odd")
    want = run("reference", x, end, weight)
    for name, arguments in {"x": (x, end, weight.detach()), "weight": (x.detach(), end.int(), weight)}.items():
        y = grouped_linear(*arguments, backend=backend)
        y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1)))
        assert_close(name, {"x": x, "weight": weight}[name].grad, want[name])
    assert not grouped_linear(x.detach(), end, weight.detach(), backend=backend).requires_grad


@TRITON
def test_the_kernels_read_nothing_outside_the_rows():
    """On a GPU nobody checks the ends: rows that are not there are not read, and not written."""
    from omnie.ops.grouped_linear import gpu

    room, weight = torch.full((64, 4), torch.nan), torch.randn(2, 3, 4)
    x = room[20:30]
    x.copy_(torch.randn(10, 4))
    y = gpu.rows(x, torch.tensor([6, 50]), weight.transpose(1, 2))
    assert_close("output", y, grouped_linear(x, torch.tensor([6, 10]), weight))
    assert_close("weight", gpu.weights(x, torch.tensor([-5, 50]), y)[1], y.T @ x)


def test_autocast_is_obeyed():
    x, end, weight = case("odd")
    with torch.autocast("cpu", torch.bfloat16):
        y = grouped_linear(x.bfloat16(), end, weight)
    assert y.dtype == torch.bfloat16 and torch.autograd.grad(y.sum(), weight)[0].dtype == torch.float32
    assert_close("output", y, grouped_linear(x, end, weight), 1e-2)


BAD = {
    "unknown backend": lambda x, end, w: grouped_linear(x, end, w, backend="tpu"),
    "inputs": lambda x, end, w: grouped_linear(x[:, 1:], end, w),
    "three axes of rows": lambda x, end, w: grouped_linear(x[None], end, w),
    "one matrix": lambda x, end, w: grouped_linear(x, end, w[0]),
    "number of ends": lambda x, end, w: grouped_linear(x, end[1:], w),
    "no groups": lambda x, end, w: grouped_linear(x[:0], end[:0], w[:0]),
    "dtypes": lambda x, end, w: grouped_linear(x, end, w.double()),
    "whole numbers": lambda x, end, w: grouped_linear(x.int(), end, w.int()),
    "ends that are no whole numbers": lambda x, end, w: grouped_linear(x, end.float(), w),
    "ends too early": lambda x, end, w: grouped_linear(x, end - 1, w),
    "ends too late": lambda x, end, w: grouped_linear(x[1:], end, w),
    "ends that fall": lambda x, end, w: grouped_linear(x, torch.tensor([3, 2, 8, 9, 14]), w),
    "a negative end": lambda x, end, w: grouped_linear(x, torch.tensor([-1, 2, 8, 9, 14]), w),
    "not for torch's kernel": lambda x, end, w: grouped_linear(x, end, w, backend="torch"),
    "other device": lambda x, end, w: grouped_linear(x, end.to("meta"), w),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_an_error(name):
    with pytest.raises(OptionError, match="allowed"):
        BAD[name](*case("odd"))


@pytest.mark.parametrize("counts", [[3, 1, 4, 0, 5], [0, 0, 7], [0, 0]])
def test_torch_s_kernel_is_the_reference_too(counts):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(sum(counts), 24, generator=random).bfloat16().requires_grad_()
    weight = torch.randn(len(counts), 16, 24, generator=random).bfloat16().requires_grad_()
    end = torch.tensor(counts).cumsum(0)
    wide = (x.detach().float().requires_grad_(), end, weight.detach().float().requires_grad_())
    agree(run("torch", x, end, weight), run("reference", *wide), 2e-2)


@TRITON
def test_the_gpu_has_no_float64():
    with pytest.raises(OptionError, match="allowed"):
        grouped_linear(*case("odd", torch.float64), backend="gpu")


def test_there_is_a_test_for_every_backend():
    assert set(BACKENDS) == {"reference", "cpu", "gpu", "torch"}
