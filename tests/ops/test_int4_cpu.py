"""The C++ kernels of 4-bit products: the reference within their bounds, for any shape, memory, thread and process.

With an address checker (GCC's; it needs the library rebuilt, and again without it afterwards):

    .venv/bin/python src/omnie/ops/int4_linear/native/build.py -g -fsanitize=address,undefined -fno-sanitize-recover
    LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \\
        .venv/bin/python -m pytest tests/ops/test_int4_cpu.py -m "not slow"
"""

import ctypes
import mmap
import os
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from laws import assert_close, relative_rms
from omnie.model.int4 import Int4Linear
from omnie.ops.int4_linear import GROUPS, Packed, cpu, pack, reference, unpack
from omnie.ops.int4_linear.native import build

OFF = {"float": 2e-6, "int8": 0.013}
"""Relative RMS error against the reference that is allowed to a product of normally distributed activations."""
OFF_EXPERTS = {"float": 5e-6, "int8": 0.04}  # two roundings, few outputs; 0.012 with wide experts
SHAPES = [(1, 1), (5, 33), (17, 64), (40, 160), (7, 1999), (70, 4100), (530, 96)]
ROWS = (0, 1, 2, 3, 5, 8, 130, 513)
activations_case = pytest.mark.parametrize("kind", OFF)


@pytest.fixture(autouse=True, params=cpu.KERNELS)
def _kernels(request):
    if not cpu.choose(request.param):
        pytest.skip(f"the kernels are not compiled, or this processor has no {request.param}")
    yield
    cpu.choose()


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random(*shape: int, group: int = 32) -> Packed:
    return pack(normal(*shape) * 0.05, group, "plain")


def choices(rows: int, experts: int, top_k: int) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    return torch.rand(rows, experts, generator=generator).argsort(-1)[:, :top_k]


@activations_case
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_are_those_of_the_reference(kind, group, shape):
    packed, bias = random(*shape, group=group), normal(shape[0], seed=3)
    for rows in ROWS:
        x = normal(rows, shape[1], seed=rows)
        assert_close(f"{rows} rows", cpu.linear(x, packed, activations=kind), reference.linear(x, packed), OFF[kind])
        got, want = cpu.linear(x, packed, bias, activations=kind), reference.linear(x, packed, bias)
        assert_close(f"{rows} rows with bias", got, want, OFF[kind])


@activations_case
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("sizes", [(32, 16), (33, 65), (130, 70)], ids=str)
def test_experts_are_those_of_the_reference(kind, group, sizes):
    """Also with experts that nobody chose, all rows on one of them, and more tokens than a pass takes."""
    hidden, width = sizes
    gate_up, down = random(6, 2 * width, hidden, group=group), random(6, hidden, width, group=group)
    gate_up.block.mul_(10)
    for rows in ROWS:
        for index in (choices(rows, 5, 3), torch.full((rows, 1), 4)):
            x, weight = normal(rows, hidden, seed=rows), normal(rows, index.shape[1], seed=1).abs()
            want = reference.experts(x, index, weight, gate_up, down)
            got = cpu.experts(x, index, weight, gate_up, down, activations=kind)
            assert_close(f"{rows} rows", got, want, OFF_EXPERTS[kind])


@pytest.mark.parametrize("spread", [0, 2, 6])
def test_int8_activations_stay_within_their_bound(spread):
    """|y - exact y| <= 0.0223 |w| |x|, with outliers of any size; far less for normal activations."""
    packed, x = random(64, 512), normal(40, 512, seed=9)
    x = x.sign() * x.abs() ** (1 + spread)
    error = (cpu.linear(x, packed) - reference.linear(x, packed)).abs()
    weight = unpack(packed)
    assert bool((error <= cpu.BOUND * x.norm(dim=1)[:, None] * weight.norm(dim=1) * 1.001).all())
    if not spread:
        assert relative_rms(cpu.linear(x, packed), reference.linear(x, packed)) < 0.0075


@activations_case
def test_bfloat16_is_rounded_once(kind):
    packed, x = random(48, 200), normal(70, 200).bfloat16()
    for rows in (1, 3, 70):
        got, want = cpu.linear(x[:rows], packed, activations=kind), reference.linear(x[:rows].float(), packed)
        assert got.dtype == torch.bfloat16
        assert_close("bfloat16", got.float(), want, OFF[kind] + 0.003)
    gate_up, down, index = random(4, 32, 200), random(4, 200, 16), choices(70, 4, 2)
    weight = torch.full(index.shape, 0.5, dtype=torch.bfloat16)
    got = cpu.experts(x, index, weight, gate_up, down, activations=kind)
    want = reference.experts(x.float(), index, weight.float(), gate_up, down)
    assert got.dtype == torch.bfloat16
    assert_close("experts in bfloat16", got.float(), want, OFF_EXPERTS[kind] + 0.003)


@activations_case
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_stays_in_its_row(kind, value):
    packed, x = random(20, 96), normal(6, 96)
    clean = cpu.linear(x, packed, activations=kind)
    x[2, 40] = value
    got = cpu.linear(x, packed, activations=kind)
    assert not bool(got[2].isfinite().any())
    assert torch.equal(got[[0, 1, 3, 4, 5]], clean[[0, 1, 3, 4, 5]])


@pytest.mark.parametrize("value", [0.0, 1e-38, 1e-25, 1e30])
def test_tiny_and_huge_activations(value):
    packed, x = random(9, 64), normal(3, 64) * value
    got, want = cpu.linear(x, packed), reference.linear(x, packed)
    assert bool(got.isfinite().all())
    if value > 1e-30:
        assert float((got - want).double().norm() / want.double().norm()) < OFF["int8"]


@activations_case
def test_strides_leading_axes_and_other_types(kind):
    packed, wide = random(12, 64), normal(5, 7, 128)
    x = wide[..., 10:74]
    want = reference.linear(x, packed)
    assert_close("slice", cpu.linear(x, packed, activations=kind), want, OFF[kind])
    across = normal(64, 5).T
    assert_close("transposed", cpu.linear(across, packed, activations=kind), reference.linear(across, packed), OFF[kind])
    for dtype in (torch.float64, torch.float16):
        assert cpu.linear(x.to(dtype), packed, activations=kind).dtype == dtype


@activations_case
def test_memory_without_alignment(kind):
    """As a file that is mapped may hold them: codes and scales at odd addresses."""
    packed = random(33, 100)

    def moved(part: Tensor) -> Tensor:
        room = torch.empty(part.numel() + 3, dtype=part.dtype)
        return room[3:].view(part.shape).copy_(part)

    x = torch.empty(9 * 100 + 1)[1:].view(9, 100).copy_(normal(9, 100))
    for rows in (1, 9):
        got = cpu.linear(x[:rows], packed._replace(codes=moved(packed.codes), scale=moved(packed.scale)), activations=kind)
        assert torch.equal(got, cpu.linear(x[:rows].clone(), packed, activations=kind))


@activations_case
def test_an_expert_may_be_chosen_twice_by_a_token(kind):
    """Then few tokens are many rows for one expert."""
    gate_up, down = random(4, 64, 2100), random(4, 2100, 32)
    for tokens in (1, 2, 8):
        index, weight, x = torch.full((tokens, 9), 2), torch.rand(tokens, 9), normal(tokens, 2100)
        want = reference.experts(x, index, weight, gate_up, down)
        got = cpu.experts(x, index, weight, gate_up, down, activations=kind)
        assert_close(f"{tokens} tokens", got, want, OFF_EXPERTS[kind])


def test_results_do_not_depend_on_threads(threads):
    """Nor on other calls that run at the same time."""
    packed, gate_up, down = random(700, 2048), random(8, 256, 512), random(8, 512, 128)
    cases = [(normal(rows, 2048), normal(rows, 512), choices(rows, 8, 4)) for rows in (1, 5, 140)]

    def all_of(_=None) -> list[Tensor]:
        linear = [cpu.linear(x, packed) for x, _, _ in cases]
        return linear + [cpu.experts(x, index, torch.ones(index.shape), gate_up, down) for _, x, index in cases]

    threads(1)
    alone = all_of()
    threads(2)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found in [all_of(), *pool.map(all_of, range(4))]:
                assert all(torch.equal(a, b) for a, b in zip(found, alone))


def test_a_forked_child_goes_on(threads):
    threads(2)
    packed, x = random(1024, 2048), normal(4, 2048)
    want = cpu.linear(x, packed)
    child = os.fork()
    if child == 0:  # torch's own threads do not survive a fork, ours must
        os._exit(0 if bytes(cpu.linear(x, packed).numpy()) == bytes(want.numpy()) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert torch.equal(cpu.linear(x, packed), want)


def at_the_end_of_a_page(part: Tensor, keep: list) -> Tensor:
    """A copy whose last byte is followed by memory that must not be read."""
    size = part.numel() * part.element_size()
    room = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, room + mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(address + room), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    keep.append(memory)
    return torch.frombuffer(memory, dtype=part.dtype, count=part.numel(), offset=room - size).view(part.shape).copy_(part)


ENDS = [(16, 64), (3, 33), (17, 2048), (5, 1999), (9, 130), (1, 1), (33, 512)]


@activations_case
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("shape", ENDS, ids=str)
def test_nothing_is_read_past_the_end(kind, group, shape):
    """A read beyond a matrix or its inputs would end this process."""
    keep: list[mmap.mmap] = []
    packed, bias = random(*shape, group=group), at_the_end_of_a_page(normal(shape[0]), keep)
    ends = packed._replace(**{part: at_the_end_of_a_page(getattr(packed, part), keep) for part in ("codes", "scale", "block")})
    for dtype in (torch.float32, torch.bfloat16):
        for rows in (1, 2, 5):
            x = at_the_end_of_a_page(normal(rows, shape[1]).to(dtype), keep)
            want = cpu.linear(x.clone(), packed, bias, activations=kind)
            assert torch.equal(cpu.linear(x, ends, bias, activations=kind), want)


def test_an_expert_that_does_not_exist_is_an_error():
    gate_up, down = random(4, 8, 32), random(4, 32, 4)
    for wrong in (4, -1):
        with pytest.raises(IndexError):
            cpu.experts(normal(2, 32), torch.tensor([[0, 1], [2, wrong]]), torch.ones(2, 2), gate_up, down)


# In torch's machinery


def test_shapes_without_values():
    packed, (gate_up, down), index = random(6, 64), (random(4, 8, 32), random(4, 32, 4)), choices(3, 4, 2)
    meta = Packed(*(part.to("meta") for part in packed[:3]), *packed[3:])
    assert cpu.linear(torch.empty(2, 3, 64, device="meta"), meta).shape == (2, 3, 6)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert cpu.linear(mode.from_tensor(normal(5, 64)), packed).shape == (5, 6)
        assert cpu.experts(mode.from_tensor(normal(3, 32)), index, torch.ones(3, 2), gate_up, down).shape == (3, 32)


@pytest.mark.slow
def test_compiled_code_calls_the_kernels():
    packed, x = random(6, 64), normal(5, 64)
    compiled = torch.compile(lambda x: cpu.linear(x * 2, packed) + 1, fullgraph=True, backend="aot_eager")
    with torch.inference_mode():
        assert_close("compiled", compiled(x), cpu.linear(x * 2, packed) + 1)


def test_modules_take_the_kernels_except_for_gradients():
    module, x = Int4Linear(torch.nn.Linear(64, 6), 32), normal(5, 64)
    module.fill("weight", normal(6, 64) * 0.1)
    packed, bias = module.packed("weight"), module.bias
    with torch.inference_mode():
        assert torch.equal(module(x), cpu.linear(x, packed, bias))
        module.activations = "float"
        assert torch.equal(module(x), cpu.linear(x, packed, bias, activations="float"))
    wanted = x.requires_grad_()
    assert torch.equal(module(wanted), reference.linear(wanted, packed, bias))
    module(wanted).sum().backward()
    assert_close("gradient", wanted.grad, unpack(packed).sum(0).expand(5, -1))


# The library


@pytest.fixture
def reload(monkeypatch, tmp_path):
    """Loads another library; the old one comes back afterwards."""

    def load(name: str):
        monkeypatch.setattr(build, "LIBRARY", tmp_path / name)
        cpu.library.cache_clear()
        return cpu.library

    yield load
    cpu.library.cache_clear()


def test_without_a_library_plain_torch_serves_and_says_so_once(reload):
    load, packed, x = reload("none.so"), random(6, 64), normal(5, 64)
    with pytest.warns(RuntimeWarning, match="plain torch.*not been compiled"):
        assert torch.equal(cpu.linear(x, packed), reference.linear(x, packed))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cpu.linear(x, packed)
    assert load() is None


@pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")
def test_a_library_of_another_version_is_refused(reload, tmp_path):
    source = tmp_path / "old.cpp"
    source.write_text('extern "C" int omnie_int4_version() { return 0; }\n')
    assert build.build(tmp_path / "old.so", source=source) is None
    with pytest.warns(RuntimeWarning, match="of version 0"):
        assert reload("old.so")() is None


def test_a_file_that_is_no_library_is_refused(reload, tmp_path):
    (tmp_path / "broken.so").write_bytes(b"no library")
    with pytest.warns(RuntimeWarning, match="plain torch"):
        assert reload("broken.so")() is None


def test_building_without_a_compiler_says_why(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "no C++ compiler" in (build.build(tmp_path / "x.so") or "")
    monkeypatch.undo()
    monkeypatch.setenv("CXX", sys.executable)
    assert "failed" in (build.build(tmp_path / "x.so") or "") and list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(build.compiler() is None, reason="no C++ compiler")
def test_building_needs_the_standard_library_alone(tmp_path):
    code = f"import runpy, pathlib; print(runpy.run_path({build.__file__!r})['build'](pathlib.Path({str(tmp_path)!r}, 'x.so')))"
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None\n", "") and (tmp_path / "x.so").exists()


def test_sizes_that_disagree_are_refused_before_anything_is_written():
    weight, x = pack(torch.randn(8, 64), 32), torch.randn(2, 128)
    first, second = pack(torch.randn(3, 16, 64), 32), pack(torch.randn(3, 64, 8), 32)
    index, share = torch.zeros(2, 1, dtype=torch.long), torch.ones(2, 1)
    wrong = [
        lambda: cpu.linear(x, weight),
        lambda: cpu.linear(x[:, :64], weight, torch.zeros(9)),
        lambda: cpu.experts(x, index, share, first, second),
        lambda: cpu.experts(x[:, :64], index[:1], share, first, second),
        lambda: cpu.experts(x[:, :64], index, share, first, first),
    ]
    for call in wrong:
        with pytest.raises((ValueError, RuntimeError)):
            call()
