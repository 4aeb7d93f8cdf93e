"""What the body and the model with its head share: the attention interface, fresh weights, features of media, int8 on load."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from omnie import carried
from omnie.errors import OptionError
from omnie.inputs import AUDIO, IMAGE, VIDEO
from omnie.model.decoder import RmsNorm
from omnie.model.experts import Router
from omnie.model.hub.config import OmnieConfig
from omnie.model.hub.media import COUNTS
from omnie.model.hub.weights import Checkpoint, Int4Config, Weights, compute_in
from omnie.model.omni import initialise, present
from omnie.model.reading import read
from omnie.ops.attention import reference


class HubAttention:
    """The attention function that `config._attn_implementation` names, looked up anew at every call."""

    def __init__(self, config: OmnieConfig, window: int | None):
        self.config, self.window = config, window

    def __call__(self, module: nn.Module, *args: Any, is_causal: bool, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        name = self.config._attn_implementation
        if self.config.attention != "exact" and name != "flashmask" and not torch.is_grad_enabled():
            raise OptionError(
                "this attention implementation is exact, and the config asks for less",
                value=f"{name}, attention={self.config.attention}",
                allowed='attn_implementation="flashmask", or attention="exact"',
            )
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(name, reference)
        # Always causal: a mask may say no more than which tokens are padding, so its presence does not replace causality.
        return attend(module, *args, is_causal=True, sliding_window=self.window, **kwargs)


class OmniePreTrainedModel(PreTrainedModel):
    """What the body and the model with its head share."""

    config_class = OmnieConfig
    base_model_prefix = "model"
    input_modalities = ("text", "image", "video", "audio")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_attention_backend = True
    _no_split_modules = ["DecoderLayer", "Block"]
    _skip_keys_device_placement = ["past_key_values"]
    # "strict" means for bfloat16 too: rounded router scores would choose other experts.
    _keep_in_fp32_modules_strict = [r"\.gate\."]

    int8: ClassVar[tuple[str, Weights] | None] = None
    """Suffix of a scale's name, and (codes, scale, dtype) -> weights. The format is that of `checkpoint/`, floors above, so
    `omnie.register()` fills it in."""

    @classmethod
    def from_pretrained(cls, *args: Any, quantization_config: Any = None, **kwargs: Any) -> Any:
        """As in Transformers; a `BitsAndBytesConfig` asks for 4 bits in omnie's own format, which packs the experts too."""
        wanted = Int4Config.of(quantization_config)
        result = super().from_pretrained(*args, quantization_config=wanted, **kwargs)
        if isinstance(wanted, Int4Config):  # a folder in 4 bits brings its own config, which does not say how to compute
            compute_in(result[0] if isinstance(result, tuple) else result, wanted.compute_dtype)
        return result

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """As in Transformers; the folder carries the code that reads it without omnie (`trust_remote_code=True`)."""
        self.config.auto_map = carried.MODEL_MAP
        super().save_pretrained(save_directory, *args, **kwargs)
        if kwargs.get("is_main_process", True):
            carried.write(save_directory)

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoModel") -> None:
        """Nothing: `save_pretrained` names the Auto classes. Transformers' way would copy one file of the package."""

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.config.initializer_range)
        # Weights missing from a checkpoint begin as raw memory, so torch's own defaults are set as well.
        if isinstance(module, nn.LayerNorm | RmsNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.LayerNorm | Router):
            nn.init.zeros_(module.bias)

    @staticmethod
    def _load_pretrained_model(
        model: Any, state_dict: dict[str, Tensor] | None, checkpoint_files: list[str] | None, load_config: Any, *rest: Any
    ) -> Any:
        """Transformers' own step from files to modules, with int8 made floating point and matrices packed on the way."""
        stored = None
        if state_dict is None and checkpoint_files and checkpoint_files[0].endswith(".safetensors"):
            stored = Checkpoint(checkpoint_files, model.int8)
            state_dict = stored.state(model, load_config.hf_quantizer, load_config.dtype)
        result = PreTrainedModel._load_pretrained_model(model, state_dict, checkpoint_files, load_config, *rest)
        if stored is not None and stored.error is not None:
            raise stored.error  # Transformers collects what goes wrong while it reads, and would go on
        return result

    def get_input_embeddings(self) -> nn.Module:
        return self.base_model.language_model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.base_model.language_model.embed_tokens = value

    def get_image_features(self, pixel_values: Tensor, image_grid_thw: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Images as the decoder sees them: `pooler_output` holds one [T, D] each, `last_hidden_state` all patches [P, D]."""
        output = present(self.base_model.visual, IMAGE)(pixel_values, image_grid_thw)
        return BaseModelOutputWithPooling(output.patches, self._read(IMAGE, output.tokens, image_grid_thw))

    def get_video_features(self, pixel_values_videos: Tensor, video_grid_thw: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Clip pieces; see `get_image_features`."""
        output = present(self.base_model.visual, VIDEO)(pixel_values_videos, video_grid_thw)
        return BaseModelOutputWithPooling(output.patches, self._read(VIDEO, output.tokens, video_grid_thw))

    def get_audio_features(self, input_features: Tensor, audio_lengths: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Sounds as the decoder sees them: `pooler_output` holds one [T, D] each."""
        audio = present(self.base_model.audio, AUDIO)
        tokens = torch.cat(audio(input_features, audio_lengths))
        return BaseModelOutputWithPooling(pooler_output=self._read(AUDIO, tokens, audio_lengths))

    def _read(self, modality: int, tokens_TD: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        """The tokens of each item with what is read in them."""
        words = self.get_input_embeddings().weight.to(tokens_TD.device)
        counts = [COUNTS[modality](size) for size in sizes.tolist()]
        return read(self.base_model.reading, modality, tokens_TD, sizes, words).split(counts)
