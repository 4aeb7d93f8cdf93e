"""4 bits through Transformers: `BitsAndBytesConfig`, folders in 4 bits, saving; what is not in 4 bits is an error."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM, BitsAndBytesConfig, Trainer, TrainingArguments

import omnie
from laws import assert_close, relative_rms
from omnie import checkpoint
from omnie.errors import CheckpointError, OptionError
from omnie.model.experts import Experts
from omnie.model.hub import Int4Config
from omnie.model.int4 import Int4Experts, Int4Linear
from omnie.ops.int4_linear import pack
from omnie.quantise.convert import quantise

from .cases import CONVERSATIONS, conversation, toy

WEIGHTS = "model.safetensors"
FOUR = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_use_double_quant=True)
DOWN = "model.language_model.layers.1.mlp.groups.text.experts.down_proj"


@pytest.fixture(scope="module")
def plain(tmp_path_factory, toy_folder) -> Path:
    omnie.register()
    folder = tmp_path_factory.mktemp("plain")
    checkpoint.save(toy(), checkpoint.load(toy_folder)[1], folder)
    return folder


@pytest.fixture(scope="module")
def packed(plain, tmp_path_factory) -> Path:
    quantise(plain, folder := tmp_path_factory.mktemp("packed") / "model")
    return folder


@pytest.fixture(scope="module")
def model(plain):
    return AutoModelForCausalLM.from_pretrained(plain, quantization_config=FOUR)


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(**conversation(*CONVERSATIONS["all"])).logits.float()


def test_bits_and_bytes_config_packs_every_matrix_experts_included(model):
    kinds = {type(module) for module in model.modules()}
    assert {Int4Linear, Int4Experts} <= kinds and Experts not in kinds
    left = [name for name, module in model.named_modules() if type(module) is torch.nn.Linear]
    assert left == ["model.visual.patch_embed.colour", "model.reading.image.place", "model.reading.image.source", "lm_head"]
    assert model.is_quantized and model.config.quantization_config.to_dict()["quant_method"] == "omnie_int4"


def test_what_is_packed_while_loading_is_what_quantize_writes(model, packed):
    written = load_file(packed / WEIGHTS)
    state = model.state_dict()
    assert {name for name in written if not torch.equal(state[name], written[name])} == set()


@pytest.mark.parametrize("auto", [AutoModelForCausalLM, AutoModel])
def test_a_folder_in_4_bits_loads(model, packed, plain, auto):
    again = auto.from_pretrained(packed)
    on_the_way = auto.from_pretrained(plain, quantization_config=FOUR)
    got, want = again.state_dict(), on_the_way.state_dict()
    assert got.keys() == want.keys() and all(torch.equal(got[name], want[name]) for name in want)
    if auto is AutoModelForCausalLM:
        assert_close("logits", logits(again), logits(checkpoint.load(packed)[0]))
        assert again.lm_head.weight is again.get_input_embeddings().weight


def test_a_matrix_of_bytes_is_refused_and_a_table_of_them_is_not(plain, tmp_path):
    shutil.copytree(plain, tmp_path / "bytes")
    file, table, matrix = tmp_path / "bytes" / WEIGHTS, "reading.spelling", "language_model.layers.0.mlp.up_proj.weight"
    weights = load_file(file)
    save_file(weights | {f"model.{table}": weights[f"model.{table}"].to(torch.uint8)}, file, metadata={"format": "pt"})
    for kind in (AutoModelForCausalLM, AutoModel):
        state = kind.from_pretrained(tmp_path / "bytes").state_dict()
        found = state[next(name for name in state if name.endswith(table))]
        assert found.is_floating_point() and torch.equal(found, weights[f"model.{table}"])
    save_file(weights | {f"model.{matrix}": weights[f"model.{matrix}"].to(torch.uint8)}, file, metadata={"format": "pt"})
    for options in ({}, {"quantization_config": FOUR}):
        with pytest.raises(CheckpointError, match="a matrix is in 4 bits"):
            AutoModelForCausalLM.from_pretrained(tmp_path / "bytes", **options)


def test_int8_weights_become_4_bits_too(plain, tmp_path):
    checkpoint.save(*checkpoint.load(plain), tmp_path / "int8", "int8")
    quantise(tmp_path / "int8", tmp_path / "int4")
    written = load_file(tmp_path / "int4" / WEIGHTS)
    state = AutoModelForCausalLM.from_pretrained(tmp_path / "int8", quantization_config=FOUR).state_dict()
    assert {name for name in written if name.endswith("_codes") and not torch.equal(state[name], written[name])} == set()


def test_save_and_load_is_the_identity_and_our_loader_reads_it(model, tmp_path):
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert_close("logits", logits(again), logits(model))
    assert_close("our loader's", logits(checkpoint.load_model(tmp_path)), logits(model))


def test_the_compute_type_is_obeyed_and_not_stored(plain, packed, tmp_path):
    half = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
    for folder in (plain, packed):
        model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=half)
        types = {module.compute_dtype for module in model.modules() if isinstance(module, Int4Linear | Int4Experts)}
        assert types == {torch.bfloat16} and model.dtype == torch.float32
        exact = AutoModelForCausalLM.from_pretrained(folder, quantization_config=FOUR)
        assert 1e-4 < relative_rms(logits(model), logits(exact)) < 0.05
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["quantization_config"].keys() == {
        "quant_method", "bits", "group_size",
    }  # fmt: skip


def test_our_own_config_chooses_the_group_size(plain):
    coarse = {"quant_method": "omnie_int4", "bits": 4, "group_size": 64}
    model = AutoModelForCausalLM.from_pretrained(plain, quantization_config=coarse)
    assert {module.group for module in model.modules() if isinstance(module, Int4Experts)} == {64}
    fast = AutoModelForCausalLM.from_pretrained(plain, quantization_config=Int4Config(rounding="plain"))
    want = pack(load_file(plain / WEIGHTS)[DOWN], 32, "plain")
    assert torch.equal(fast.state_dict()[f"{DOWN}_codes"], want.codes)


def test_a_4_bit_model_answers_and_is_not_trained(model, tmp_path):
    pytest.importorskip("accelerate", reason="Trainer needs accelerate")
    prompt = torch.tensor([[40, 50, 60]])
    assert model.generate(input_ids=prompt, max_new_tokens=3, do_sample=False).shape[1] > 3
    with pytest.raises(ValueError, match="purely quantized"):
        Trainer(model, TrainingArguments(tmp_path, report_to=[], use_cpu=True))


REFUSED = {
    "8-bit": ({"load_in_8bit": True}, "asks for no 4 bits: load_in_8bit=True"),
    "skipped-modules": ({"load_in_4bit": True, "llm_int8_skip_modules": ["lm_head"]}, "llm_int8_skip_modules"),
    "offload": ({"load_in_4bit": True, "llm_int8_enable_fp32_cpu_offload": True}, "fp32_cpu_offload"),
    "storage": ({"load_in_4bit": True, "bnb_4bit_quant_storage": torch.bfloat16}, "bnb_4bit_quant_storage"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_format_does_not_do_is_refused(plain, name):
    options, words = REFUSED[name]
    with pytest.raises(OptionError, match=words):
        AutoModelForCausalLM.from_pretrained(plain, quantization_config=BitsAndBytesConfig(**options))


def without_codes(weights, config):
    for part in ("codes", "scale", "block"):
        weights.pop(f"{DOWN}_{part}")


def in_floating_point(weights, config):
    shape = [*weights[f"{DOWN}_codes"].shape[:-1], 64]
    without_codes(weights, config)
    weights[DOWN] = torch.zeros(shape)


def other_group(weights, config):
    config["quantization_config"]["group_size"] = 128


def settings_lost(weights, config):
    config.pop("quantization_config")


DAMAGE = {
    "missing": (without_codes, f"not in 4 bits: {DOWN}"),
    "in-floating-point": (in_floating_point, f"not in 4 bits: {DOWN} F32"),
    "other-group": (other_group, "not in 4 bits"),
    "settings-lost": (settings_lost, "lacks its quantization_config"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_folder_in_which_something_is_not_in_4_bits_does_not_load(packed, tmp_path, name):
    shutil.copytree(packed, folder := tmp_path / "model")
    damage, words = DAMAGE[name]
    weights, config = load_file(folder / WEIGHTS), json.loads((folder / "config.json").read_text())
    damage(weights, config)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=words):
        AutoModelForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize("name, words", [("lost", f"{DOWN} missing"), ("odd", "does not fit"), ("nan", f"finite: {DOWN}")])
def test_weights_that_cannot_be_packed_are_named(plain, tmp_path, name, words):
    shutil.copytree(plain, folder := tmp_path / "model")
    weights = load_file(folder / WEIGHTS)
    tensor = weights.pop(DOWN)
    if name != "lost":
        weights[DOWN] = tensor[:, :3].contiguous() if name == "odd" else torch.full_like(tensor, float("nan"))
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(CheckpointError, match=words):
        AutoModelForCausalLM.from_pretrained(folder, quantization_config=FOUR)
