"""Published folders in 4 bits through `from_pretrained`: what `omnie quantize` writes, made while loading, or an error."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, GPTQConfig

import omnie
from laws import assert_close
from omnie.errors import CheckpointError, OptionError
from omnie.model import int4
from omnie.model.hub import Int4Config, OmnieForConditionalGeneration
from omnie.model.int4 import Int4Linear
from omnie.processor import OmnieProcessor
from omnie.quantise.convert import quantise

from .chats import picture
from .whole import GREEDY, VISION, WRITERS


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """`model_type` -> a folder of a small random model."""
    omnie.register()
    return {kind: write(tmp_path_factory.mktemp(kind)) for kind, write in WRITERS.items()}


FOUR = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float16, bnb_4bit_use_double_quant=True)
INT4 = {"quant_method": "omnie_int4", "bits": 4, "group_size": 32}


@pytest.fixture(scope="module", params=WRITERS)
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def written(folders, kind, tmp_path_factory) -> Path:
    """What `omnie quantize` makes of a folder."""
    quantise(folders[kind], folder := tmp_path_factory.mktemp("int4") / "model")
    return folder


def given(folder: Path) -> dict[str, torch.Tensor]:
    """A question, about a picture where the model takes one."""
    processor = OmnieProcessor.from_pretrained(folder)
    return dict(processor.question("What is it?", {"images": picture(40, 56)} if VISION in folder.name else {}))


def logits(model, folder: Path) -> torch.Tensor:
    with torch.inference_mode():
        return model(**given(folder)).logits.float()


@pytest.mark.parametrize("wanted", [BitsAndBytesConfig(load_in_4bit=True), Int4Config(), INT4, FOUR.to_dict()], ids=type)
def test_what_is_packed_while_loading_is_what_quantize_writes(folders, kind, written, wanted):
    on_the_way = OmnieForConditionalGeneration.from_pretrained(folders[kind], quantization_config=wanted)
    again = OmnieForConditionalGeneration.from_pretrained(written, quantization_config=wanted)
    got, want = on_the_way.state_dict(), again.state_dict()
    assert got.keys() == want.keys() and [name for name in want if not torch.equal(got[name], want[name])] == []
    assert on_the_way.is_quantized and on_the_way.config.quantization_config.to_dict() == INT4
    assert torch.equal(logits(on_the_way, folders[kind]), logits(again, folders[kind]))


def test_4_bits_in_memory_get_the_same_face(folders, kind, written):
    """`of` takes a model of either loader; group size and rounding are obeyed."""
    plain = omnie.load(written)[0]
    assert torch.equal(
        logits(OmnieForConditionalGeneration.of(plain), folders[kind]),
        logits(OmnieForConditionalGeneration.from_pretrained(written), folders[kind]),
    )
    coarse = {"quantization_config": Int4Config(group_size=64, rounding="plain"), "dtype": torch.bfloat16}
    model = OmnieForConditionalGeneration.from_pretrained(folders[kind], **coarse)
    assert {module.group for module in model.modules() if isinstance(module, Int4Linear)} == {64}
    routers = {tensor.dtype for name, tensor in model.state_dict().items() if ".gate." in name}
    assert model.dtype == torch.bfloat16 and routers <= {torch.float32}


def test_a_saved_model_in_4_bits_answers_the_same(folders, kind, tmp_path):
    model = OmnieForConditionalGeneration.from_pretrained(folders[kind], quantization_config=Int4Config())
    model.save_pretrained(tmp_path)
    OmnieProcessor.from_pretrained(folders[kind]).save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.generate(prompt="What?", **GREEDY) == model.generate(prompt="What?", **GREEDY)
    assert_close("logits", logits(again, folders[kind]), logits(model, folders[kind]))


REFUSED = {
    "8-bit": (BitsAndBytesConfig(load_in_8bit=True), "asks for no 4 bits: load_in_8bit=True.*load_in_4bit"),
    "skipped-modules": (BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=["lm_head"]), "llm_int8_skip_modules"),
    "other-method": (GPTQConfig(bits=4), "not usable.*gptq.*allowed: BitsAndBytesConfig"),
    "no-method": ({}, "not usable.*{}.*allowed: BitsAndBytesConfig"),
    "three-bits": (INT4 | {"bits": 3}, "not usable.*'bits': 3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_format_does_not_do_is_refused(folders, name):
    wanted, words = REFUSED[name]
    with pytest.raises(OptionError, match=words):
        OmnieForConditionalGeneration.from_pretrained(folders[VISION], quantization_config=wanted)


@pytest.mark.parametrize(
    "damage, words", [("lost", "missing: {}"), ("nan", "not finite: {}"), ("packed", "unknown type: {} U8")]
)
def test_a_matrix_that_cannot_be_packed_is_named(folders, tmp_path, damage, words):
    shutil.copytree(folders["ernie4_5_moe"], tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    name = next(name for name in weights if ".experts.3.down_proj" in name)
    tensor = weights.pop(name)
    if damage != "lost":
        weights[name] = torch.full_like(tensor, float("nan")) if damage == "nan" else tensor.to(torch.uint8)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=words.format(name)):
        OmnieForConditionalGeneration.from_pretrained(tmp_path, quantization_config=FOUR)


def test_a_folder_in_someone_elses_4_bits_is_refused(folders, tmp_path):
    shutil.copytree(folders["ernie4_5_moe"], tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"quantization_config": FOUR.to_dict()}, default=str))
    for options in ({}, {"quantization_config": FOUR}):
        with pytest.raises(CheckpointError, match="quantization_config is not usable.*omnie_int4"):
            OmnieForConditionalGeneration.from_pretrained(tmp_path, **options)


def test_a_matrix_that_was_not_packed_is_an_error(folders, monkeypatch):
    """Loading compares what it has with the plan, so a matrix that is left out cannot pass for a packed one."""
    targets = int4.targets
    monkeypatch.setattr("omnie.model.int4.files.targets", lambda model: dict(list(targets(model).items())[:-1]))
    with pytest.raises(CheckpointError, match=r"not in 4 bits: \S+ F32"):
        OmnieForConditionalGeneration.from_pretrained(folders["ernie4_5_moe"], quantization_config=FOUR)


def test_transformers_own_class_takes_no_4_bits_of_ours(folders):
    """Its loader would give packed matrices random values and go on; bitsandbytes, for which it asks, leaves out experts."""
    folder = folders["ernie4_5_moe"]
    with pytest.raises(OptionError, match="its own classes: Ernie4_5_Moe.*OmnieForConditionalGeneration.from_pretrained"):
        AutoModelForCausalLM.from_pretrained(folder, quantization_config=Int4Config())
