"""Rotary positions against an independent formula: channel pairs as complex numbers, times exp(i position frequency)."""

import cmath

import pytest
import torch
from torch import Tensor

from laws import assert_close, relative_rms
from omnie.errors import CheckpointError
from omnie.model.config import architecture
from omnie.model.layers.rope import decoder_angles, picture_angles, rotate, sequence_angles, sharpness, turns

HEAD, THETA, SECTIONS = 16, 10_000.0, [3, 3, 2]


def turned(x: list[float], position: float, theta: float = THETA) -> list[float]:
    """The ordinary 1-D rotary embedding of one vector (Su et al. 2021, eq. 15), in Python's complex numbers."""
    result = []
    for pair in range(len(x) // 2):
        angle = position * theta ** (-2 * pair / len(x))
        z = complex(x[2 * pair], x[2 * pair + 1]) * cmath.exp(1j * angle)
        result += [z.real, z.imag]
    return result


def at(position: tuple[int, int, int], x_H: Tensor) -> Tensor:
    """A vector at a 3-D position."""
    angles = decoder_angles(torch.tensor([[position]]), HEAD, THETA, SECTIONS)
    return rotate(x_H, turns(angles[0, 0], x_H.dtype))


@pytest.fixture
def vectors() -> Tensor:
    return torch.randn(2, HEAD, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("position", [0, 1, 17, 4095, 100_000])
def test_equal_axes_are_the_ordinary_rotary_embedding(vectors, position):
    """As far as float32 tells angles of many turns apart: its step is 6e-8 of the angle."""
    want = torch.tensor(turned(vectors[0].tolist(), position))
    assert_close("rotated", at((position,) * 3, vectors[0]), want, 1e-5 + 1e-7 * position)


def test_sequence_positions_are_the_ordinary_rotary_embedding(vectors):
    by = turns(sequence_angles(torch.arange(30), HEAD, THETA), torch.float32)
    want = torch.tensor([turned(vectors[0].tolist(), position) for position in range(30)])
    assert_close("rotated", rotate(vectors[0].expand(30, HEAD), by), want)


@pytest.mark.parametrize("shift", [(5, 5, 5), (3, 0, 0), (0, 7, 0), (0, 0, 2), (900, 13, 21)])
def test_scores_depend_on_distance_only(vectors, shift):
    q, k = vectors
    query, key = (4, 9, 2), (1, 3, 8)
    moved = [tuple(p + s for p, s in zip(place, shift)) for place in (query, key)]
    score = at(query, q) @ at(key, k)
    assert_close("score", at(moved[0], q) @ at(moved[1], k), score, 1e-5)
    assert relative_rms(at(moved[0], q) @ at(key, k), score) > 1e-4  # another distance, another score


def test_rotation_keeps_lengths(vectors):
    assert_close("norms", at((100, 7, 3), vectors).norm(dim=-1), vectors.norm(dim=-1))


@pytest.mark.parametrize(("axis", "pairs"), [(0, {6, 7}), (1, {0, 2, 4}), (2, {1, 3, 5})], ids=["time", "height", "width"])
def test_each_axis_turns_its_own_pairs(axis, pairs):
    position = [0, 0, 0]
    position[axis] = 5
    angles = decoder_angles(torch.tensor([[position]]), HEAD, THETA, SECTIONS)[0, 0]
    assert set(angles.nonzero().squeeze(-1).tolist()) == pairs


def test_slow_pairs_may_stand_still():
    """The fast ones turn as ever; what the others compare looks alike at any distance."""
    positions = torch.tensor([[[9, 5, 7], [100_000] * 3]])
    whole = decoder_angles(positions, HEAD, THETA, SECTIONS)
    some = decoder_angles(positions, HEAD, THETA, SECTIONS, 3)
    assert torch.equal(some[..., :3], whole[..., :3]) and not some[..., 3:].any()


def test_pictures_are_axial(vectors):
    """The first half of the channels turns with the row, the second with the column, each as a 1-D embedding of its own."""
    x = vectors[0]
    got = rotate(x, turns(picture_angles(torch.tensor([6]), torch.tensor([11]), HEAD, THETA)[0], x.dtype))
    half = HEAD // 2
    want = turned(x[:half].tolist(), 6) + turned(x[half:].tolist(), 11)
    assert_close("rotated", got, torch.tensor(want))


def test_the_swap_is_exact_in_bfloat16():
    """Turning by a right angle only moves numbers about, so nothing may be rounded."""
    x = torch.randn(4, HEAD).bfloat16()
    got = rotate(x, (torch.zeros(HEAD).bfloat16(), torch.ones(HEAD).bfloat16()))
    assert torch.equal(got.unflatten(-1, (-1, 2)), torch.stack([-x[:, 1::2], x[:, ::2]], -1))


def test_angles_stay_float32_for_a_bfloat16_model():
    angles = decoder_angles(torch.tensor([[[100_000] * 3, [100_001] * 3]]), HEAD, THETA, SECTIONS)
    cos, _ = turns(angles, torch.bfloat16)
    assert angles.dtype == torch.float32 and cos.dtype == torch.bfloat16 and not torch.equal(cos[0, 0], cos[0, 1])


def test_scores_grow_with_the_logarithm_of_the_position_beyond_a_length():
    positions = torch.tensor([[[0, 0, 0], [63, 2, 1], [4, 255, 9], [4095, 0, 0]]])
    found = sharpness(positions, 64, torch.float32)
    assert found is not None and found.shape == (1, 4, 1, 1)
    torch.testing.assert_close(found.flatten(), torch.tensor([1.0, 1.0, 8 / 6, 2.0]))
    assert sharpness(positions, None, torch.float32) is None


@pytest.mark.parametrize("length", [0, 1, -5, 2.5, "64"])
def test_a_length_whose_logarithm_is_no_divisor_is_refused(length):
    config = architecture("toy")
    config.log_scaling = length
    with pytest.raises(CheckpointError, match="log_scaling"):
        config.check()
