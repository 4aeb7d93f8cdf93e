"""The models for images and video as they were first published: another config.json, other names for the vision tower."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from omnie import checkpoint
from omnie.errors import CheckpointError
from omnie.foreign import READERS
from omnie.model.config import read

from .multimodal import CONVERSATIONS, IDS, Conversation, batch, our_logits, write

ORIGINAL = {
    "model_type": "ernie4_5_moe_vl", "architectures": ["Ernie4_5_VLMoeForConditionalGeneration"], "vocab_size": 96,
    "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "hidden_act": "silu", "max_position_embeddings": 131_072, "rms_norm_eps": 1e-5, "rope_theta": 500_000, "rope_3d": True,
    "freq_allocation": 2, "use_bias": False, "tie_word_embeddings": True, "im_patch_id": 90, "moe_intermediate_size": [16, 8],
    "moe_k": 2, "moe_num_experts": [6, 6], "moe_num_shared_experts": 2, "moe_layer_interval": 1,
    "moe_layer_start_index": [1, 1], "moe_layer_end_index": [2, 2], "spatial_conv_size": 2, "temporal_conv_size": 2,
    "vision_config": {"depth": 2, "embed_dim": 32, "hidden_size": 32, "hidden_act": "quick_gelu", "mlp_ratio": 1.5,
                      "num_heads": 2, "in_channels": 3, "patch_size": 4, "spatial_merge_size": 2},
}  # fmt: skip


def as_first_published(folder: Path, to: Path) -> None:
    """The weights of a newer folder, under the older names, with the older config.json."""
    fields = ORIGINAL | {f"{name}_token_id": token for name, token in IDS.items()}
    (to / "config.json").write_text(json.dumps(fields), "utf-8")
    weights = load_file(folder / "model.safetensors")
    renamed = {name.replace("model.vision_model.", "vision_model."): value for name, value in weights.items()}
    save_file(renamed, to / "model.safetensors")


def test_both_publications_are_the_same_model(tmp_path):
    newer, older = tmp_path / "newer", tmp_path / "older"
    older.mkdir()
    as_first_published(write("usual", newer), older)
    a, b = (read(folder / "config.json", READERS)[1] for folder in (newer, older))
    assert a == b


@pytest.mark.parametrize("what", ["text", "image", "video"])
def test_both_give_the_same_logits(tmp_path, what):
    newer, older = tmp_path / "newer", tmp_path / "older"
    older.mkdir()
    as_first_published(write("usual", newer), older)
    inputs = batch([Conversation(CONVERSATIONS[what])])
    a, b = (our_logits(checkpoint.load_model(folder), inputs) for folder in (newer, older))
    assert torch.equal(a, b)


@pytest.mark.parametrize(
    "changes",
    [{"moe_num_experts": [6, 4]}, {"moe_num_experts": 6}, {"moe_layer_start_index": []}, {"num_hidden_layers": 2**40},
     {"vision_config": {"mlp_ratio": 4, "hidden_size": -1}}, {"freq_allocation": "many"}],
    ids=["unequal", "one-number", "no-start", "endless", "negative", "no-number"],
)  # fmt: skip
def test_an_odd_config_is_an_error_that_says_what_is_allowed(tmp_path, changes):
    (tmp_path / "config.json").write_text(json.dumps(ORIGINAL | changes), "utf-8")
    with pytest.raises(CheckpointError, match="allowed"):
        read(tmp_path / "config.json", READERS)
