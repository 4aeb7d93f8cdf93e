"""Whole published folders: random weights, with tokenizer, template and processors' files."""

from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    Ernie4_5_MoeConfig,
    Ernie4_5_VLMoeConfig,
    Ernie4_5_VLMoeForConditionalGeneration,
    Ernie4_5Config,
    PreTrainedConfig,
)

from .chats import VOCABULARY
from .chats import write as write_processor
from .multimodal import TEXT_CONFIG, VISION_CONFIG
from .published import LARGE, draw

IDS = {"image": 6, "image_start": 7, "image_end": 8, "video": 9, "video_start": 10, "video_end": 11}
CONTEXT = 512


def write(folder: Path) -> Path:
    """A model for images and video."""
    text = TEXT_CONFIG | {"vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT}
    ids = {f"{name}_token_id": token for name, token in IDS.items()}
    config = Ernie4_5_VLMoeConfig(text_config=text, vision_config=VISION_CONFIG, **ids)
    torch.manual_seed(11)
    draw(Ernie4_5_VLMoeForConditionalGeneration(config), LARGE).save_pretrained(folder)
    folder.mkdir(exist_ok=True)
    write_processor(folder)
    return folder


_TEXT = {
    "vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": CONTEXT,
}  # fmt: skip


def write_text(folder: Path) -> Path:
    """A model for text alone, with experts."""
    return _write_text(Ernie4_5_MoeConfig(**_TEXT, moe_num_experts=4, moe_intermediate_size=16, moe_k=2), folder)


def write_dense(folder: Path) -> Path:
    """A model for text alone, without experts."""
    return _write_text(Ernie4_5Config(**_TEXT, head_dim=16), folder)


def _write_text(config: PreTrainedConfig, folder: Path) -> Path:
    torch.manual_seed(12)
    draw(AutoModelForCausalLM.from_config(config), LARGE).save_pretrained(folder)
    folder.mkdir(exist_ok=True)
    write_processor(folder)
    (folder / "processor_config.json").unlink()
    return folder


WRITERS = {"ernie4_5": write_dense, "ernie4_5_moe": write_text, "ernie4_5_vl_moe": write}
"""`model_type` -> what writes a folder."""
TEXT, VISION = ("ernie4_5", "ernie4_5_moe"), "ernie4_5_vl_moe"
GREEDY = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
"""Options of `generate`: six tokens, whatever they are."""
