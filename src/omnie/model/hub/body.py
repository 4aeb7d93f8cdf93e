"""`OmnieModel`: media are embedded and placed into the text, then the decoder runs. The output head is not here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import LinearAttentionCacheLayerMixin
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils.output_capturing import capture_outputs

from omnie.errors import OptionError
from omnie.inputs import AUDIO, IMAGE, VIDEO
from omnie.model.decoder import Decoder, DecoderLayer
from omnie.model.experts import RouterTrace, TokenGroups
from omnie.model.hub.attention import column_masks
from omnie.model.hub.base import HubAttention, OmniePreTrainedModel
from omnie.model.hub.config import OmnieConfig, states
from omnie.model.hub.media import MEDIA, MEDIA_NAMES, check_lengths
from omnie.model.hub.positions import OFFSET, media_positions, packed_segments, remember, three_axes
from omnie.model.layers.convolution import neighbours
from omnie.model.layers.lookahead import ahead
from omnie.model.omni import encoders, place
from omnie.model.reading import readings
from omnie.ops.attention.segments import SegmentAttention


class OmnieModel(OmniePreTrainedModel):
    """Everything but the output head, as `omni.OmniBody`."""

    _can_record_outputs = {"hidden_states": DecoderLayer}

    def __init__(self, config: OmnieConfig):
        super().__init__(config)
        config.check()
        self.visual, self.audio = encoders(config)
        self.reading = readings(config.reading, config.hidden_size, config.vocab_size)
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
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        mm_token_type_ids: Tensor | None = None,
        moe_mm_token_type_ids: Tensor | None = None,
        segment_ids: Tensor | None = None,
        trace: RouterTrace | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Media are embedded and placed, then the decoder runs.

        Args:
            attention_mask: [B, past + T], or what the attention implementation takes.
            position_ids: [B, T, 3]; [B, T] and [3, B, T] are understood too. Absent: computed. Plain [B, T] that start again
                without a cache or an attention mask are packed rows, as in Transformers.
            mm_token_type_ids: Absent: read off the placeholders when media are given, else all text.
            moe_mm_token_type_ids: Chooses the experts in place of `mm_token_type_ids`.
            segment_ids: Packed rows; excludes a cache and an attention mask.
            kwargs: The media tensors of `omnie/inputs.py`; the rest is passed on to attention.
        """
        if kwargs.get("output_attentions"):
            raise OptionError("attention weights are not returned", value="output_attentions=True")
        media = {name: kwargs.pop(name) for name in MEDIA_NAMES if name in kwargs}
        types = mm_token_type_ids if mm_token_type_ids is not None else self.token_types(input_ids, media)
        x = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        x = self._with_media(x, types, media)
        if segment_ids is None and attention_mask is None and past_key_values is None:
            segment_ids = packed_segments(position_ids, x.shape[:2])
            use_cache = False if use_cache is None and segment_ids is not None else use_cache
        cache = self._cache(past_key_values, use_cache)
        if position_ids is None:
            position_ids = self.positions(x.shape[:2], types, attention_mask, cache, media)
        position_ids = three_axes(position_ids.to(x.device), x.shape[:2])
        if cache is not None:
            remember(cache, position_ids, attention_mask)
        masks, attend = self._masks(x, attention_mask, segment_ids, cache)
        near = self._near(x, attention_mask if segment_ids is None else segment_ids, cache)
        types = types if moe_mm_token_type_ids is None else moe_mm_token_type_ids
        tokens = TokenGroups.of(types, list(self.config.expert_groups))
        past = int(cache.get_seq_length()) if cache is not None else 0
        following = self._ahead(input_ids, x, cache, segment_ids)
        arguments = (x, position_ids, tokens, masks, cache, trace, near, past, following)
        hidden = self.language_model(*arguments, attend=attend, **kwargs)
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
        cache: Cache | None,
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
        features: dict[int, Callable[..., Any]] = {
            IMAGE: self.get_image_features,
            VIDEO: self.get_video_features,
            AUDIO: self.get_audio_features,
        }
        for modality, (values, sizes) in MEDIA.items():
            if media.get(values) is not None:
                check_lengths(media[values], media.get(sizes), (values, sizes))
                items = features[modality](media[values], media[sizes]).pooler_output
                x = place(x, types, modality, torch.cat(items))
        return x

    def _cache(self, cache: Cache | None, use_cache: bool | None) -> Cache | None:
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        if self.training and self.language_model.gradient_checkpointing and (use_cache or cache is not None):
            raise OptionError("a cache cannot be filled while activations are recomputed", hint="pass use_cache=False")
        if cache is None and use_cache:
            cache = DynamicCache(config=self.config)
        if cache is None:
            return None
        kept = [isinstance(layer, LinearAttentionCacheLayerMixin) for layer in cache.layers]
        if self.config.reach and not (kept and all(kept)):
            hint = "DynamicCache(config=model.config)"
            raise OptionError("the cache keeps no tokens for convolutions", value=type(cache).__name__, hint=hint)
        for number, layer in enumerate(cache.layers) if self.config.reach else ():
            layer.number_of_states = states(self.config, number)
        return cache

    def _near(self, x: Tensor, seen: Any, cache: Cache | None) -> Tensor | None:
        """What each token's convolutions see: those of its neighbours that attention sees."""
        if not self.config.reach:
            return None
        if self.config._attn_implementation == "vllm":
            hint = "a model whose config has short_convolution and trail_layer null"
            raise OptionError("vLLM keeps no tokens for convolutions", value=self.config.reach, hint=hint)
        seen = seen["full_attention"] if isinstance(seen, dict) else seen
        past = int(cache.get_seq_length()) if cache is not None else 0
        return neighbours(seen, self.config.reach, past, x.shape[1], x.dtype)

    def _ahead(self, input_ids: Tensor | None, x: Tensor, cache: Cache | None, segment_ids: Tensor | None) -> Tensor | None:
        """What each token of a prompt sees behind itself."""
        if self.config.lookahead is None:
            return None
        if self.config._attn_implementation == "vllm":
            hint = "a model whose config has lookahead null"
            raise OptionError("vLLM does not say where turns begin", value=self.config.lookahead, hint=hint)
        if input_ids is None and x.shape[1] > 1:
            hint = "pass input_ids too, or a config whose lookahead is null"
            raise OptionError("turns are known by token ids, which looking ahead needs", value="inputs_embeds alone", hint=hint)
        return None if input_ids is None else ahead(input_ids, self.config.lookahead, x.dtype, cache, segment_ids)

    def _masks(
        self, x: Tensor, attention_mask: Any, segment_ids: Tensor | None, cache: Cache | None
    ) -> tuple[dict[bool, Any], SegmentAttention | None]:
        """What the global (False) and the sliding-window layers (True) attend to, and the attention of packed rows."""
        columns = column_masks(self.config, x, attention_mask, segment_ids, cache)
        if columns is not None:
            return columns, None
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
