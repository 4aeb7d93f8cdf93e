"""A saved model is the model; what is damaged, missing or absurd is refused in one line before it costs memory."""

import json
import re
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from laws import assert_close
from omnie import checkpoint
from omnie.checkpoint.int8 import SCALE, as_bytes, dequantised, quantised
from omnie.errors import CheckpointError, OmnieError, OptionError
from omnie.model.config import architecture, parameter_counts
from omnie.model.experts import Router
from omnie.model.omni import Omni
from omnie.processor import Encoder

NANO = Path(__file__).parents[1] / "src" / "omnie" / "nano"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
NORM = "model.language_model.norm.weight"
DOWN = "model.language_model.layers.0.mlp.down_proj.weight"
QUERY = "model.language_model.layers.1.self_attn.q_proj.weight"
ROUTER = "model.language_model.layers.1.mlp.groups.text.gate.weight"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(NANO)


@pytest.fixture(scope="module")
def model() -> Omni:
    """A toy whose experts are wide enough for int8 groups, with weights and a routing bias of every size."""
    torch.manual_seed(1)
    config = architecture("toy")
    config.expert_groups = {name: group | {"width": 32} for name, group in config.expert_groups.items()}
    toy = Omni(config)
    for module in toy.modules():
        if isinstance(module, Router):
            module.bias.normal_(std=0.1)
    return toy.eval()


@pytest.fixture(scope="module")
def saved(model, encoder, tmp_path_factory) -> dict[str | None, Path]:
    folders: dict[str | None, Path] = {None: tmp_path_factory.mktemp("float"), "int8": tmp_path_factory.mktemp("int8")}
    for quantise, folder in folders.items():
        checkpoint.save(model, encoder, folder, quantise)
    return folders


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy to damage."""
    shutil.copytree(saved[None], tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def small(saved, tmp_path) -> Path:
    """A copy of the int8 folder to damage."""
    shutil.copytree(saved["int8"], tmp_path / "small")
    return tmp_path / "small"


def logits(model: Omni) -> Tensor:
    ids = torch.randint(32, 1024, (1, 20), generator=torch.Generator().manual_seed(4))
    where = torch.arange(20).expand(3, 1, 20).permute(1, 2, 0)
    with torch.inference_mode():
        return model(ids, where).logits.float()


def test_save_and_load_is_the_identity(model, encoder, saved):
    again, its_encoder = checkpoint.load(saved[None])
    before, after = model.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert again.config == model.config and its_encoder.settings == encoder.settings
    assert its_encoder.tokenizer.encode("Grüße, 12!") == encoder.tokenizer.encode("Grüße, 12!")
    assert torch.equal(logits(again), logits(model)) and not again.training


def test_a_loaded_model_is_tied_and_can_learn(model, saved):
    again, _ = checkpoint.load(saved["int8"])
    assert again.lm_head.weight is again.model.language_model.embed_tokens.weight
    assert parameter_counts(again) == parameter_counts(model)
    assert all(p.requires_grad and p.is_floating_point() and not p.is_meta for p in again.parameters())


def test_int8_weights_are_within_0_4_percent_of_their_group_s_largest(model, saved):
    """Half a step of 1/127, and the rounding of the scale to float16; below 1e-5 a float16 scale is coarse."""
    stored = load_file(saved["int8"] / WEIGHTS)
    again = checkpoint.load(saved["int8"])[0].state_dict()
    rounded = [name for name, tensor in stored.items() if tensor.dtype == torch.int8]
    assert (
        DOWN in rounded
        and stored[QUERY].dtype == torch.float16
        and len(rounded) > 10
        and not [name for name in rounded if "gate.weight" in name]
    )
    for name, want in model.state_dict().items():
        if name not in rounded and name != "lm_head.weight":
            assert torch.equal(again[name], want.half().float() if stored[name].dtype == torch.float16 else want), name
    for name in rounded:
        want = model.state_dict()[name].unflatten(-1, (-1, 32))
        error = (again[name].unflatten(-1, (-1, 32)) - want).abs()
        assert bool((error <= 0.004 * want.abs().amax(-1, keepdim=True) + 4e-6).all()), name


def test_tables_of_bytes_are_not_rounded(model, encoder, tmp_path):
    """The names of things fill groups of 32, as matrices do; the shipped model once lost them so."""
    names = model.model.reading["image"].things.names
    before = names.clone()
    names[:] = torch.randint(0, 256, names.shape).float()
    try:
        checkpoint.save(model, encoder, tmp_path, "int8")
        again = checkpoint.load(tmp_path)[0]
        assert all(torch.equal(dict(again.named_buffers())[name], buffer) for name, buffer in model.named_buffers())
        assert load_file(tmp_path / WEIGHTS)["model.reading.image.things.names"].dtype == torch.uint8
    finally:
        names[:] = before


def test_a_table_with_what_is_no_byte_stays_floating_point():
    whole = torch.arange(256.0).view(2, -1)
    assert as_bytes(whole).dtype == torch.uint8 and torch.equal(as_bytes(whole).float(), whole)
    for other in (whole + 0.5, whole - 1, whole + 1, whole.flatten()):
        assert as_bytes(other) is other


@pytest.mark.parametrize("experts", [0, 3])
def test_int8_that_is_fitted_to_its_inputs_errs_less_where_they_are_alike(experts):
    """Inputs that mostly share a few directions; what is stored has the form that plain rounding gives."""
    torch.manual_seed(3)
    lead = (experts,) if experts else ()
    weight = torch.randn(*lead, 48, 96)
    x = torch.randn(*lead, 400, 6) @ torch.randn(*lead, 6, 96) + 0.05 * torch.randn(*lead, 400, 96)
    plain, fitted = (quantised("a.weight", weight, gram) for gram in (None, x.mT @ x))
    assert {name: (part.shape, part.dtype) for name, part in plain.items()} == {
        name: (part.shape, part.dtype) for name, part in fitted.items()
    }

    def error(parts: dict[str, Tensor]) -> float:
        again = dequantised(parts["a.weight"], parts["a.weight" + SCALE], torch.float32)
        return float(((again - weight) @ x.mT).norm() / (weight @ x.mT).norm())

    assert error(fitted) < 0.5 * error(plain) < 0.01


def test_a_saved_model_may_be_fitted(model, encoder, saved, tmp_path):
    """Only matrices that have seen inputs differ from plain rounding, and by little."""
    gram = torch.eye(model.state_dict()[DOWN].shape[-1])
    gram += 0.9 * (1 - gram)
    checkpoint.save(model, encoder, tmp_path, "int8", {DOWN: gram})
    plain, fitted = load_file(saved["int8"] / WEIGHTS), load_file(tmp_path / WEIGHTS)
    assert {name for name in plain if not torch.equal(plain[name], fitted[name])} == {DOWN, DOWN + SCALE}
    assert_close("logits", logits(checkpoint.load(tmp_path)[0]), logits(model), 0.02)


def test_int8_answers_are_near_and_its_file_is_small(model, saved):
    assert_close("logits", logits(checkpoint.load(saved["int8"])[0]), logits(model), 0.02)
    size = {quantise: (folder / WEIGHTS).stat().st_size for quantise, folder in saved.items()}
    assert size["int8"] < 0.42 * size[None]


def test_int8_again_changes_nothing(encoder, saved, tmp_path):
    """What was once rounded is stored again as it is."""
    first, _ = checkpoint.load(saved["int8"])
    checkpoint.save(first, encoder, tmp_path, "int8")
    before, after = load_file(saved["int8"] / WEIGHTS), load_file(tmp_path / WEIGHTS)
    codes = [name for name in before if before[name].dtype == torch.int8]
    assert all(int((before[name].int() - after[name].int()).abs().max()) <= 1 for name in codes)


def test_zero_and_tiny_matrices_survive_int8():
    for value in (0.0, 1e-9, 1e-5):
        tensor = torch.full((64, 64), value)
        parts = checkpoint.quantised("x", tensor)
        again = checkpoint.dequantised(parts["x"], parts["x.scale"], torch.float32)
        assert bool(again.isfinite().all()) and float((again - tensor).abs().max()) <= 4e-6


@pytest.mark.parametrize("quantise", [None, "int8"])
def test_routers_are_float32_in_a_bfloat16_model(model, saved, quantise):
    again, _ = checkpoint.load(saved[quantise], dtype=torch.bfloat16)
    assert again.model.language_model.embed_tokens.weight.dtype == torch.bfloat16
    for before, after in zip(model.modules(), again.modules()):
        if isinstance(before, Router):
            stored = before.weight.to(torch.float16).float() if quantise else before.weight
            assert after.weight.dtype == torch.float32 and torch.equal(stored, after.weight)
            assert torch.equal(before.bias, after.bias)


def test_saving_replaces_and_leaves_nothing_behind(model, encoder, saved, tmp_path):
    checkpoint.save(model, encoder, tmp_path, "int8")
    checkpoint.save(model, encoder, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(file.name for file in saved[None].iterdir())
    assert torch.equal(logits(checkpoint.load(tmp_path)[0]), logits(model))


def test_a_save_that_fails_keeps_the_old_model(model, saved, folder):
    class Broken:
        def save(self, path: Path) -> None:
            raise OSError("disk full")

    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(model, Broken(), folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_an_unknown_quantisation_is_refused(model, encoder, tmp_path):
    with pytest.raises(OptionError, match="int8"):
        checkpoint.save(model, encoder, tmp_path / "new", "int3")
    assert not (tmp_path / "new").exists()


# Shards


def shard(folder: Path) -> None:
    """Cuts the weights into two files with an index, as large checkpoints come."""
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(weights)
    halves = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, chosen in halves.items():
        save_file({name: weights[name] for name in chosen}, folder / file)
    index = {name: file for file, chosen in halves.items() for name in chosen}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))


def test_shards_are_one_model(model, folder):
    shard(folder)
    assert torch.equal(logits(checkpoint.load(folder)[0]), logits(model))


def test_int8_shards_find_their_scales_in_other_files(saved, small):
    shard(small)
    assert torch.equal(logits(checkpoint.load(small)[0]), logits(checkpoint.load(saved["int8"])[0]))


# Damage


def edit(folder: Path, change: Callable[[dict], None]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def put(name: str, value: Callable[[Tensor], Tensor]) -> Callable[[Path], None]:
    return lambda folder: edit(folder, lambda weights: weights.update({name: value(weights[name])}))


def spoil(name: str, value: float) -> Callable[[Path], None]:
    """One number of a tensor."""

    def change(weights: dict) -> None:
        weights[name].view(-1)[7] = value

    return lambda folder: edit(folder, change)


def write(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(data)


def cut(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def only_a_pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def lost_shard(folder: Path) -> None:
    shard(folder)
    (folder / "b.safetensors").unlink()


def index_that(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        shard(folder)
        index = json.loads((folder / INDEX).read_text())
        (folder / INDEX).write_text(json.dumps(change(index["weight_map"])))

    return apply


HEADER = b'{"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
DAMAGE = {
    "no-weights": (lambda folder: (folder / WEIGHTS).unlink(), "weight file is missing"),
    "pickle": (only_a_pickle, "pickle"),
    "empty": (write(WEIGHTS, b""), "damaged"),
    "truncated": (cut, "damaged"),
    "noise": (write(WEIGHTS, b"\xff" * 4000), "damaged"),
    "header-that-lies": (write(WEIGHTS, struct.pack("<Q", 2**62) + HEADER), "damaged"),
    "data-missing": (write(WEIGHTS, struct.pack("<Q", len(HEADER)) + HEADER), "damaged"),
    "lost-shard": (lost_shard, "weight file is missing.*b.safetensors"),
    "index-not-json": (index_that(lambda _: "text"), "index.*damaged"),
    "index-of-numbers": (index_that(lambda m: {"weight_map": dict.fromkeys(m, 3)}), "weight file is missing"),
    "index-that-leaves-the-folder": (index_that(lambda m: {"weight_map": dict.fromkeys(m, "../a")}), "weight file is missing"),
    "tensor-missing": (lambda folder: edit(folder, lambda w: w.pop(NORM)), f"missing.*{NORM}"),
    "tensor-too-many": (lambda folder: edit(folder, lambda w: w.update(odd=torch.ones(2))), "belongs to no part.*odd"),
    "wrong-shape": (put(DOWN, lambda t: t[:-1].contiguous()), f"wrong shape.*{DOWN}"),
    "transposed": (put("model.visual.patch_embed.fine.weight", lambda t: t.T.contiguous()), "wrong shape"),
    "whole-numbers": (put(DOWN, lambda t: t.long()), "unknown type.*I64"),
    "bytes": (put(DOWN, lambda t: t.to(torch.uint8)), "unknown type.*U8"),
    "int8-without-scales": (put(DOWN, lambda t: t.to(torch.int8)), "no fitting scales"),
    "nan": (spoil(DOWN, float("nan")), f"not finite.*{DOWN}"),
    "infinite": (spoil(NORM, float("inf")), f"not finite.*{NORM}"),
    "nan-router": (spoil(ROUTER, float("nan")), f"not finite.*{ROUTER}"),
    "no-tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), ""),
    "tokenizer-not-json": (write("tokenizer.json", b"{"), ""),
    "no-settings": (lambda folder: (folder / "processor_config.json").unlink(), "settings"),
    "no-config": (lambda folder: (folder / "config.json").unlink(), "not a model folder"),
}


def refused(folder: Path) -> str:
    """The line that says why; quickly, and as one line."""
    begin = time.process_time()
    with pytest.raises(OmnieError) as caught:
        checkpoint.load(folder)
    assert time.process_time() - begin < 2 and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(folder, name):
    damage, words = DAMAGE[name]
    damage(folder)
    assert re.search(words, refused(folder))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scales_that_are_not_finite_are_refused(small, value):
    spoil(DOWN + ".scale", value)(small)
    assert f"not finite: {DOWN}" in refused(small)


def test_scales_of_the_wrong_shape_are_refused(small):
    put(DOWN + ".scale", lambda t: t[:, :1].contiguous())(small)
    assert "no fitting scales" in refused(small)


def test_a_missing_folder_names_the_built_in_models(tmp_path):
    with pytest.raises(CheckpointError, match="no such model"):
        checkpoint.load(tmp_path / "nowhere")


# Configurations

ABSURD = {
    "layers": {"num_hidden_layers": 10**9},
    "no-layer": {"num_hidden_layers": 0},
    "hidden": {"hidden_size": 10**15},
    "negative": {"intermediate_size": -4},
    "word": {"vocab_size": "many"},
    "fraction": {"hidden_size": 64.5},
    "truth": {"num_attention_heads": True},
    "nothing": {"head_dim": None},
    "heads-zero": {"num_key_value_heads": 0},
    "theta": {"rope_theta": float("inf")},
    "eps": {"norm_eps": -1.0},
    "sections": {"rope_sections": "3,3,2"},
    "groups-list": {"expert_groups": ["text"]},
    "group-fields": {"expert_groups": {"text": {"experts": 8}}},
    "group-giant": {"expert_groups": {"text": {"experts": 10**12, "width": 16, "top_k": 2}}},
    "vision-word": {"vision": "large"},
    "vision-unknown": {"vision": {"colour": 1}},
    "vision-layers": {"vision": {"num_hidden_layers": 10**9}},
    "vision-heads": {"vision": {"hidden_size": 32, "num_attention_heads": 5}},
    "vision-patch": {"vision": {"patch_size": 7}},
    "audio-block": {"audio": {"block_frames": 3}},
    "window": {"sliding_window": -1},
    "every": {"global_layer_every": 0},
    "other-width": {"hidden_size": 128},
    "other-vocabulary": {"vocab_size": 2048},
}


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_configurations_are_refused(folder, name):
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | ABSURD[name]))
    refused(folder)


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "[" * 100_000, '{"model_type": "bert"}', "\udcff"], ids=str.__len__)
def test_files_that_are_no_configuration_are_refused(folder, text):
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "config.json" in (line := refused(folder)) or "not an omnie checkpoint" in line
