"""The Triton kernels of 4-bit products, in Triton's interpreter: the reference for any shape, group size, dtype and routing.

The interpreter runs a program in about 30 ms, so shapes are small; `tiles` makes a program's part smaller where several of
them have to meet. It has no product of bfloat16: what that dtype adds, the bits of its codes, is looked at by itself.
"""

import ast
import importlib
import mmap
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("TRITON_INTERPRET", "1")

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from laws import assert_close
from omnie.model.int4 import Int4Linear
from omnie.ops.int4_linear import BACKENDS, GROUPS, Packed, gpu, pack, reference, unpack

from .test_int4_cpu import at_the_end_of_a_page, choices, normal, random

pytest.importorskip("triton")
launch = importlib.import_module("omnie.ops.int4_linear.gpu.launch")

pytestmark = pytest.mark.skipif(not launch.INTERPRETED, reason="needs Triton's interpreter: TRITON_INTERPRET=1")

OFF = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}
SHAPES = {
    "one-weight": (1, 1),
    "half-a-byte": (5, 33),
    "last-group-short": (7, 199),
    "whole-steps": (40, 256),
    "narrow-steps": (66, 192),
    "blocks-are-rows": (3, 2176),
}
"""Outputs, inputs."""


@pytest.fixture
def tiles(monkeypatch):
    monkeypatch.setattr(launch, "SMALL", launch.Tile(32, 16, 64, 4, 1))


def routed(rows: int, sizes: tuple[int, int], group: int = 32, experts: int = 4, top_k: int = 2) -> list:
    """x, index, weight, gate_up, down; the last expert is not chosen."""
    hidden, width = sizes
    gate_up, down = (pack(normal(experts, *shape) * 0.3, group, "plain") for shape in ((2 * width, hidden), (hidden, width)))
    index = choices(rows, experts - 1, top_k)
    return [normal(rows, hidden, seed=2), index, normal(rows, index.shape[1], seed=3).abs(), gate_up, down]


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_products_are_those_of_the_reference(group, shape):
    packed, bias = random(*shape, group=group), normal(shape[0], seed=3)
    x = normal(3, shape[1])
    assert_close("product", gpu.linear(x, packed, bias), reference.linear(x, packed, bias), OFF[torch.float32])


@pytest.mark.parametrize("rows", [0, 1, 2, 16, 33, 513])
def test_any_number_of_rows(rows):
    packed, x = random(20, 70), normal(rows, 70)
    assert_close("without a bias", gpu.linear(x, packed), reference.linear(x, packed), OFF[torch.float32])


@pytest.mark.parametrize("rows", [1, 37])
@pytest.mark.parametrize("shape", [(50, 256), (70, 90), (33, 64)], ids=["split", "split-odd", "not-split"])
def test_tiles_and_parts_of_the_inputs_meet(tiles, rows, shape):
    packed, bias, x = random(*shape), normal(shape[0], seed=3), normal(rows, shape[1])
    assert_close("several tiles", gpu.linear(x, packed, bias), reference.linear(x, packed, bias), OFF[torch.float32])


@pytest.mark.parametrize(
    ("programs", "inputs", "step"), [(1, 2048, 128), (16, 192, 64), (132, 2048, 128), (500, 64, 64), (3, 33, 64)]
)
def test_splits_cover_the_inputs_once(programs, inputs, step):
    splits, share = launch.split(programs, inputs, step)
    assert share % step == 0 and (splits - 1) * share < inputs <= splits * share
    assert splits == 1 or splits * programs <= launch.PROGRAMS


@pytest.mark.parametrize("rows", [1, 16, 17, 64, 65, 8192])
@pytest.mark.parametrize("dtype", OFF, ids=str)
def test_a_gpu_gets_tiles_that_fit_the_format(monkeypatch, rows, dtype):
    monkeypatch.setattr(launch, "INTERPRETED", False)
    for table in (launch.LINEAR, launch.EXPERTS):
        tile = launch.tile_of(table, rows, torch.empty(0, dtype=dtype))
        assert tile.inputs % 32 == 0 and tile.outputs % 16 == 0 and tile.rows >= 16
        assert tile == launch.FLOAT32 or rows < tile.rows or tile == table[launch.LARGEST] or rows <= 64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
def test_half_precision(dtype):
    packed, bias = random(40, 130), normal(40, seed=3).to(dtype)
    for rows in (3, 20):
        x = normal(rows, 130).to(dtype)
        got = gpu.linear(x, packed, bias)
        assert got.dtype == dtype
        assert_close("linear", got.float(), reference.linear(x.float(), packed, bias.float()), OFF[dtype])
    x, index, weight, gate_up, down = routed(9, (40, 33))
    x, weight = x.to(dtype), weight.to(dtype)
    got = gpu.experts(x, index, weight, gate_up, down)
    assert got.dtype == dtype
    want = reference.experts(x.float(), index, weight.float(), gate_up, down)
    assert_close("experts", got.float(), want, OFF[dtype])


@pytest.mark.parametrize(("dtype", "high", "eight"), [(torch.bfloat16, 0x4300, 136), (torch.float16, 0x6400, 1032)])
def test_bits_of_a_code_are_a_float(dtype, high, eight):
    """As `tile.py` makes them; (code - 8) scale is exact in float16, and rounded once in bfloat16."""
    bits = torch.arange(16, dtype=torch.int16) | high
    code = bits.view(dtype) - eight
    assert torch.equal(code.float(), torch.arange(-8.0, 8.0))
    byte = torch.arange(256, dtype=torch.int32)
    both = (byte * 4097 & 0x000F000F) | high << 16 | high
    assert torch.equal(both.to(torch.int16), (byte & 15 | high).to(torch.int16))
    assert torch.equal((both >> 16).to(torch.int16), (byte >> 4 | high).to(torch.int16))
    weight = code[:, None] * torch.arange(-127, 128).to(dtype)
    exact = torch.arange(-8.0, 8.0)[:, None] * torch.arange(-127.0, 128.0)
    assert torch.equal(weight, exact.to(dtype)) and (dtype == torch.bfloat16 or torch.equal(weight.float(), exact))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("sizes", [(32, 16), (33, 70), (192, 64)], ids=str)
def test_experts_are_those_of_the_reference(group, sizes):
    case = routed(5, sizes, group)
    assert_close("experts", gpu.experts(*case), reference.experts(*case), 5e-6)


INDICES = {
    "no-rows": torch.zeros(0, 2, dtype=torch.long),
    "no-choices": torch.zeros(3, 0, dtype=torch.long),
    "one-row": torch.tensor([[3, 1]]),
    "all-on-one": torch.full((40, 1), 2),
    "empty-experts": torch.tensor([[0, 2]] * 5),
    "first-and-last": torch.tensor([[3, 0]] * 5),
    "many-tiles": choices(33, 4, 2),
    "int32": choices(5, 4, 2).int(),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
def test_any_routing(tiles, index):
    x, _, _, gate_up, down = routed(len(index), (40, 33))
    weight = normal(*index.shape, seed=3).abs()
    want = reference.experts(x, index, weight, gate_up, down)
    assert_close("experts", gpu.experts(x, index, weight, gate_up, down), want, 5e-6)


def test_many_tokens_on_few_experts(monkeypatch):
    """513 rows, as sorted by torch; `test_choices_are_sorted_stably` compares both ways."""
    case = routed(513, (32, 16), experts=2, top_k=1)
    monkeypatch.setattr(launch, "SORTED", 8)
    monkeypatch.setattr(launch, "SMALL", launch.Tile(64, 128, 128, 4, 1))
    assert_close("experts", gpu.experts(*case), reference.experts(*case), 5e-6)


@pytest.mark.parametrize("limit", [4096, 0], ids=["kernel", "torch"])
def test_choices_are_sorted_stably(monkeypatch, limit):
    monkeypatch.setattr(launch, "SORTED", limit)
    index = choices(90, 7, 2).contiguous()
    order, ends = launch.by_expert(index, 9)
    expert, want = index.flatten().sort(stable=True)
    assert torch.equal(order, want.int())
    assert ends.tolist() == [int((expert < e).sum()) for e in range(10)]


def test_an_expert_twice_for_one_token_counts_twice():
    x, _, weight, gate_up, down = routed(4, (32, 16))
    index = torch.tensor([[1, 1], [0, 2], [3, 3], [2, 0]])
    want = reference.experts(x, index, weight, gate_up, down)
    assert_close("experts", gpu.experts(x, index, weight, gate_up, down), want, 5e-6)


def test_same_input_same_bits(tiles):
    packed, x, case = random(50, 256), normal(5, 256), routed(9, (33, 17))
    assert torch.equal(gpu.linear(x, packed), gpu.linear(x.clone(), packed))
    assert torch.equal(gpu.experts(*case), gpu.experts(*case))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_neighbours_change_nothing():
    """What is not finite stays in its row, and a token's result does not depend on the others."""
    packed, x = random(20, 96), normal(6, 96)
    clean = gpu.linear(x, packed)
    x[2, 40] = float("nan")
    got = gpu.linear(x, packed)
    rest = [0, 1, 3, 4, 5]
    assert not bool(got[2].isfinite().any()) and torch.equal(got[rest], clean[rest])
    case = routed(6, (40, 33))
    clean = gpu.experts(*case)
    case[0][2, 3] = float("inf")
    got = gpu.experts(*case)
    assert not bool(got[2].isfinite().any()) and torch.equal(got[rest], clean[rest])


def test_strides_leading_axes_and_other_types():
    packed, wide = random(12, 64), normal(2, 5, 128)
    x = wide[..., 10:74]
    assert_close("slice", gpu.linear(x, packed), reference.linear(x, packed))
    across = normal(64, 5).T
    assert_close("transposed", gpu.linear(across, packed), reference.linear(across, packed))
    assert gpu.linear(x.double(), packed).dtype == torch.float64


def test_memory_without_alignment():
    packed, x = random(33, 128), normal(3, 128)
    moved = torch.empty(packed.codes.numel() + 3, dtype=torch.uint8)[3:].view(packed.codes.shape).copy_(packed.codes)
    assert_close("odd addresses", gpu.linear(x, packed._replace(codes=moved)), gpu.linear(x, packed), 1e-6)


@pytest.mark.parametrize("group", [32, 128])
@pytest.mark.parametrize("shape", [(16, 64), (3, 33), (5, 199), (1, 1), (33, 256)], ids=str)
def test_nothing_is_read_past_the_end(group, shape):
    """A read beyond a matrix or its inputs would end this process: the interpreter reads the tensors where they are."""
    keep: list[mmap.mmap] = []
    packed, bias = random(*shape, group=group), at_the_end_of_a_page(normal(shape[0]), keep)
    ends = packed._replace(**{part: at_the_end_of_a_page(getattr(packed, part), keep) for part in ("codes", "scale", "block")})
    x = at_the_end_of_a_page(normal(5, shape[1]), keep)
    assert torch.equal(gpu.linear(x, ends, bias), gpu.linear(x.clone(), packed, bias))


def test_experts_read_nothing_past_the_end():
    keep: list[mmap.mmap] = []
    case = routed(5, (40, 33))

    def moved(part):
        if isinstance(part, Packed):
            return Packed(*(at_the_end_of_a_page(tensor, keep) for tensor in part[:3]), *part[3:])
        return at_the_end_of_a_page(part, keep)

    assert torch.equal(gpu.experts(*map(moved, case)), gpu.experts(*case))


# Errors


def test_an_expert_that_does_not_exist_is_an_error():
    x, index, weight, gate_up, down = routed(2, (32, 16))
    for wrong in (4, -1):
        index[1, 1] = wrong
        with pytest.raises(IndexError, match="no such expert"):
            gpu.experts(x, index, weight, gate_up, down)
        got = launch.experts(x, index, weight, gate_up, down)  # as on a GPU, where values are not looked at
        assert bool(got[1].isnan().all()) and bool(got[0].isfinite().all())


def test_sizes_that_disagree_are_refused():
    weight, x = random(8, 64), torch.randn(2, 128)
    first, second = random(3, 16, 64), random(3, 64, 8)
    index, share = torch.zeros(2, 1, dtype=torch.long), torch.ones(2, 1)
    wrong = [
        lambda: gpu.linear(x, weight),
        lambda: gpu.linear(x[:, :64], weight, torch.zeros(9)),
        lambda: gpu.experts(x, index, share, first, second),
        lambda: gpu.experts(x[:, :64], index[:1], share, first, second),
        lambda: gpu.experts(x[:, :64], index, share, first, first),
    ]
    for call in wrong:
        with pytest.raises(ValueError, match="do not agree"):
            call()


# In torch's machinery


def test_gradients_reach_the_inputs():
    packed, x = random(6, 40), normal(3, 40).requires_grad_()
    gpu.linear(x, packed).sum().backward()
    assert_close("gradient", x.grad, unpack(packed).sum(0).expand(3, -1))
    case = routed(3, (32, 16))
    case[0].requires_grad_()
    assert gpu.experts(*case).requires_grad


def test_shapes_without_values():
    packed, case = random(6, 64), routed(3, (32, 16))
    meta = Packed(*(part.to("meta") for part in packed[:3]), *packed[3:])
    assert gpu.linear(torch.empty(2, 3, 64, device="meta"), meta).shape == (2, 3, 6)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert gpu.linear(mode.from_tensor(normal(5, 64)), packed).shape == (5, 6)
        assert gpu.experts(mode.from_tensor(case[0]), *case[1:]).shape == (3, 32)


@pytest.mark.slow
def test_compiled_code_calls_the_kernels():
    packed, x = random(6, 64), normal(5, 64)
    compiled = torch.compile(lambda x: gpu.linear(x * 2, packed) + 1, fullgraph=True, backend="aot_eager")
    with torch.inference_mode():
        assert_close("compiled", compiled(x), gpu.linear(x * 2, packed) + 1)


def test_modules_take_the_kernels_on_a_gpu():
    module = Int4Linear(torch.nn.Linear(64, 6), 32)
    assert BACKENDS["gpu"] is gpu

    class OnGpu:
        device = torch.device("cuda")

    assert module.product("linear", OnGpu()) is gpu.linear and module.product("experts", OnGpu()) is gpu.experts


def test_without_triton_plain_torch_serves_and_says_so_once(monkeypatch):
    packed, x = random(6, 64), normal(5, 64)
    monkeypatch.setitem(sys.modules, "omnie.ops.int4_linear.gpu.launch", None)
    gpu.kernels.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="plain torch"):
            assert torch.equal(gpu.linear(x, packed), reference.linear(x, packed))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gpu.linear(x, packed)
    finally:
        gpu.kernels.cache_clear()


def test_importing_the_package_does_not_import_triton():
    folder = Path(gpu.__file__).parent
    for path in (folder / "__init__.py", *folder.parent.glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
        names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert not [name for name in names if name.startswith(("triton", "omnie.ops.int4_linear.gpu."))], path.name
