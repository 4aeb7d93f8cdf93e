"""`Architecture` as Transformers' config. The fields live in `model/config.py`."""

from __future__ import annotations

import dataclasses
from typing import Any

from transformers import PreTrainedConfig

from omnie.model.config import MEDIA, Architecture, architecture
from omnie.model.layers.convolution import CONVOLUTIONS


class OmnieConfig(PreTrainedConfig, Architecture):
    """`Architecture` and what Transformers wants to know besides. Every field has a default: those of `8b`.

    The token ids are those of `omnie.processor.tokens`.
    """

    model_type = "omnie"
    keys_to_ignore_at_inference = ["past_key_values"]

    pad_token_id: int | None = 0
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    image_token_id: int = 8
    video_token_id: int = 11
    audio_token_id: int = 14
    tie_word_embeddings: bool = True
    use_cache: bool = True

    number_of_conv_states = CONVOLUTIONS + 1
    """Of a layer, for Transformers' caches: its two convolutions', and what follows a trail."""

    @classmethod
    def of(cls, size: str | Architecture) -> OmnieConfig:
        """The config of a named size ("8b", "nano", "toy") or of an architecture."""
        fields = size if isinstance(size, Architecture) else architecture(size)
        ids = {f"{name}_token_id": token for name, token in (fields.placeholders or {}).items() if name in MEDIA}
        return cls(**{item.name: getattr(fields, item.name) for item in dataclasses.fields(Architecture)}, **ids)

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoConfig") -> None:
        """Nothing: a model's `save_pretrained` names the Auto classes."""

    @property
    def layer_types(self) -> list[str]:
        """What each layer sees and keeps, in the words of Transformers' caches: "hybrid" ones keep what a convolution spans."""
        plain = ("full_attention", "sliding_attention")
        full, sliding = plain if not self.reach else ("hybrid", "hybrid_sliding")
        return [sliding if self.is_sliding(i) else full for i in range(self.num_hidden_layers)]


def states(config: OmnieConfig, layer: int) -> int:
    """How many states a layer's convolutions keep; Transformers' caches make room for `number_of_conv_states`."""
    follows = config.trail_layer is not None and layer == config.trail_layer + 1
    return CONVOLUTIONS + follows
