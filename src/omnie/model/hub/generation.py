"""`OmnieForConditionalGeneration`: the body with its output head, the loss, and what `generate` asks for. No sampling here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

from omnie.errors import OptionError
from omnie.model.hub.base import OmniePreTrainedModel
from omnie.model.hub.body import OmnieModel
from omnie.model.hub.config import OmnieConfig
from omnie.model.hub.media import MEDIA, MEDIA_NAMES, repeated
from omnie.model.hub.positions import three_axes
from omnie.model.hub.prompt import PromptGenerationMixin
from omnie.model.hub.published import Published
from omnie.model.hub.weights import quantizer_of
from omnie.model.omni import Omni


class OmnieForConditionalGeneration(OmniePreTrainedModel, PromptGenerationMixin):
    """The whole model, with the weights' names of `omni.Omni`."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    published: ClassVar[Callable[..., Published | None] | None] = None
    """(name, options) -> a model in a published format, or None when the name means none. Published formats are known floors
    above (`checkpoint/`), so `omnie.register()` fills it in."""

    def __init__(self, config: OmnieConfig):
        super().__init__(config)
        self.model = OmnieModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=config.head_bias)
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in Transformers; ERNIE 4.5's published folders too, with those of its options that make sense for them."""
        name = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        found = cls.published(name, kwargs) if cls.published is not None and name is not None else None
        if found is None:
            return super().from_pretrained(*args, **kwargs)
        return found.face(cls, {key: value for key, value in kwargs.items() if key != "pretrained_model_name_or_path"})

    @classmethod
    def of(cls, omni: Omni) -> OmnieForConditionalGeneration:
        """The face of a model that is already in memory, in 4 bits or not; the weights are shared, not copied."""
        with torch.device("meta"):
            model = cls(OmnieConfig.of(omni.config))
        quantizer = quantizer_of(omni)
        if quantizer is not None:
            quantizer.preprocess_model(model)
        model.load_state_dict(omni.state_dict(keep_vars=True), assign=True)
        model.tie_weights()
        if quantizer is not None:
            model.hf_quantizer = quantizer
            quantizer.postprocess_model(model)
        return model.train(omni.training)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        mm_token_type_ids: Tensor | None = None,
        moe_mm_token_type_ids: Tensor | None = None,
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
            moe_mm_token_type_ids=moe_mm_token_type_ids,
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
        past_key_values: Cache | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        is_first_iteration: bool | None = False,
        position_ids: Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        moe_mm_token_type_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """One step's inputs: with a cache, media only in the first step, and per-token tensors of the new tokens alone."""
        continues = not is_first_iteration and kwargs.get("use_cache", True)
        if continues:
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
        routes = None if continues else moe_mm_token_type_ids  # what follows the prompt is text
        if routes is not None:
            routes = nn.functional.pad(routes, (0, max(0, shape[1] - routes.shape[1])))[:, -shape[1] :]
        return step | {"mm_token_type_ids": types, "moe_mm_token_type_ids": routes, "position_ids": position_ids}

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
