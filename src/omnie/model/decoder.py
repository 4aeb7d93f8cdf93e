"""The language model: attention and experts in turn. It sees embeddings, positions and modalities, never pixels or sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from omnie.model.config import Architecture
from omnie.model.experts import Dense, MixtureOfExperts, RouterTrace, TokenGroups
from omnie.model.layers.convolution import CONVOLUTIONS, ShortConvolution, StateCache
from omnie.model.layers.lookahead import Lookahead
from omnie.model.layers.norm import RmsNorm
from omnie.model.layers.rope import Turns, decoder_angles, rotate, sharpness, turns
from omnie.model.layers.trail import Following, Trail
from omnie.ops.flashmask import ColumnMask
from omnie.ops.flashmask.interface import attention

Attend = Callable[..., tuple[Tensor, Tensor | None]]


class Cache(StateCache, Protocol):
    """What layers ask of a cache; Transformers' `Cache` fits, and so does the engine's."""

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int) -> tuple[Tensor, Tensor]:
        """Appends [B, G, T, H] and returns everything seen so far, [B, G, S, H]."""
        ...


class Places(NamedTuple):
    """Where the tokens of a pass stand: how queries and keys turn, and what queries are multiplied by, [B, T, 1, 1] (None: by
    nothing)."""

    turns: Turns
    sharpness: Tensor | None = None


class Decoder(nn.Module):
    """Embeddings in, normalised hidden states out."""

    def __init__(self, config: Architecture):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.embed_tokens.init_std = config.hidden_size**-0.5  # length 1, whatever the width
        self.lookahead = None if config.lookahead is None else Lookahead(config.hidden_size, config.lookahead)
        self.layers = nn.ModuleList(DecoderLayer(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RmsNorm(config.hidden_size, config.norm_eps)
        # Transformers' `gradient_checkpointing_enable` sets these two.
        self.gradient_checkpointing = False
        self._gradient_checkpointing_func: Callable[..., Any] = checkpoint

    def forward(
        self,
        x_BTD: Tensor,
        positions_BT3: Tensor,
        tokens: TokenGroups,
        masks: dict[bool, ColumnMask | None],
        cache: Cache | None = None,
        trace: RouterTrace | None = None,
        near: Tensor | None = None,
        past: int = 0,
        ahead: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Runs all layers.

        Args:
            x_BTD: Embeddings.
            positions_BT3: Positions (time, height, width).
            tokens: Expert group of each token.
            masks: Attention mask of the global (False) and of the sliding-window layers (True).
            cache: Keys and values of earlier tokens; extended in place.
            trace: Collects router statistics when given.
            near: [B, T, K]: which of the K tokens before each one belong to its sequence (`convolution.neighbours`).
            past: Tokens in the cache, padding included.
            ahead: [B, T, K]: which of the K tokens behind each one it sees (`lookahead.ahead`).
            kwargs: `attend` replaces the layers' attention function for this pass; the rest is passed on to it unread.
        """
        config = self.config
        angles = decoder_angles(positions_BT3, config.head_dim, config.rope_theta, config.rope_sections, config.rotary_pairs)
        places = Places(turns(angles.unsqueeze(2), x_BTD.dtype), sharpness(positions_BT3, config.log_scaling, x_BTD.dtype))
        shared = config.num_attention_heads // config.num_key_value_heads
        trail = None if config.trail_layer is None else Trail(past, x_BTD, config.head_dim, shared)
        if self.lookahead is not None and ahead is not None:
            x_BTD = self.lookahead(x_BTD, ahead)
        for layer in self.layers:
            arguments = (x_BTD, places, tokens, masks[layer.is_sliding], cache, trace, near, trail)
            if self.gradient_checkpointing and self.training:
                x_BTD = self._gradient_checkpointing_func(layer, *arguments, use_reentrant=False, **kwargs)
            else:
                x_BTD = layer(*arguments, **kwargs)
        return self.norm(x_BTD)


class DecoderLayer(nn.Module):
    """Pre-norm: attention, then experts (some layers, the first ones as a rule, are dense); a convolution before each, where
    the config asks for them."""

    def __init__(self, config: Architecture, layer: int):
        super().__init__()
        self.is_sliding = config.is_sliding(layer)
        self.input_layernorm = RmsNorm(config.hidden_size, config.norm_eps)
        self.attention_convolution, self.mlp_convolution = (self._convolution(config, layer, n) for n in range(CONVOLUTIONS))
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.norm_eps)
        dense = config.is_dense(layer)
        self.mlp = Dense(config.hidden_size, config.intermediate_size, config.use_bias) if dense else MixtureOfExperts(config)

    def forward(
        self,
        x: Tensor,
        places: Places,
        tokens: TokenGroups,
        mask: ColumnMask | None,
        cache: Cache | None,
        trace: RouterTrace | None,
        near: Tensor | None = None,
        trail: Trail | None = None,
        **kwargs: Any,
    ) -> Tensor:
        h = self.input_layernorm(x)
        if self.attention_convolution is not None:
            h = self.attention_convolution(h, near, cache)
        x = x + self.self_attn(h, places, mask, cache, near, trail, **kwargs)
        h = self.post_attention_layernorm(x)
        if self.mlp_convolution is not None:
            h = self.mlp_convolution(h, near, cache)
        return x + self.mlp(h, tokens, trace)

    @staticmethod
    def _convolution(config: Architecture, layer: int, number: int) -> ShortConvolution | None:
        kernel = config.short_convolution
        return None if kernel is None else ShortConvolution(config.hidden_size, kernel, (layer, number))


class Attention(nn.Module):
    """Grouped-query attention; `attend` is any function of Transformers' attention interface."""

    is_causal = True

    def __init__(self, config: Architecture, layer: int):
        super().__init__()
        hidden, head = config.hidden_size, config.head_dim
        self.config, self.layer_idx, self.head_dim = config, layer, head
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = head**-0.5
        self.attend: Attend = attention
        biased = config.attention_bias or config.use_bias
        self.q_proj = nn.Linear(hidden, config.num_attention_heads * head, bias=biased)
        self.k_proj = nn.Linear(hidden, config.num_key_value_heads * head, bias=biased)
        self.v_proj = nn.Linear(hidden, config.num_key_value_heads * head, bias=config.use_bias)
        self.o_proj = nn.Linear(config.num_attention_heads * head, hidden, bias=config.use_bias)
        self.leaves_trail = layer == config.trail_layer
        self.following: Following | None = None
        if config.trail_layer is not None and layer == config.trail_layer + 1:
            self.following = Following(hidden, config.num_key_value_heads, head, (layer, CONVOLUTIONS))

    def forward(
        self,
        x_BTD: Tensor,
        places: Places,
        mask: ColumnMask | None,
        cache: Cache | None,
        near: Tensor | None = None,
        trail: Trail | None = None,
        attend: Attend | None = None,
        **kwargs: Any,
    ) -> Tensor:
        q, k, v = (p(x_BTD).unflatten(-1, (-1, self.head_dim)) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = (rotate(heads, places.turns) for heads in (q, k))
        if trail is not None and self.leaves_trail:
            v = trail.mark(v)
        if trail is not None and self.following is not None:
            q, k, v = self.following((q, k, v), trail, near, cache)
        if places.sharpness is not None:
            q = q * places.sharpness
        q, k, v = (heads.transpose(1, 2) for heads in (q, k, v))
        if cache is not None:
            k, v = cache.update(k, v, self.layer_idx)
        attend = attend or self.attend
        y_BTNH, _ = attend(self, q, k, v, mask, scaling=self.scaling, dropout=0.0, is_causal=mask is None, **kwargs)
        if trail is not None and self.leaves_trail:
            y_BTNH = trail.leave(y_BTNH)
        return self.o_proj(y_BTNH.flatten(2))
