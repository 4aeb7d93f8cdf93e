"""The whole model: pictures, sound and text become one sequence of embeddings, and the decoder continues it.

`Omni` needs torch alone, which is what starts fast; `hub/` gives the same body Transformers' face (`from_pretrained`,
`generate`). Names, axes and dtypes of the inputs: `omnie/inputs.py`. Sizes: `config.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.errors import InputError
from omnie.inputs import AUDIO, IMAGE, MODALITIES, VIDEO
from omnie.model.audio import AudioEncoder, AudioOutput
from omnie.model.config import Architecture
from omnie.model.decoder import Attend, Cache, Decoder
from omnie.model.experts import Router, RouterTrace, TokenGroups
from omnie.model.layers.convolution import ShortConvolution, neighbours
from omnie.model.layers.lookahead import Lookahead, ahead
from omnie.model.layers.trail import Following
from omnie.model.masks import decoder_mask, packed_mask
from omnie.model.reading import Seen, Told, Words, read, readings
from omnie.model.vision import VisionEncoder, VisionOutput, vision_encoder
from omnie.ops.attention.segments import SegmentAttention
from omnie.ops.flashmask import ColumnMask


@dataclass
class OmniOutput:
    """What `Omni.forward` returns.

    Attributes:
        logits: [B, T', V], float32 or the weights' dtype; T' as `logits_to_keep` says.
        loss: Mean cross-entropy at labelled positions, when labels are given.
        hidden: [B, T, D], the decoder's normalised output.
        media: The encoders' outputs by modality ("image", "video", "audio"), for auxiliary losses.
        trace: Router statistics, when asked for.
    """

    logits: Tensor | None = None
    loss: Tensor | None = None
    hidden: Tensor | None = None
    media: dict[str, VisionOutput | AudioOutput] | None = None
    trace: RouterTrace | None = None


class OmniBody(nn.Module):
    """Everything but the output head."""

    def __init__(self, config: Architecture):
        super().__init__()
        config.check()
        self.config = config
        self.visual, self.audio = encoders(config)
        self.reading = readings(config.reading, config.hidden_size, config.vocab_size)
        self.language_model = Decoder(config)

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        masks: dict[bool, ColumnMask | None],
        *,
        mm_token_type_ids: Tensor | None = None,
        moe_mm_token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        video_grid_thw: Tensor | None = None,
        input_features: Tensor | None = None,
        audio_lengths: Tensor | None = None,
        told: dict[str, Told] | None = None,
        said: dict[int, Words] | None = None,
        kept: dict[int, Seen] | None = None,
        cache: Cache | None = None,
        trace: RouterTrace | None = None,
        **kwargs: Any,
    ) -> OmniOutput:
        """Encodes the media, places their features into the text and runs the decoder.

        `told`: modality ("image", "video", "audio") -> what is read in it in place of what the encoder reads, in training.
        `said`: takes what was read, by modality. `kept`: takes what was seen, by modality; media whose modality it has already
        are not encoded, but shown as they were seen then.
        """
        x = self.language_model.embed_tokens(input_ids)
        told, known = told or {}, kept or {}
        media: dict[str, VisionOutput | AudioOutput] = {}
        given = (
            (IMAGE, pixel_values, image_grid_thw),
            (VIDEO, pixel_values_videos, video_grid_thw),
            (AUDIO, input_features, audio_lengths),
        )
        for modality, signal, sizes in given:
            if signal is not None:
                name, tokens_TD = MODALITIES[modality], None
                if modality not in known:
                    media[name], tokens_TD = self._encode(modality, signal, sizes)
                words = self.language_model.embed_tokens.weight
                seen = read(self.reading, modality, tokens_TD, sizes, words, told.get(name), said, kept)
                x = place(x, mm_token_type_ids, modality, seen)
        types = mm_token_type_ids if moe_mm_token_type_ids is None else moe_mm_token_type_ids
        tokens = TokenGroups.of(types, list(self.config.expert_groups))
        hidden = self.language_model(x, position_ids, tokens, masks, cache, trace, **kwargs)
        return OmniOutput(hidden=hidden, media=media, trace=trace)

    def _encode(self, modality: int, signal: Tensor, sizes: Tensor) -> tuple[VisionOutput | AudioOutput, Tensor]:
        """What the modality's encoder says, and its real tokens [T, D]."""
        if modality == AUDIO:
            heard = present(self.audio, AUDIO).encode_batch(signal, sizes)
            return heard, real_tokens(heard, sizes)
        seen = present(self.visual, modality)(signal, sizes)
        return seen, seen.tokens


def encoders(config: Architecture) -> tuple[VisionEncoder | None, AudioEncoder | None]:
    """The encoders that a model has."""
    visual = None if config.vision is None else vision_encoder(config.vision_architecture, config.hidden_size)
    audio = None if config.audio is None else AudioEncoder(config.audio_architecture, config.hidden_size)
    return visual, audio


def present(encoder: nn.Module | None, modality: int) -> nn.Module:
    """An encoder, or `InputError` where the model has none."""
    if encoder is None:
        raise InputError(f"the model takes no {MODALITIES[modality]}", hint="choose a model with an encoder for it")
    return encoder


def real_tokens(output: AudioOutput, lengths: Tensor) -> Tensor:
    """The real tokens of a padded batch of recordings, one after the other: [T, D]."""
    counts = (lengths.to(output.tokens.device) + 7) // 8
    real = torch.arange(output.tokens.shape[1], device=counts.device) < counts[:, None]
    return output.tokens[real]


def place(x_BTD: Tensor, types_BT: Tensor | None, modality: int, features_TD: Tensor) -> Tensor:
    """Embeddings with one modality's placeholders replaced by its features, in order."""
    flat = x_BTD.flatten(0, 1)
    index = (types_BT.reshape(-1) == modality).nonzero().squeeze(-1) if types_BT is not None else flat.new_empty(0)
    if len(index) != len(features_TD):
        raise InputError(
            f"{MODALITIES[modality]} placeholders and features disagree",
            value=f"{len(index)} placeholders, {len(features_TD)} features",
            allowed="equal numbers",
            hint="encode the conversation with the model's own processor",
        )
    return flat.index_copy(0, index, features_TD.to(flat.dtype)).view_as(x_BTD)


class Omni(nn.Module):
    """The model with its output head, whose weights are the token embeddings' unless the config says otherwise."""

    def __init__(self, config: Architecture):
        super().__init__()
        self.config = config
        self.model = OmniBody(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=config.head_bias)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.language_model.embed_tokens.weight
            self.lm_head.init_std = self.model.language_model.embed_tokens.init_std  # one matrix, which the head draws last
        self.apply(lambda module: initialise(module, config.initializer_range))

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        segment_ids: Tensor | None = None,
        labels: Tensor | None = None,
        cache: Cache | None = None,
        past: int = 0,
        logits_to_keep: int = 0,
        trace: RouterTrace | None = None,
        attend: Attend | None = None,
        plain: Tensor | None = None,
        **media: Any,
    ) -> OmniOutput:
        """One pass over new tokens.

        Args:
            past: Tokens already in the cache.
            labels: When given, logits are only formed at labelled positions and `loss` is set.
            logits_to_keep: Logits of the last so many tokens only (0: of all).
            attend: Attention of this pass in place of the layers' own (any function of the attention interface).
            plain: bool [B, T], tokens that see nothing ahead, whatever the model can; training's.
            media: The media tensors of `omnie/inputs.py`.
        """
        near = following = None
        if self.config.lookahead is not None:
            following = ahead(input_ids, self.config.lookahead, self.lm_head.weight.dtype, cache, segment_ids)
            following = following if plain is None or following is None else following * ~plain[..., None]
        if self.config.reach:
            seen = attention_mask if segment_ids is None else segment_ids
            near = neighbours(seen, self.config.reach, past, input_ids.shape[1], self.lm_head.weight.dtype)
        windows = {False: None, True: self.config.sliding_window}
        masks = {
            sliding: decoder_mask(
                input_ids.shape[1],
                past,
                input_ids.device,
                attention_mask=attention_mask,
                window=window,
            )
            for sliding, window in windows.items()
            if not sliding or window is not None
        }
        if segment_ids is not None and attend is None and not any(mask is not None for mask in masks.values()):
            attend = SegmentAttention.of(segment_ids)
        elif segment_ids is not None:
            masks = {sliding: packed_mask(mask, segment_ids) for sliding, mask in masks.items()}
        passed = {"cache": cache, "past": past, "trace": trace, "near": near, "ahead": following, "attend": attend}
        output = self.model(input_ids, position_ids, masks, **passed, **media)
        if labels is not None:
            output.loss = label_loss(output.hidden, self.lm_head, labels)
        else:
            output.logits = self.lm_head(output.hidden[:, -logits_to_keep:])
        return output


def label_loss(hidden_BTD: Tensor, head: nn.Linear, labels_BT: Tensor) -> Tensor:
    """Mean cross-entropy of each labelled token given the tokens before it; logits exist only where a label does.

    A batch without labels has loss 0, so that one such batch does not spoil a run.
    """
    target = labels_BT[:, 1:].reshape(-1)
    index = (target >= 0).nonzero().squeeze(-1)
    if not len(index):
        return hidden_BTD.float().sum() * 0.0
    hidden = hidden_BTD[:, :-1].flatten(0, 1).index_select(0, index)
    # The loss is float32: a bfloat16 softmax over the vocabulary loses the small probabilities that carry the gradient.
    return F.cross_entropy(head(hidden).float(), target.index_select(0, index))


def initialise(module: nn.Module, std: float) -> None:
    """Fresh weights: normal matrices, zero biases, unit norms (the latter are torch's own default)."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=getattr(module, "init_std", std))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
            if hasattr(module, "init_last_bias"):
                nn.init.constant_(module.bias[-1:], module.init_last_bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=getattr(module, "init_std", std))
    elif hasattr(module, "gate_up_proj"):
        nn.init.normal_(module.gate_up_proj, std=std)
        nn.init.normal_(module.down_proj, std=std)
    elif isinstance(module, Router):
        nn.init.normal_(module.weight, std=std)
    elif isinstance(module, (Following, Lookahead)):
        module.initialise()
    elif isinstance(module, ShortConvolution):
        nn.init.zeros_(module.weight)
