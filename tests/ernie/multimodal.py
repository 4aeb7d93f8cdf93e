"""Small random checkpoints for images and video, written by Transformers' own class, and conversations for both sides."""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor
from transformers import Ernie4_5_VLMoeConfig, Ernie4_5_VLMoeForConditionalGeneration

from omnie.inputs import IMAGE, TEXT, VIDEO, image_tokens, video_tokens
from omnie.model.omni import Omni

from .published import LARGE, draw

PATCH = 4
IDS = {"image": 90, "image_start": 91, "image_end": 92, "video": 93, "video_start": 94, "video_end": 95}
TEXT_CONFIG = {
    "vocab_size": 96, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "moe_intermediate_size": [16, 8], "moe_k": 2, "moe_num_experts": 6,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0, "mrope_section": [2, 2, 2]},
}  # fmt: skip
VISION_CONFIG = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "patch_size": PATCH}
_GAPS = {"num_hidden_layers": 5, "mlp_layer_types": ["dense", "sparse", "dense", "sparse", "dense"]}
_THETA = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 4]}
CASES: dict[str, dict[str, dict[str, Any]]] = {
    "usual": {},
    "untied-biases-none-shared": {
        "text_config": {"use_bias": True, "moe_num_shared_experts": 0},
        "top": {"tie_word_embeddings": False},
    },
    "experts-in-some-layers": {"text_config": _GAPS},
    "other-numbers": {
        "text_config": {"rope_parameters": _THETA, "rms_norm_eps": 1e-2, "moe_norm_min": 0.6},
        "vision_config": {"num_heads": 4, "rms_norm_eps": 1e-2, "rope_parameters": {"rope_type": "axial", "rope_theta": 100.0}},
    },
}
"""Name -> how it differs from the published 28B, besides the sizes."""


def config(name: str) -> Ernie4_5_VLMoeConfig:
    changes = CASES[name]
    ids = {f"{key}_token_id": token for key, token in IDS.items()}
    text, vision = (
        base | changes.get(key, {}) for key, base in (("text_config", TEXT_CONFIG), ("vision_config", VISION_CONFIG))
    )
    return Ernie4_5_VLMoeConfig(text_config=text, vision_config=vision, **ids, **changes.get("top", {}))


def write(name: str, folder: Path, std: float = LARGE, **options: Any) -> Path:
    """A case's folder, whose matrices have the given scale."""
    torch.manual_seed(sum(map(ord, name)))
    draw(Ernie4_5_VLMoeForConditionalGeneration(config(name)), std).save_pretrained(folder, **options)
    return folder


def theirs(folder: Path, dtype: torch.dtype = torch.float32) -> Ernie4_5_VLMoeForConditionalGeneration:
    return Ernie4_5_VLMoeForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval()


Item = int | tuple
CONVERSATIONS: dict[str, list[Item]] = {
    "text": [17],
    "image": [4, ("image", 4, 6), 9],
    "images-of-many-sizes": [2, ("image", 2, 2), 3, ("image", 8, 2), ("image", 4, 10), 7],
    "video": [3, ("video", 4, 4, 6), 8],
    "long-video": [3, ("video", 12, 2, 2), 2],
    "image-and-videos": [("video", 2, 2, 4), 2, ("image", 4, 4), ("video", 6, 4, 2), 5],
}
"""Name -> numbers of text tokens, and media with their patch grids. The long video's last frames lie behind the text's end."""


class Conversation:
    """One row, with what either side takes."""

    def __init__(self, items: list[Item], seed: int = 0):
        self.random = torch.Generator().manual_seed(seed)
        self.ids: list[int] = []
        self.types: list[int] = []
        self.routes: list[int] = []
        self.media: dict[str, list[Tensor]] = {}
        for item in items:
            self._text(item) if isinstance(item, int) else self._media(*item)

    def _text(self, count: int) -> None:
        self.ids += torch.randint(0, 90, (count,), generator=self.random).tolist()
        self.types += [TEXT] * count
        self.routes += [TEXT] * count

    def _media(self, kind: str, *grid: int) -> None:
        modality = {"image": IMAGE, "video": VIDEO}[kind]
        grid = (1, *grid) if kind == "image" else grid
        count = image_tokens(grid) if kind == "image" else video_tokens(grid)
        self.ids += [IDS[f"{kind}_start"], *[IDS[kind]] * count, IDS[f"{kind}_end"]]
        self.types += [TEXT, *[modality] * count, TEXT]
        self.routes += [modality] * (count + 2)
        pixels, grids = ("pixel_values", "image_grid_thw") if kind == "image" else ("pixel_values_videos", "video_grid_thw")
        patches = torch.randn(grid[0] * grid[1] * grid[2], 3 * PATCH**2, generator=self.random)
        self.media.setdefault(pixels, []).append(patches)
        self.media.setdefault(grids, []).append(torch.tensor([grid]))


def batch(rows: list[Conversation], side: str = "left") -> dict[str, Tensor]:
    """Padded rows in the names that both sides understand."""
    length = max(len(row.ids) for row in rows)

    def padded(values: list[int], fill: int = 0) -> list[int]:
        padding = [fill] * (length - len(values))
        return padding + values if side == "left" else values + padding

    result = {
        "input_ids": torch.tensor([padded(row.ids) for row in rows]),
        "attention_mask": torch.tensor([padded([1] * len(row.ids)) for row in rows]),
        "mm_token_type_ids": torch.tensor([padded(row.types) for row in rows]),
        "moe_mm_token_type_ids": torch.tensor([padded(row.routes) for row in rows]),
    }
    names = dict.fromkeys(name for row in rows for name in row.media)
    return result | {name: torch.cat([part for row in rows for part in row.media.get(name, [])]) for name in names}


def positions(inputs: dict[str, Tensor]) -> Tensor:
    """Positions [B, T, 3] of a batch, by our rule."""
    from omnie.model.hub.positions import media_positions

    grids = [inputs.get(name) for name in ("image_grid_thw", "video_grid_thw")]
    return media_positions(inputs["mm_token_type_ids"], inputs["attention_mask"].bool(), grids)


@torch.inference_mode()
def our_logits(model: Omni, inputs: dict[str, Tensor], **kwargs: Any) -> Tensor:
    return model(**inputs, position_ids=positions(inputs), **kwargs).logits.float()


@torch.inference_mode()
def their_logits(model: Ernie4_5_VLMoeForConditionalGeneration, inputs: dict[str, Tensor]) -> Tensor:
    return model(**inputs, use_cache=False).logits.float()
