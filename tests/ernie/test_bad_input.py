"""Wrong published folders: an error that names file, key, what was found and what is allowed, before memory is taken."""

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from omnie import checkpoint
from omnie.errors import CheckpointError, OmnieError

from .whole import write, write_text

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def change(folder: Path, section: str | None, **values: Any) -> None:
    """Changes keys of config.json."""
    fields = json.loads((folder / "config.json").read_text("utf-8"))
    (fields if section is None else fields[section]).update(values)
    (folder / "config.json").write_text(json.dumps(fields), "utf-8")


def change_weights(folder: Path, name: str, value: torch.Tensor | None) -> None:
    weights = load_file(folder / WEIGHTS)
    weights = {key: tensor for key, tensor in weights.items() if key != name} | ({} if value is None else {name: value})
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def refuses(folder: Path, *words: str, allowed: bool = True) -> None:
    """Loading fails at once with one line that holds the words."""
    started = time.process_time()
    with pytest.raises(OmnieError) as caught:
        checkpoint.load(folder)
    line = str(caught.value)
    assert "\n" not in line and all(word in line for word in words), line
    assert not allowed or "allowed: " in line, line
    assert time.process_time() - started < 20


@pytest.mark.parametrize("kind", ["llama", "ernie4_5_vl", None, 7, ["ernie4_5"]])
def test_another_architecture(folder, kind):
    change(folder, None, model_type=kind)
    refuses(folder, str(kind).split("'")[0], "ernie4_5_vl_moe")


ABSURD = {
    "layers": ("text_config", {"num_hidden_layers": 10**12, "mlp_layer_types": None}, "num_hidden_layers"),
    "hidden": ("text_config", {"hidden_size": 2**40}, "hidden_size"),
    "vocabulary": ("text_config", {"vocab_size": 2**31}, "vocab_size"),
    "experts": ("text_config", {"moe_num_experts": 10**9}, "experts"),
    "no-experts": ("text_config", {"moe_num_experts": 0}, "experts"),
    "more-chosen-than-there-are": ("text_config", {"moe_k": 7}, "choose"),
    "negative": ("text_config", {"intermediate_size": -1}, "intermediate_size"),
    "text": ("text_config", {"num_attention_heads": "4"}, "num_attention_heads"),
    "one-width": ("text_config", {"moe_intermediate_size": [16]}, "moe_intermediate_size"),
    "layer-types": ("text_config", {"mlp_layer_types": ["dense"]}, "mlp_layer_types"),
    "activation": ("text_config", {"hidden_act": "relu"}, "hidden_act"),
    "rope": ("text_config", {"rope_parameters": {"rope_type": "yarn"}}, "rotary"),
    "sections": ("text_config", {"rope_parameters": {"mrope_section": [1, 2, 3]}}, "sections"),
    "vision-depth": ("vision_config", {"depth": 10**9}, "num_hidden_layers"),
    "vision-heads": ("vision_config", {"num_heads": 3}, "heads"),
    "vision-merge": ("vision_config", {"spatial_merge_size": 3}, "spatial_merge_size"),
    "no-vision-object": (None, {"vision_config": 5}, "vision_config"),
    "token-out-of-range": (None, {"image_token_id": 10**6}, "image"),
}


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_settings(folder, name):
    section, values, key = ABSURD[name]
    change(folder, section, **values)
    refuses(folder, key, "config.json")


def test_sizes_that_are_large_but_not_absurd_are_held_against_the_files(folder):
    change(folder, "text_config", moe_num_experts=4096, intermediate_size=2**20)
    refuses(folder, "shape", WEIGHTS)


def test_a_config_that_is_no_json(folder):
    (folder / "config.json").write_text("{", "utf-8")
    refuses(folder, "config.json", allowed=False)


def test_a_missing_shard(whole, tmp_path):
    checkpoint.save_as_ernie(checkpoint.load_model(whole), tmp_path, shard_bytes=40_000)
    for file in whole.iterdir():
        if file.suffix in (".json", ".jinja", ".ttf") and file.name != "config.json":
            shutil.copyfile(file, tmp_path / file.name) if "model" not in file.name else None
    second = sorted(tmp_path.glob("*.safetensors"))[1]
    second.unlink()
    refuses(tmp_path, second.name, allowed=False)


def test_a_missing_tensor(folder):
    change_weights(folder, "model.layers.1.mlp.experts.7.up_proj.weight", None)
    refuses(folder, "model.layers.1.mlp.experts.7.up_proj.weight", "missing", "[8, 48]")


def test_a_tensor_of_another_shape(folder):
    change_weights(folder, "model.layers.1.mlp.gate.weight_1", torch.zeros(6, 48))
    refuses(folder, "model.layers.1.mlp.gate.weight_1", "[6, 48]", "[48, 6]", WEIGHTS)


def test_a_tensor_of_another_type(folder):
    change_weights(folder, "model.norm.weight", torch.ones(48, dtype=torch.int64))
    refuses(folder, "model.norm.weight", "I64", "BF16")


def test_a_tensor_too_many(folder):
    change_weights(folder, "model.layers.9.mlp.up_proj.weight", torch.zeros(2, 2))
    refuses(folder, "model.layers.9.mlp.up_proj.weight", allowed=False)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "name", ["model.norm.weight", "model.layers.1.mlp.experts.3.down_proj.weight", "model.vision_model.ln.bias"]
)
def test_values_that_are_not_finite(folder, name, value):
    tensor = load_file(folder / WEIGHTS)[name]
    tensor.view(-1)[3] = value
    change_weights(folder, name, tensor)
    refuses(folder, name, WEIGHTS, "not finite", allowed=False)


def test_a_pickle(folder):
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()
    refuses(folder, "pytorch_model.bin", "pickle", WEIGHTS, allowed=False)


@pytest.mark.parametrize("token", ["<|IMAGE_PLACEHOLDER|>", "<|VIDEO_END|>"])
def test_a_tokenizer_without_a_special_token(folder, token):
    file = folder / "tokenizer.json"
    file.write_text(file.read_text("utf-8").replace(token, token.lower()), "utf-8")
    refuses(folder, token, "id ", str(folder))


def test_a_tokenizer_whose_tokens_have_other_ids(folder):
    change(folder, None, image_token_id=10, video_start_token_id=6)
    refuses(folder, "<|IMAGE_PLACEHOLDER|>", "id 6", "id 10")


def test_a_tokenizer_larger_than_the_embedding(folder):
    change(folder, "text_config", vocab_size=380)
    refuses(folder, "tokenizer", "380")


MISSING = {
    "tokenizer.json": "tokenizer is missing",
    "chat_template.jinja": "chat template is missing",
    "config.json": "not a model folder",
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    refuses(folder, MISSING[name], str(folder))


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "processor_config.json", "generation_config.json"])
def test_a_damaged_settings_file(folder, name):
    (folder / name).write_text('{"a": ', "utf-8")
    refuses(folder, name, allowed=False)


def test_processor_settings_that_are_not_done(folder):
    fields = json.loads((folder / "processor_config.json").read_text("utf-8"))
    fields["image_processor"]["merge_size"] = 3
    (folder / "processor_config.json").write_text(json.dumps(fields), "utf-8")
    refuses(folder, "merge_size", "3")


def test_a_missing_font_is_named_when_a_clip_is_to_be_stamped(folder):
    from omnie.messages import user

    from .test_whole import a_clip

    (folder / "Roboto-Regular.ttf").unlink()
    with pytest.raises(CheckpointError, match="Roboto-Regular.ttf"):
        checkpoint.load_encoder(folder).encode([user(a_clip(), "What?")])


def test_text_models_are_checked_in_the_same_way(tmp_path):
    folder = write_text(tmp_path)
    change_weights(folder, "model.layers.1.mlp.gate.weight", torch.zeros(48, 4))
    refuses(folder, "model.layers.1.mlp.gate.weight", "[48, 4]", "[4, 48]")


def test_a_model_of_the_hub_that_is_not_here_says_what_to_fetch(monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_: Any, **__: Any) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.find("baidu/ERNIE-4.5-VL-28B-A3B-PT")
    line = str(caught.value)
    assert re.search(r"hf download baidu/ERNIE-4.5-VL-28B-A3B-PT --local-dir", line)
    assert all(word in line for word in ("config.json", "*.safetensors", "tokenizer.json", "--model"))


def test_a_model_of_the_hub_is_taken_from_the_cache(monkeypatch, whole):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **how: asked.append((name, how)) or str(whole))
    assert checkpoint.find("someone/some-model") == whole
    assert [(name, how["local_files_only"]) for name, how in asked] == [("someone/some-model", True)]
    assert not any(pattern.endswith((".bin", ".py")) for pattern in asked[0][1]["allow_patterns"])
