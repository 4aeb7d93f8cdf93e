"""The Transformers face of the model: `from_pretrained`, `generate`, `Trainer`, the Auto classes. No layer is defined here.

The modules and the names of the weights are those of `omni.py`; this file adds what Transformers asks of a model: a config, the
attention interface, its cache and masks, positions where the caller gives none, and a `ModelOutput`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    DynamicCache,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import Cache as HubCache
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from omnie.errors import InputError, OptionError
from omnie.inputs import AUDIO, IMAGE, VIDEO, audio_tokens, image_tokens, positions, video_tokens
from omnie.model.audio import AudioEncoder
from omnie.model.config import Architecture, architecture
from omnie.model.decoder import Decoder, DecoderLayer, RmsNorm
from omnie.model.experts import Router, RouterTrace, TokenGroups
from omnie.model.omni import Omni, initialise, place
from omnie.model.vision import VisionEncoder
from omnie.ops.attention import reference
from omnie.ops.attention.segments import SegmentAttention

MEDIA = {
    IMAGE: ("pixel_values", "image_grid_thw"),
    VIDEO: ("pixel_values_videos", "video_grid_thw"),
    AUDIO: ("input_features", "audio_lengths"),
}
"""Modality -> its features and the sizes of its items, in the names of `omnie/inputs.py`."""
MEDIA_NAMES = tuple(name for names in MEDIA.values() for name in names)


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

    @classmethod
    def of(cls, size: str | Architecture) -> OmnieConfig:
        """The config of a named size ("8b", "nano", "toy") or of an architecture."""
        fields = size if isinstance(size, Architecture) else architecture(size)
        return cls(**{item.name: getattr(fields, item.name) for item in dataclasses.fields(Architecture)})

    @property
    def layer_types(self) -> list[str]:
        """What each layer sees, in the words of Transformers' caches."""
        return ["sliding_attention" if self.is_sliding(i) else "full_attention" for i in range(self.num_hidden_layers)]


class HubAttention:
    """The attention function that `config._attn_implementation` names, looked up anew at every call."""

    def __init__(self, config: OmnieConfig, window: int | None):
        self.config, self.window = config, window

    def __call__(self, module: nn.Module, *args: Any, is_causal: bool, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, reference)
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
    _keep_in_fp32_modules_strict = ["gate"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.config.initializer_range)
        # Weights missing from a checkpoint begin as raw memory, so torch's own defaults are set as well.
        if isinstance(module, nn.LayerNorm | RmsNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.LayerNorm | Router):
            nn.init.zeros_(module.bias)

    def get_input_embeddings(self) -> nn.Module:
        return self.base_model.language_model.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.base_model.language_model.embed_tokens = value

    def get_image_features(self, pixel_values: Tensor, image_grid_thw: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Images as the decoder sees them: `pooler_output` holds one [T, D] each, `last_hidden_state` all patches [P, D]."""
        output = self.base_model.visual(pixel_values, image_grid_thw)
        counts = [image_tokens(grid) for grid in image_grid_thw.tolist()]
        return BaseModelOutputWithPooling(output.patches, output.tokens.split(counts))

    def get_video_features(self, pixel_values_videos: Tensor, video_grid_thw: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Clip pieces; see `get_image_features`."""
        output = self.base_model.visual(pixel_values_videos, video_grid_thw)
        counts = [video_tokens(grid) for grid in video_grid_thw.tolist()]
        return BaseModelOutputWithPooling(output.patches, output.tokens.split(counts))

    def get_audio_features(self, input_features: Tensor, audio_lengths: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Sounds as the decoder sees them: `pooler_output` holds one [T, D] each."""
        return BaseModelOutputWithPooling(pooler_output=tuple(self.base_model.audio(input_features, audio_lengths)))


class OmnieModel(OmniePreTrainedModel):
    """Everything but the output head, as `omni.OmniBody`."""

    _can_record_outputs = {"hidden_states": DecoderLayer}

    def __init__(self, config: OmnieConfig):
        super().__init__(config)
        config.check()
        self.visual = VisionEncoder(config.vision_architecture, config.hidden_size)
        self.audio = AudioEncoder(config.audio_architecture, config.hidden_size)
        self.language_model = Decoder(config)
        for layer in self.language_model.layers:
            layer.self_attn.attend = HubAttention(config, config.sliding_window if layer.is_sliding else None)
        self.post_init()

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: HubCache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        mm_token_type_ids: Tensor | None = None,
        segment_ids: Tensor | None = None,
        trace: RouterTrace | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Media are embedded and placed, then the decoder runs.

        Args:
            attention_mask: [B, past + T], or what the attention implementation takes.
            position_ids: [B, T, 3]; [B, T] and [3, B, T] are understood too. Absent: computed.
            mm_token_type_ids: Absent: read off the placeholders when media are given, else all text.
            segment_ids: Packed rows; excludes a cache and an attention mask.
            kwargs: The media tensors of `omnie/inputs.py`; the rest is passed on to attention.
        """
        if kwargs.get("output_attentions"):
            raise OptionError("attention weights are not returned", value="output_attentions=True")
        media = {name: kwargs.pop(name) for name in MEDIA_NAMES if name in kwargs}
        types = mm_token_type_ids if mm_token_type_ids is not None else self.token_types(input_ids, media)
        x = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        x = self._with_media(x, types, media)
        cache = self._cache(past_key_values, use_cache)
        if position_ids is None:
            position_ids = self.positions(x.shape[:2], types, attention_mask, cache, media)
        position_ids = three_axes(position_ids.to(x.device), x.shape[:2])
        if cache is not None:
            remember(cache, position_ids, attention_mask)
        masks, attend = self._masks(x, attention_mask, segment_ids, cache)
        tokens = TokenGroups.of(types, list(self.config.expert_groups))
        hidden = self.language_model(x, position_ids, tokens, masks, cache, trace, attend=attend, **kwargs)
        return BaseModelOutputWithPast(last_hidden_state=hidden, past_key_values=cache)

    def token_types(self, input_ids: Tensor | None, media: dict[str, Tensor | None]) -> Tensor | None:
        """Modality of each token by its placeholder, [B, T]; None (all text) without media, whatever the ids are."""
        if input_ids is None or all(value is None for value in media.values()):
            return None
        config = self.config
        ids = {IMAGE: config.image_token_id, VIDEO: config.video_token_id, AUDIO: config.audio_token_id}
        return sum((input_ids == token) * modality for modality, token in ids.items())

    def positions(
        self,
        shape: Sequence[int],
        types: Tensor | None,
        attention_mask: Tensor | None,
        cache: HubCache | None,
        media: dict[str, Tensor | None],
    ) -> Tensor:
        """Positions [B, T, 3] of new tokens that follow those in the cache; padding takes none."""
        past = int(cache.get_seq_length()) if cache is not None else 0
        real = torch.ones(shape[0], past + shape[1], dtype=torch.bool, device=self.device)
        if attention_mask is not None and attention_mask.ndim == 2:
            real = attention_mask.bool()
        start_B = real[:, :past].sum(1) + getattr(cache, OFFSET, 0)
        new = real[:, past:]
        grids = [media.get(name) for name in ("image_grid_thw", "video_grid_thw")]
        if types is None or all(grid is None for grid in grids):
            relative = (new.cumsum(1) - 1)[..., None].expand(-1, -1, 3)
        else:
            relative = media_positions(types, new, grids)
        return torch.where(new[..., None], relative + start_B[:, None, None], 0)

    def _with_media(self, x: Tensor, types: Tensor | None, media: dict[str, Tensor | None]) -> Tensor:
        features = {IMAGE: self.get_image_features, VIDEO: self.get_video_features, AUDIO: self.get_audio_features}
        for modality, (values, sizes) in MEDIA.items():
            if media.get(values) is not None:
                items = features[modality](media[values], media.get(sizes)).pooler_output
                x = place(x, types, modality, torch.cat(items))
        return x

    def _cache(self, cache: HubCache | None, use_cache: bool | None) -> HubCache | None:
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if self.training and self.language_model.gradient_checkpointing and (use_cache or cache is not None):
            raise OptionError("a cache cannot be filled while activations are recomputed", hint="pass use_cache=False")
        return DynamicCache(config=self.config) if use_cache and cache is None else cache

    def _masks(
        self, x: Tensor, attention_mask: Any, segment_ids: Tensor | None, cache: HubCache | None
    ) -> tuple[dict[bool, Any], SegmentAttention | None]:
        """What the global (False) and the sliding-window layers (True) attend to, and the attention of packed rows."""
        if segment_ids is not None:
            if cache is not None or attention_mask is not None or self.config.sliding_window is not None:
                raise OptionError("packed rows take no cache, attention mask or sliding window", hint="pass use_cache=False")
            return {False: None}, SegmentAttention.of(segment_ids)
        if isinstance(attention_mask, dict):  # made by `generate` for a compiled cache
            return {False: attention_mask["full_attention"], True: attention_mask.get("sliding_attention")}, None
        arguments = (self.config, x, attention_mask, cache)
        masks = {False: create_causal_mask(*arguments)}
        if self.config.sliding_window is not None:
            masks[True] = create_sliding_window_causal_mask(*arguments)
        return masks, None


OFFSET = "omnie_position_offset"
"""Attribute of a cache: [B], how far the next position differs from the number of real tokens before it.

A picture takes fewer positions than tokens. The difference belongs to the sequence, so the cache carries it, not the model."""


def remember(cache: HubCache, position_ids: Tensor, attention_mask: Tensor | None) -> None:
    """Notes on the cache where positions go on after these; called before the keys are appended."""
    batch, length = position_ids.shape[:2]
    end = int(cache.get_seq_length()) + length
    padded = attention_mask is not None and not isinstance(attention_mask, dict) and attention_mask.ndim == 2
    count_B = attention_mask[:, :end].sum(1) if padded else position_ids.new_full((batch,), end)
    if attention_mask is None or padded:
        setattr(cache, OFFSET, position_ids.amax((1, 2)) + 1 - count_B)


def media_positions(types_BT: Tensor, real_BT: Tensor, grids: Sequence[Tensor | None]) -> Tensor:
    """`inputs.positions` of the real tokens of each row; 0 at padding."""
    # One iterator for all rows: items stand one after the other, whichever row they belong to.
    images, videos = (iter([] if grid is None else grid.tolist()) for grid in grids)
    result = torch.zeros(*types_BT.shape, 3, dtype=torch.long)
    try:
        for row, types, real in zip(result, types_BT.cpu(), real_BT.cpu(), strict=True):
            row[real] = torch.from_numpy(positions(types[real].numpy(), images, videos))
    except (StopIteration, ValueError) as error:
        raise InputError(
            "media placeholders and patch grids disagree", hint="encode the conversation with the model's own processor"
        ) from error
    return result.to(types_BT.device)


def three_axes(position_ids: Tensor, shape: Sequence[int]) -> Tensor:
    """Positions as [B, T, 3] from [B, T, 3], from [3, B, T] or from plain [B, T]."""
    shapes = {(*shape, 3): lambda p: p, (3, *shape): lambda p: p.permute(1, 2, 0), tuple(shape): lambda p: p[..., None]}
    for known, turned in shapes.items():
        if tuple(position_ids.shape) in (known, (1, *known[1:])):
            return turned(position_ids).expand(*shape, 3)
    raise InputError("position_ids have another shape", value=list(position_ids.shape), allowed=f"{[*shape, 3]}")


class OmnieForConditionalGeneration(OmniePreTrainedModel, GenerationMixin):
    """The whole model, with the weights' names of `omni.Omni`."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: OmnieConfig):
        super().__init__(config)
        self.model = OmnieModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    @classmethod
    def of(cls, omni: Omni) -> OmnieForConditionalGeneration:
        """The face of a model that is already in memory; the weights are shared, not copied."""
        with torch.device("meta"):
            model = cls(OmnieConfig.of(omni.config))
        model.load_state_dict(omni.state_dict(keep_vars=True), assign=True)
        model.tie_weights()
        return model.train(omni.training)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: HubCache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        mm_token_type_ids: Tensor | None = None,
        segment_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        video_grid_thw: Tensor | None = None,
        input_features: Tensor | None = None,
        audio_lengths: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """As `OmnieModel.forward`, then logits [B, T', V]: of the last `logits_to_keep` tokens (0: of all).

        `labels` [B, T] set `loss`, the mean cross-entropy of each labelled token given those before it.
        """
        if labels is not None and not (isinstance(logits_to_keep, int) and logits_to_keep == 0):
            raise OptionError("the loss needs all logits", value=f"logits_to_keep={logits_to_keep}", allowed="0")
        given = (pixel_values, image_grid_thw, pixel_values_videos, video_grid_thw, input_features, audio_lengths)
        output = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            mm_token_type_ids=mm_token_type_ids,
            segment_ids=segment_ids,
            **dict(zip(MEDIA_NAMES, given, strict=True)),
            **kwargs,
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(output.last_hidden_state[:, keep])
        loss = None if labels is None else self.loss_function(logits, labels, self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss, logits, output.past_key_values, output.hidden_states)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        next_sequence_length: int | None = None,
        past_key_values: HubCache | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        position_ids: Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """One step's inputs: with a cache, media only in the first step, and per-token tensors of the new tokens alone."""
        if not is_first_iteration and kwargs.get("use_cache", True):
            kwargs = {name: value for name, value in kwargs.items() if name not in MEDIA_NAMES}
        step = super().prepare_inputs_for_generation(
            input_ids, next_sequence_length, past_key_values, attention_mask, inputs_embeds, is_first_iteration, **kwargs
        )
        tokens = step.get("inputs_embeds") if step.get("input_ids") is None else step["input_ids"]
        shape = tokens.shape[:2]
        if mm_token_type_ids is None:
            mm_token_type_ids = self.model.token_types(step.get("input_ids"), {name: kwargs.get(name) for name in MEDIA_NAMES})
        types = None if mm_token_type_ids is None else mm_token_type_ids[:, -shape[1] :]
        if position_ids is None:
            position_ids = self.model.positions(shape, types, attention_mask, past_key_values, kwargs)
        return step | {"mm_token_type_ids": types, "position_ids": position_ids}

    def _prepare_position_ids_for_generation(self, inputs_tensor: Tensor, model_kwargs: dict[str, Any]) -> None:
        """None: each step's positions follow from the cache (`prepare_inputs_for_generation`)."""

    def _update_model_kwargs_for_generation(self, outputs: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The prompt's own positions serve the first step only; the cache remembers where they go on."""
        model_kwargs["position_ids"] = None
        return super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **kwargs)

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Tensor, dict[str, Any]]:
        """Each row `expand_size` times (beams, several answers), its media with it."""
        if expand_size == 1:
            return input_ids, model_kwargs
        given = {name: model_kwargs.pop(name, None) for name in MEDIA_NAMES}
        types = model_kwargs.get("mm_token_type_ids")
        types = self.model.token_types(input_ids, given) if types is None else types
        for modality, (values, sizes) in MEDIA.items():
            if given[values] is not None:
                row_tokens = (types == modality).sum(1).tolist()
                given[values], given[sizes] = repeated(modality, given[values], given[sizes], row_tokens, expand_size)
        places, embeds = model_kwargs.pop("position_ids", None), model_kwargs.get("inputs_embeds")
        if places is not None:
            places = three_axes(places, (input_ids if embeds is None else embeds).shape[:2])
            model_kwargs["position_ids"] = places.transpose(0, 1)  # Transformers repeats the second axis
        ids, model_kwargs = super()._expand_inputs_for_generation(expand_size, is_encoder_decoder, input_ids, **model_kwargs)
        if places is not None:
            model_kwargs["position_ids"] = model_kwargs["position_ids"].transpose(0, 1)
        return ids, model_kwargs | {name: value for name, value in given.items() if value is not None}


COUNTS = {IMAGE: image_tokens, VIDEO: video_tokens, AUDIO: audio_tokens}
"""Modality -> tokens of an item of the given size."""


def repeated(modality: int, values: Tensor, sizes: Tensor, row_tokens: list[int], times: int) -> tuple[Tensor, Tensor]:
    """The media of a batch whose every row stands `times` times; `row_tokens`: placeholders of each row."""
    lengths = sizes if sizes.ndim == 1 else sizes.prod(-1)
    remaining = iter(enumerate(COUNTS[modality](size) for size in sizes.tolist()))
    order: list[int] = []
    for tokens in row_tokens:
        row: list[int] = []
        while tokens > 0:
            item, count = next(remaining)
            row.append(item)
            tokens -= count
        order += row * times
    pieces = values.split(lengths.tolist())
    return torch.cat([pieces[item] for item in order]), sizes[order]


def register() -> None:
    """Makes the Auto classes know the model; may be called any number of times."""
    AutoConfig.register(OmnieConfig.model_type, OmnieConfig, exist_ok=True)
    AutoModel.register(OmnieConfig, OmnieModel, exist_ok=True)
    for face in (AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM):
        face.register(OmnieConfig, OmnieForConditionalGeneration, exist_ok=True)
