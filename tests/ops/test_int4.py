"""4-bit matrices: the bytes mean what the format says, rounding stays within its bounds, products are those of the weights."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from laws import assert_close, relative_rms
from omnie.ops.experts import reference as plain_experts
from omnie.ops.int4_linear import BACKENDS, GROUPS, PARTS, Activations, Packed, cpu, pack, pack_for, rounded, shapes, unpack

SHAPES = {
    "one-weight": (1, 1),
    "one-input": (5, 1),
    "half-a-byte": (3, 33),
    "whole-group": (4, 32),
    "odd-groups": (66, 96),
    "last-group-short": (7, 130),
    "last-block-short": (67, 64),
    "blocks-are-rows": (3, 2100),
    "experts": (3, 5, 40),
    "one-expert": (1, 65, 32),
    "no-rows": (0, 64),
}
shape_case = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
group_case = pytest.mark.parametrize("group", GROUPS)


class Backend(NamedTuple):
    """A backend's functions, and how far it may be off."""

    linear: Callable[..., torch.Tensor]
    experts: Callable[..., torch.Tensor]
    tolerance: float = 1e-5


def with_activations(kind: Activations, tolerance: float) -> Backend:
    return Backend(partial(cpu.linear, activations=kind), partial(cpu.experts, activations=kind), tolerance)


TESTED = {
    "reference": Backend(BACKENDS["reference"].linear, BACKENDS["reference"].experts),
    "cpu-float": with_activations("float", 1e-5),
    "cpu-int8": with_activations("int8", 0.025),
}
backend_case = pytest.mark.parametrize("backend", TESTED.values(), ids=TESTED)


def matrix(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.05


def as_the_format_says(packed: Packed) -> torch.Tensor:
    """One weight after the other, from the docstring's formula."""
    codes, scale, block = (part.tolist() for part in packed[:3])
    groups = math.ceil(packed.inputs / packed.group)
    rows = max(1, 64 // groups)

    def weight(o: int, i: int) -> float:
        code = codes[o][i // 2] >> 4 if i % 2 else codes[o][i // 2] & 15
        return (code - 8) * scale[o][i // packed.group] * block[o // rows]

    return torch.tensor([[weight(o, i) for i in range(packed.inputs)] for o in range(len(codes))])


@pytest.mark.parametrize("shape", [(3, 33), (66, 40), (2, 96)], ids=str)
@group_case
def test_unpacked_weights_are_those_of_the_documented_bytes(shape, group):
    packed = pack(matrix(*shape), group)
    assert_close("weights", unpack(packed), as_the_format_says(packed), 1e-6)


@shape_case
@group_case
@pytest.mark.parametrize("rounding", ["plain", "search"])
def test_parts_have_the_documented_shapes_and_the_matrix_comes_back(shape, group, rounding):
    weight = matrix(*shape)
    packed = pack(weight, group, rounding)
    expected = shapes(list(shape), group)
    assert {part: (list(tensor.shape), tensor.dtype) for part, tensor in zip(PARTS, packed)} == expected
    assert not bool((packed.scale == 0).any()) and not bool((packed.scale == -128).any()) and bool((packed.block > 0).all())
    again = unpack(packed)
    assert again.shape == weight.shape and relative_rms(again, weight) < 0.14
    if shape[-1] % 2:
        assert bool((packed.codes[..., -1] >> 4 == 8).all()), "the half byte after the last input"


@shape_case
@group_case
def test_rounding_alone_is_packing_and_unpacking(shape, group):
    weight = matrix(*shape)
    assert torch.equal(rounded(weight, group), unpack(pack(weight, group, "plain")))


@group_case
def test_a_parameter_of_a_wide_matrix_takes_little_more_than_four_bits(group):
    parts = shapes([4096, 2048], group)
    bits = sum(math.prod(shape) * dtype.itemsize * 8 for shape, dtype in parts.values()) / (4096 * 2048)
    assert bits == pytest.approx({32: 4.266, 64: 4.133, 128: 4.066}[group], abs=1e-3)


def test_narrow_matrices_share_a_float_among_rows():
    bits = sum(math.prod(shape) * dtype.itemsize * 8 for shape, dtype in shapes([64, 256, 32], 32).values())
    assert bits / (64 * 256 * 32) < 4.27


def bound(weight: torch.Tensor, group: int, headroom: float = 1.0) -> torch.Tensor:
    """1/8 of the group's largest weight and 1/254 of the block's, for every weight of a matrix [out, in]."""
    outputs, inputs = weight.shape
    groups = math.ceil(inputs / group)
    rows = max(1, 64 // groups)
    padded = torch.nn.functional.pad(weight, (0, groups * group - inputs)).abs()
    of_group = padded.unflatten(-1, (groups, group)).amax(-1).repeat_interleave(group, -1)[:, :inputs]
    of_block = torch.stack([part.amax() for part in weight.abs().split(rows)]).repeat_interleave(rows)[:outputs, None]
    return (of_group / 8 + headroom * of_block / 254) * (1 + 1e-5) + 1e-30


@settings(max_examples=40, deadline=None)
@given(
    outputs=st.integers(1, 70),
    inputs=st.integers(1, 140),
    group=st.sampled_from(GROUPS),
    spread=st.floats(0, 6),
    magnitude=st.integers(-12, 12),
    seed=st.integers(0, 99),
)
def test_a_weight_is_never_further_off_than_its_bound(outputs, inputs, group, spread, magnitude, seed):
    """Rows and groups of very different sizes, outliers, magnitudes from 1e-12 to 1e12."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(outputs, inputs, generator=generator)
    weight = normal.sign() * normal.abs() ** (1 + spread) * 10.0**magnitude
    assert bool(((unpack(pack(weight, group, "plain")) - weight).abs() <= bound(weight, group)).all())
    # The search minimises a group's squared error; its largest error can be no more than the root of that sum.
    error = (unpack(pack(weight, group, "search")) - weight).square().sum().sqrt()
    assert float(error) <= float(bound(weight, group, 1.15).square().sum().sqrt())


@group_case
def test_the_search_lowers_the_error(group):
    weight = matrix(64, 512)
    plain, search = (relative_rms(unpack(pack(weight, group, rounding)), weight) for rounding in ("plain", "search"))
    assert search < 0.97 * plain and search < {32: 0.083, 64: 0.092, 128: 0.1}[group]


def test_activation_energies_move_the_error_to_inputs_that_matter_less():
    weight, energy = matrix(3, 16, 64), torch.ones(3, 64)
    energy[:, ::7] = 100.0

    def weighed(packed: Packed) -> float:
        return float(((unpack(packed) - weight).square() * energy[:, None]).sum())

    assert weighed(pack(weight, energy=energy)) < 0.9 * weighed(pack(weight))
    same = pack(weight[0], energy=energy[0])
    assert torch.equal(same.codes, pack(weight, energy=energy).codes[0]), "each expert has its own energies"


@pytest.mark.parametrize("value", [0.0, 1e-30, -1e-5, 3.0, -1e30])
def test_constant_matrices_survive(value):
    weight = torch.full((3, 70), value)
    for rounding in ("plain", "search"):
        torch.testing.assert_close(unpack(pack(weight, 32, rounding)), weight, rtol=0.01, atol=1e-35)


def test_a_tiny_group_beside_a_large_one_does_not_blow_up():
    weight = torch.cat([torch.full((1, 32), 1e-6), torch.ones(1, 32)], dim=1)
    assert float((unpack(pack(weight, 32)) - weight).abs().max()) < 0.01


def test_bfloat16_weights_are_packed_as_they_are():
    weight = matrix(8, 64).bfloat16()
    for got, want in zip(pack(weight)[:3], pack(weight.float())[:3]):
        assert torch.equal(got, want)
    assert unpack(pack(weight), torch.bfloat16).dtype == torch.bfloat16


# Rounding that knows its inputs


def correlated(inputs: int, seed: int = 5) -> torch.Tensor:
    """Inputs [400, in] that mostly lie in a quarter of the directions."""
    few = matrix(400, max(1, inputs // 4), seed=seed) @ matrix(max(1, inputs // 4), inputs, seed=seed + 1) * 400
    return few + matrix(400, inputs, seed=seed + 2)


@pytest.mark.parametrize("shape", [(64, 128), (66, 96), (7, 130)], ids=str)
@group_case
def test_known_inputs_make_the_outputs_better(shape, group):
    weight, x = matrix(*shape), correlated(shape[1])
    fitted, searched = (unpack(p) for p in (pack_for(weight, x.T @ x, group), pack(weight, group)))
    assert relative_rms(x @ fitted.T, x @ weight.T) < 0.7 * relative_rms(x @ searched.T, x @ weight.T)


@shape_case
@group_case
def test_fitted_matrices_have_the_documented_parts(shape, group):
    weight = matrix(*shape)
    inputs = shape[-1]
    gram = torch.eye(inputs).expand(*shape[:-2], inputs, inputs)
    packed, expected = pack_for(weight, gram, group), shapes(list(shape), group)
    assert {part: (list(tensor.shape), tensor.dtype) for part, tensor in zip(PARTS, packed)} == expected
    assert not bool((packed.scale == 0).any()) and bool((packed.block > 0).all())
    assert relative_rms(unpack(packed), weight) < 1.15 * relative_rms(unpack(pack(weight, group)), weight) + 1e-6


def test_inputs_that_were_never_seen_leave_a_finite_matrix():
    weight, gram = matrix(3, 16, 64), torch.zeros(3, 64, 64)
    gram[0] = torch.eye(64)
    fitted = unpack(pack_for(weight, gram))
    assert relative_rms(fitted, weight) < 0.12
    alone = unpack(pack_for(weight[1], torch.zeros(64, 64)))
    assert relative_rms(alone, weight[1]) < 0.12


# Products

ROWS = (0, 1, 2, 3, 7, 8, 16, 33, 65)


@backend_case
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("shape", [(5, 33), (66, 64), (1, 1), (40, 160)], ids=str)
def test_a_product_is_that_of_the_unpacked_matrix(backend, rows, shape):
    packed, x, bias = pack(matrix(*shape)), matrix(rows, shape[1], seed=1), matrix(shape[0], seed=2)
    assert_close("product", backend.linear(x, packed), x @ unpack(packed).T, backend.tolerance)
    assert_close("with bias", backend.linear(x, packed, bias), x @ unpack(packed).T + bias, backend.tolerance)


@backend_case
def test_leading_axes_and_dtype_are_kept(backend):
    packed, x = pack(matrix(6, 64)), matrix(2, 3, 64)
    assert backend.linear(x, packed).shape == (2, 3, 6)
    half = backend.linear(x.bfloat16(), packed)
    assert half.dtype == torch.bfloat16
    assert_close("bfloat16", half.float(), backend.linear(x, packed), 0.01)


def chosen(rows: int, experts: int, top_k: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(rows)
    return torch.stack([torch.randperm(experts, generator=generator)[:top_k] for _ in range(rows)])


CHOICES = {
    "no-rows": torch.zeros(0, 2, dtype=torch.long),
    "one-row": torch.tensor([[3, 1]]),
    "all-on-one-expert": torch.full((9, 1), 2),
    "empty-experts": torch.tensor([[0, 3]] * 5),
    "33-rows": chosen(33, 5, 3),
    "65-rows": chosen(65, 5, 2),
}


@backend_case
@pytest.mark.parametrize("index", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("sizes", [(32, 16), (40, 33)], ids=str)
def test_experts_are_those_of_the_unpacked_matrices(backend, index, sizes):
    hidden, width = sizes
    gate_up, down = pack(matrix(5, 2 * width, hidden) * 6), pack(matrix(5, hidden, width, seed=1) * 6)
    x, weight = matrix(len(index), hidden, seed=2) * 20, torch.rand(index.shape, generator=torch.Generator().manual_seed(3))
    want = plain_experts(x, index, weight, unpack(gate_up), unpack(down))
    assert_close("experts", backend.experts(x, index, weight, gate_up, down), want, backend.tolerance)


@backend_case
def test_gradients_reach_the_inputs(backend):
    packed, x = pack(matrix(6, 40)), matrix(3, 40).requires_grad_()
    backend.linear(x, packed).sum().backward()
    assert_close("gradient", x.grad, unpack(packed).sum(0).expand(3, -1))
