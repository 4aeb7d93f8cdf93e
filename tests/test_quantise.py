"""A model in 4 bits: near the original, small, streamed, whole or not there; what is not in 4 bits is refused by name."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from laws import assert_close, relative_rms
from omnie import checkpoint
from omnie.cli.main import main
from omnie.data.skills import example
from omnie.errors import CheckpointError, OmnieError, OptionError
from omnie.evaluation import calibration
from omnie.model import int4
from omnie.model.config import architecture, parameter_counts
from omnie.model.experts import Experts, Router
from omnie.model.omni import Omni
from omnie.processor import Encoder
from omnie.quantise import calibrate, convert
from omnie.quantise.convert import quantise

NANO = Path(__file__).parents[1] / "src" / "omnie" / "nano"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
LAYER = "model.language_model.layers.1."
QUERY, DOWN = LAYER + "self_attn.q_proj.weight", LAYER + "mlp.groups.text.experts.down_proj"
ROUTER, EMBEDDING = LAYER + "mlp.groups.text.gate.weight", "model.language_model.embed_tokens.weight"


@pytest.fixture(scope="module")
def model() -> Omni:
    torch.manual_seed(3)
    toy = Omni(architecture("toy"))
    torch.nn.init.normal_(toy.model.language_model.lookahead.proj.weight, std=0.1)
    for module in toy.modules():
        if isinstance(module, Router):
            module.bias.normal_(std=0.1)
    return toy.eval()


@pytest.fixture(scope="module")
def plain(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    checkpoint.save(model, Encoder.load(NANO), folder)
    return folder


@pytest.fixture(scope="module")
def packed(plain, tmp_path_factory) -> Path:
    quantise(plain, folder := tmp_path_factory.mktemp("packed") / "model")
    return folder


@pytest.fixture
def folder(packed, tmp_path) -> Path:
    """A 4-bit folder to damage."""
    shutil.copytree(packed, tmp_path / "model")
    return tmp_path / "model"


def inputs() -> dict[str, Tensor]:
    """A text, a picture of 4 x 4 patches and a short sound."""
    generator = torch.Generator().manual_seed(4)
    types = torch.tensor([[0] * 8 + [1] * 4 + [0] * 2 + [3] * 2 + [0] * 8])
    count = types.shape[1]
    return {
        "input_ids": torch.randint(32, 1024, (1, count), generator=generator),
        "position_ids": torch.arange(count).expand(3, 1, count).permute(1, 2, 0),
        "mm_token_type_ids": types,
        "pixel_values": torch.rand(16, 3 * 16 * 16, generator=generator),
        "image_grid_thw": torch.tensor([[1, 4, 4]]),
        "input_features": torch.randn(16, 128, generator=generator),
        "audio_lengths": torch.tensor([16]),
    }


def logits(model: Omni) -> Tensor:
    with torch.inference_mode():
        return model(**inputs()).logits.float()


# The model


def test_logits_are_near_those_of_the_original(model, packed):
    """Rounded to nearly 8 % of the weights' size; in a toy the errors of its few layers hardly add up."""
    again, _ = checkpoint.load(packed)
    assert_close("logits", logits(again), logits(model), 0.15)
    half, _ = checkpoint.load(packed, dtype=torch.bfloat16)
    assert_close("in bfloat16", logits(half), logits(again), 0.05)


def test_every_matrix_is_in_4_bits_and_nothing_else(model, packed):
    again, _ = checkpoint.load(packed)
    left = [n for n, m in again.named_modules() if isinstance(m, torch.nn.Linear | Experts)]
    assert left == ["model.visual.patch_embed.colour", "model.reading.image.place", "model.reading.image.source", "lm_head"]
    kept = {name: parameter for name, parameter in again.named_parameters() if parameter.dim() > 1}
    fine = (
        "gate.weight",
        "_convolution",
        "following.places",
        "lookahead.convolution",
        EMBEDDING,
        *(f"{name}.weight" for name in left),
    )
    assert all(any(part in name for part in fine) for name in kept)
    assert again.lm_head.weight is again.model.language_model.embed_tokens.weight
    stored = load_file(packed / WEIGHTS)
    for name, tensor in model.state_dict().items():
        if name in stored:
            assert torch.equal(stored[name], tensor), name


def test_memory_holds_the_packed_bytes(model, packed):
    again, _ = checkpoint.load(packed)
    size = sum(tensor.numel() * tensor.itemsize for tensor in again.state_dict().values())
    size -= again.lm_head.weight.numel() * again.lm_head.weight.itemsize
    assert size == sum(tensor.numel() * tensor.itemsize for tensor in load_file(packed / WEIGHTS).values())


def test_routers_blocks_and_codes_keep_their_types_when_the_model_is_cast(packed):
    again = checkpoint.load(packed)[0].bfloat16()
    state = again.state_dict()
    kinds = {part: {tensor.dtype for name, tensor in state.items() if name.endswith(f"_{part}")} for part in ("codes", "block")}
    assert kinds == {"codes": {torch.uint8}, "block": {torch.float32}} and state[ROUTER].dtype == torch.float32
    assert state[EMBEDDING].dtype == torch.bfloat16 and bool(logits(again).isfinite().all())


def test_shards_are_converted_one_by_one(plain, packed, tmp_path):
    shutil.copytree(plain, source := tmp_path / "source")
    shard(source)
    quantise(source, tmp_path / "target")
    assert sorted(p.name for p in (tmp_path / "target").glob("*.safetensors")) == ["a.safetensors", "b.safetensors"]
    again, whole = (checkpoint.load(path)[0].state_dict() for path in (tmp_path / "target", packed))
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_bytes_are_taken_for_a_table_and_not_for_a_matrix(plain, tmp_path):
    """An int8 folder stores tables of bytes as bytes; a matrix of them would be somebody else's codes."""
    shutil.copytree(plain, tmp_path / "bytes")
    weights, table = load_file(plain / WEIGHTS), "model.reading.image.things.names"
    weights[table] = torch.randint(0, 256, weights[table].shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    save_file(weights, tmp_path / "bytes" / WEIGHTS)
    quantise(tmp_path / "bytes", tmp_path / "packed")
    assert torch.equal(load_file(tmp_path / "packed" / WEIGHTS)[table].to(torch.uint8), weights[table])
    save_file(weights | {QUERY: weights[QUERY].to(torch.uint8)}, tmp_path / "bytes" / WEIGHTS)
    with pytest.raises(CheckpointError, match=f"does not fit: {QUERY} U8"):
        quantise(tmp_path / "bytes", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_int8_model_is_converted_too(model, tmp_path):
    checkpoint.save(model, Encoder.load(NANO), tmp_path / "int8", "int8")
    result = quantise(tmp_path / "int8", tmp_path / "int4")
    assert result["relative_error"] < 0.09
    assert_close("logits", logits(checkpoint.load(tmp_path / "int4")[0]), logits(model), 0.15)


@pytest.mark.parametrize("group", [64, 128])
def test_other_group_sizes_load(model, plain, tmp_path, group):
    quantise(plain, tmp_path / "new", group=group, rounding="plain")
    assert relative_rms(logits(checkpoint.load(tmp_path / "new")[0]), logits(model)) < 0.25


def test_a_4_bit_model_is_not_saved_nor_converted_again(packed, tmp_path):
    again, encoder = checkpoint.load(packed)
    with pytest.raises(OptionError, match="not saved"):
        checkpoint.save(again, encoder, tmp_path / "new")
    with pytest.raises(CheckpointError, match="in 4 bits already"):
        quantise(packed, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_calibration_brings_the_answers_nearer(model, plain, packed, tmp_path):
    arrays = {name: tensor.numpy() for name, tensor in inputs().items()}
    per_token = ("input_ids", "mm_token_type_ids", "position_ids")
    seen = [{name: value[0] if name in per_token else value for name, value in arrays.items()}]
    steps: list[str] = []
    result = quantise(plain, tmp_path / "new", calibration=lambda _: seen, progress=lambda name, *_: steps.append(name))
    assert result["rounding"] == "hessian" and steps[0] == "calibration, example 1"
    again, searched = (logits(checkpoint.load(path)[0]) for path in (tmp_path / "new", packed))
    assert relative_rms(again, logits(model)) < 0.8 * relative_rms(searched, logits(model))


def test_a_model_too_large_to_calibrate_is_refused(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "MOST", 1000)
    with pytest.raises(OptionError, match="too large to calibrate"):
        quantise(plain, tmp_path / "new", calibration=lambda _: [])
    assert list(tmp_path.iterdir()) == []


def test_the_command_calibrates_on_generated_examples(plain, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(calibration.skills, "draw", lambda split, index, seed: example("text.math", split, index, seed))
    with pytest.raises(SystemExit):
        main(["quantize", str(plain), str(tmp_path / "new"), "--calibrate", "2", "--json"])
    output = capsys.readouterr()
    assert json.loads(output.out)["rounding"] == "hessian" and "calibration, example 2" in output.err


# The report


def test_the_report_adds_up_to_the_files(model, plain, tmp_path):
    result = quantise(plain, tmp_path / "new")
    groups = result["groups"].values()
    assert result["file_bytes"] == (tmp_path / "new" / WEIGHTS).stat().st_size
    assert result["bytes"] + result["headers"] == result["file_bytes"] and result["bytes"] == sum(g["bytes"] for g in groups)
    buffers = sum(buffer.numel() for buffer in model.buffers())
    assert result["parameters"] == sum(g["parameters"] for g in groups) == parameter_counts(model)["total"] + buffers
    for name, group in result["groups"].items():
        assert group["bits_per_parameter"] == pytest.approx(8 * group["bytes"] / group["parameters"], abs=1e-3), name
    assert "other" not in result["groups"]
    modules = result["modules"]
    assert [sum(each[key] for each in modules.values()) for key in ("parameters", "bytes")] == [
        result["parameters"], result["bytes"],
    ]  # fmt: skip
    experts = modules[LAYER + "mlp.groups.text.experts"]
    assert experts["parameters"] == sum(
        p.numel() for n, p in model.named_parameters() if LAYER + "mlp.groups.text.experts." in n
    )
    assert experts["bits_per_parameter"] < 4.8 and modules[LAYER + "self_attn.q_proj"]["bits_per_parameter"] < 4.5


def test_the_report_says_which_groups_are_in_4_bits(plain, tmp_path):
    groups = quantise(plain, tmp_path / "new")["groups"]
    bits = {name: group["bits_per_parameter"] for name, group in groups.items()}
    assert all(4 < bits[name] < 4.5 for name in ("attention", "lookahead", "dense layers", "shared experts"))
    assert all(4 < bits[name] < 4.8 for name in ("text experts", "vision experts", "audio experts")), "16 inputs, half a group"
    assert all(bits[name] == 32 for name in ("embedding and head", "convolutions", "routers", "norms"))
    for name, group in groups.items():
        exact = name in ("embedding and head", "convolutions", "routers", "norms")
        assert group["relative_error"] is None if exact else 0.05 < group["relative_error"] < 0.09, name


def test_the_search_beats_plain_rounding_on_every_group(plain, tmp_path):
    plain_ones, searched = (quantise(plain, tmp_path / each, rounding=each)["groups"] for each in ("plain", "search"))
    errors = {name: (group["relative_error"], searched[name]["relative_error"]) for name, group in plain_ones.items()}
    assert all(after < before for before, after in errors.values() if before is not None), errors


# The command


def test_the_command_prints_the_table_or_json(plain, tmp_path, capsys):
    for arguments in ([], ["--json", "--force"]):
        with pytest.raises(SystemExit) as exit:
            main(["quantize", str(plain), str(tmp_path / "new"), "--rounding", "plain", *arguments])
        assert exit.value.code == 0
        output = capsys.readouterr()
        assert "100%" in output.err
        if arguments:
            result = json.loads(output.out)
            assert result["group_size"] == 32 and result["peak_memory_bytes"] > result["bytes"]
        else:
            assert [line.split("  ")[0] for line in output.out.splitlines()][-1] == "all" and "text experts" in output.out


MISTAKES = {
    "group": ({"group": 48}, "unknown group size: 48.*32, 64, 128"),
    "rounding": ({"rounding": "up"}, "unknown rounding: up.*search, plain"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_unknown_options_are_refused(plain, tmp_path, name):
    options, words = MISTAKES[name]
    with pytest.raises(OptionError, match=words):
        quantise(plain, tmp_path / "new", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_refused_without_force(plain, packed, tmp_path):
    target = tmp_path / "new"
    quantise(plain, target, rounding="plain")
    (target / "own.txt").write_text("mine")
    before = (target / WEIGHTS).read_bytes()
    with pytest.raises(OptionError, match="the target exists.*--force"):
        quantise(plain, target)
    assert (target / WEIGHTS).read_bytes() == before
    quantise(plain, target, force=True)
    assert (target / WEIGHTS).read_bytes() == (packed / WEIGHTS).read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["new"] and not (target / "own.txt").exists()


def test_force_does_not_replace_what_is_no_model(plain, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(OptionError, match="only a model folder"):
        quantise(plain, tmp_path / "home", force=True)
    assert (tmp_path / "home" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("place", ["model", "model/inside", "."])
def test_source_and_target_may_not_overlap(plain, tmp_path, place):
    shutil.copytree(plain, tmp_path / "model")
    with pytest.raises(OptionError, match="overlap"):
        quantise(tmp_path / "model", tmp_path / place, force=True)


def test_a_failure_leaves_nothing(plain, tmp_path):
    shutil.copytree(plain, source := tmp_path / "source")
    weights = load_file(source / WEIGHTS)
    weights[DOWN].view(-1)[5] = float("nan")
    save_file(weights, source / WEIGHTS)
    with pytest.raises(CheckpointError, match=f"not finite: {DOWN}"):
        quantise(source, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_killed_conversion_leaves_no_folder_that_loads(plain, tmp_path):
    code = (
        "import sys, os, signal\nfrom omnie.quantise.convert import quantise\n"
        "kill = lambda name, done, total: done > total / 2 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "quantise(sys.argv[1], sys.argv[2], rounding='plain', progress=kill)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(plain), str(tmp_path / "new")], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "new").exists()
    for left in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match="not a model folder"):
            checkpoint.load(left)


def test_a_full_disk_is_noticed_before_anything_is_written(plain, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OptionError, match="disk is too full"):
        quantise(plain, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from Linux's /proc")
def test_memory_holds_little_more_than_the_largest_tensor(tmp_path):
    """64 matrices of 1 MiB and one of 24 MiB: the peak grows by far less than the 90 MiB of all."""
    code = (
        "import sys, torch\nfrom pathlib import Path\nfrom omnie.ops.int4_linear import pack, shapes\n"
        "from omnie.quantise.files import places, read, write\n"
        "peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
        "sizes = {f'x{n}': ([512, 1024] if n else [12288, 1024], torch.bfloat16) for n in range(65)}\n"
        "write(Path(sys.argv[1]), sizes, (torch.ones(s, dtype=d) for s, d in sizes.values()))\n"
        "pack(torch.ones(256, 1024, dtype=torch.bfloat16))\nbefore = peak()\n"
        "[pack(read(place), 32, 'plain') for place in places(Path(sys.argv[1])).values()]\nprint(peak() - before)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.safetensors")], capture_output=True, text=True, env=environment
    )
    assert int(done.stdout) < 50 * 1024, done.stderr


# What is refused on load


def shard(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(weights)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, chosen in halves.items():
        save_file({name: weights[name] for name in chosen}, folder / file)
    index = {name: file for file, chosen in halves.items() for name in chosen}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))


def edit(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)

    return apply


def put(name: str, value: Callable[[Tensor], Tensor]) -> Callable[[Path], None]:
    return edit(lambda weights: weights.update({name: value(weights[name])}))


def in_floating_point(name: str, shape: list[int]) -> Callable[[Path], None]:
    """The matrix stands there as bfloat16, as a converter that overlooks it would leave it."""

    def change(weights: dict) -> None:
        for part in ("codes", "scale", "block"):
            weights.pop(f"{name}_{part}")
        weights[name] = torch.zeros(shape, dtype=torch.bfloat16)

    return edit(change)


def settings(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        values = json.loads((folder / "config.json").read_text())
        change(values)
        (folder / "config.json").write_text(json.dumps(values))

    return apply


DAMAGE = {
    "linear-in-bfloat16": (
        in_floating_point(QUERY, [64, 64]),
        [f"not in 4 bits: {QUERY} BF16 [64, 64]", f"{QUERY}_codes U8 [64, 32]"],
    ),
    "experts-in-bfloat16": (
        in_floating_point(DOWN, [8, 64, 16]),
        [f"not in 4 bits: {DOWN} BF16 [8, 64, 16]", f"{DOWN}_codes U8 [8, 64, 8]"],
    ),
    "codes-missing": (edit(lambda w: w.pop(QUERY + "_codes")), [f"{QUERY}_codes is missing", "U8 [64, 32]"]),
    "scale-missing": (edit(lambda w: w.pop(DOWN + "_scale")), [f"{DOWN}_scale is missing", "I8 [8, 64, 1]"]),
    "block-missing": (edit(lambda w: w.pop(QUERY + "_block")), [f"{QUERY}_block is missing", "F32 [2]"]),
    "scale-of-other-type": (
        put(QUERY + "_scale", lambda t: t.half()),
        [f"{QUERY}_scale F16 [64, 2]", f"{QUERY}_scale I8 [64, 2]"],
    ),
    "scale-of-other-shape": (put(DOWN + "_scale", lambda t: t[:, :5]), ["_scale I8 [8, 5, 1]", "_scale I8 [8, 64, 1]"]),
    "codes-of-other-shape": (put(QUERY + "_codes", lambda t: t[:, :9]), ["_codes U8 [64, 9]", "_codes U8 [64, 32]"]),
    "codes-of-other-type": (put(QUERY + "_codes", lambda t: t.to(torch.int8)), ["_codes I8 [64, 32]", "_codes U8 [64, 32]"]),
    "block-rounded": (put(QUERY + "_block", lambda t: t.bfloat16()), ["_block BF16 [2]", "_block F32 [2]"]),
    "block-not-finite": (put(QUERY + "_block", lambda t: t * float("inf")), ["not finite", f"{QUERY}_block"]),
    "router-in-integers": (put(ROUTER, lambda t: t.to(torch.int8)), [f"{ROUTER} I8 [8, 64]", "F32"]),
    "embedding-missing": (edit(lambda w: w.pop(EMBEDDING)), [f"missing: {EMBEDDING}"]),
    "tensor-too-many": (edit(lambda w: w.update(odd=torch.ones(2))), ["belongs to no part of the model: odd"]),
    "other-group-size": (settings(lambda c: c["quantization_config"].update(group_size=64)), ["not in 4 bits", "_scale"]),
    "unknown-group-size": (settings(lambda c: c["quantization_config"].update(group_size=48)), ["not usable", "32, 64, 128"]),
    "unknown-method": (settings(lambda c: c["quantization_config"].update(quant_method="gptq")), ["gptq", "omnie_int4"]),
    "three-bits": (settings(lambda c: c["quantization_config"].update(bits=3)), ["not usable", '"bits": 4']),
    "settings-that-are-a-word": (settings(lambda c: c.update(quantization_config="int4")), ["not usable"]),
    "settings-lost": (settings(lambda c: c.pop("quantization_config")), ["a tensor is missing", ".weight"]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_with_what_was_found_and_what_is_allowed(folder, name):
    damage, words = DAMAGE[name]
    damage(folder)
    with pytest.raises(OmnieError) as caught:
        checkpoint.load(folder)
    line = str(caught.value)
    assert "\n" not in line and [word for word in words if word not in line] == [], line


def test_the_rule_names_the_same_matrices_for_writing_and_for_loading():
    with torch.device("meta"):
        model = Omni(architecture("toy"))
        wanted = int4.targets(model)
        int4.install(model, 32)
    assert {matrix for matrix, *_ in int4.parts(model).values()} == wanted.keys()
