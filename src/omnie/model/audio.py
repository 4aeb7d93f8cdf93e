"""Sound to tokens: log-mel frames (100 a second), two causal convolutions (25 a second), a transformer, pairs (12.5 a second).

A frame attends to its own block (4 s) and to the block before, so a recording of any length is encoded in bounded memory:
feeding it in pieces with a carried `AudioState` gives what feeding it whole gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omnie.inputs import MEL_BINS, MEL_PER_TOKEN
from omnie.model.config import AudioArchitecture
from omnie.model.layers.norm import MEDIA_GAIN, RmsNorm
from omnie.model.layers.rope import Turns, rotate, sequence_angles, turns
from omnie.model.vision import Mlp
from omnie.ops.attention import cpu

MEL_PER_FRAME = 4
"""Log-mel frames per frame of the transformer."""
TOGETHER, TOGETHER_ON_GPU = 16, 256
"""Recordings that are encoded side by side, padded to the longest of them: a GPU starts kernels more slowly than it pads."""


class AudioOutput(NamedTuple):
    """`tokens` [A, T, D] at 12.5 per second; `frames` [A, 2 T, audio hidden] at 25 per second, for auxiliary losses."""

    tokens: Tensor
    frames: Tensor


@dataclass
class AudioState:
    """What a later piece of a recording needs of the earlier ones.

    Attributes:
        mel, conv: The last input of either convolution, [A, 1, channels].
        keys, values: Per layer, the last block, [A, N, block, H] (rotated keys).
        frames: Frames seen so far.
    """

    mel: Tensor
    conv: Tensor
    keys: list[Tensor]
    values: list[Tensor]
    frames: int


class AudioEncoder(nn.Module):
    """See the module's docstring."""

    def __init__(self, config: AudioArchitecture, decoder_hidden: int):
        super().__init__()
        self.config = config
        self.conv1 = CausalConv(MEL_BINS, config.hidden_size)
        self.conv2 = CausalConv(config.hidden_size, config.hidden_size)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.merger = Mlp(2 * config.hidden_size, 2 * config.hidden_size, decoder_hidden)
        self.output_norm = RmsNorm(decoder_hidden, config.norm_eps, MEDIA_GAIN)

    @property
    def piece(self) -> int:
        """Log-mel frames per block: the length of a piece must be a multiple of it, except for the last piece."""
        return self.config.block_frames * MEL_PER_FRAME

    def forward(self, mel_SM: Tensor, lengths: Tensor) -> list[Tensor]:
        """Tokens of several recordings.

        Args:
            mel_SM: Log-mel frames of all recordings, one after the other.
            lengths: int64 [A], frames of each.

        Returns:
            One [T, D] per recording, T = `inputs.audio_tokens(length)`.
        """
        output = self.encode_batch(mel_SM, lengths)
        counts = [-(-n // MEL_PER_TOKEN) for n in lengths.tolist()]
        return [tokens[:count] for tokens, count in zip(output.tokens, counts, strict=True)]

    def encode_batch(self, mel_SM: Tensor, lengths: Tensor) -> AudioOutput:
        """As `forward`, padded at the end; padding changes nothing before it.

        Recordings of similar length are encoded together, so that a short one does not cost what the longest does; long ones
        go piece by piece.
        """
        mel_SM = F.pad(mel_SM.to(self.conv1.dtype), (0, 0, 0, 1))  # the last row is what padding shows
        lengths = lengths.cpu()
        counts = lengths.tolist()
        order = sorted(range(len(counts)), key=lambda n: counts[n])
        together = TOGETHER_ON_GPU if mel_SM.is_cuda else TOGETHER
        groups = [order[n : n + together] for n in range(0, len(order), together)]
        parts = [self._encode_similar(mel_SM, lengths, group) for group in groups]
        if len(parts) == 1 and order == sorted(order):
            return parts[0]
        back = torch.tensor(order, device=mel_SM.device).argsort()
        return AudioOutput(*(_stacked(kind).index_select(0, back) for kind in zip(*parts, strict=True)))

    def _encode_similar(self, mel_SM: Tensor, lengths: Tensor, group: list[int]) -> AudioOutput:
        """The recordings `group` side by side; the last row of `mel_SM` is silence."""
        ends = lengths.cumsum(0)[group]
        lengths = lengths[group]
        padded = -(-int(lengths.max()) // MEL_PER_TOKEN) * MEL_PER_TOKEN
        place = torch.arange(padded)
        index_AS = torch.where(place < lengths[:, None], (ends - lengths)[:, None] + place, len(mel_SM) - 1)
        mel_ASM = mel_SM[index_AS.to(mel_SM.device)]
        state, outputs = None, []
        for piece in mel_ASM.split(8 * self.piece, dim=1):
            output, state = self.encode_piece(piece, lengths, state)
            outputs.append(output)
        return AudioOutput(*(torch.cat(parts, dim=1) for parts in zip(*outputs, strict=True)))

    def encode_piece(self, mel_ASM: Tensor, lengths: Tensor, state: AudioState | None) -> tuple[AudioOutput, AudioState]:
        """Encodes the next piece of recordings that stand side by side.

        Args:
            mel_ASM: [A, S, M], S a multiple of 8; a piece before the last one has a multiple of `piece` frames.
            lengths: int64 [A], the whole length of each recording in log-mel frames; frames beyond it are padding.
            state: What the previous piece returned; None at the beginning.
        """
        block = self.config.block_frames
        seen = state.frames if state else 0
        x, conv = self._stem(mel_ASM, state)
        frames = x.shape[1]
        # One block shorter than the rule needs no padding to a full block: a short clip costs what it lasts.
        width = block if state or frames > block else frames
        x = F.pad(x, (0, 0, 0, -frames % width))
        valid = seen + torch.arange(x.shape[1], device=x.device) < -(-lengths.to(x.device) // MEL_PER_FRAME)[:, None]
        angles = sequence_angles(seen + torch.arange(x.shape[1], device=x.device), self.head_dim, self.config.rope_theta)
        by = turns(angles[:, None], x.dtype)
        mask = block_mask(valid, width, seen > 0)
        keys, values = [], []
        for i, layer in enumerate(self.blocks):
            past = (state.keys[i], state.values[i]) if state else None
            x, (key, value) = layer(x, by, mask, width, past)
            keys.append(key)
            values.append(value)
        x = self.norm(x[:, :frames])
        after = AudioState(mel_ASM[:, -1:], conv, keys, values, seen + frames)
        return AudioOutput(self.output_norm(self.merger(x.reshape(len(x), frames // 2, -1))), x), after

    @property
    def head_dim(self) -> int:
        return self.config.hidden_size // self.config.num_attention_heads

    def _stem(self, mel_ASM: Tensor, state: AudioState | None) -> tuple[Tensor, Tensor]:
        x = F.gelu(self.conv1(mel_ASM, state.mel if state else None))
        return F.gelu(self.conv2(x, state.conv if state else None)), x[:, -1:]


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """[A, S, D] of groups [a, s, D], padded with zeros to the longest."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat([F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts])


class CausalConv(nn.Module):
    """Convolution over time, kernel 3, stride 2; output i sees inputs 2i-1 to 2i+1. Channels last, as one matrix product."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.proj = nn.Linear(3 * inputs, outputs)

    @property
    def dtype(self) -> torch.dtype:
        return self.proj.bias.dtype

    def forward(self, x_ASC: Tensor, before: Tensor | None) -> Tensor:
        before = torch.zeros_like(x_ASC[:, :1]) if before is None else before
        pairs = x_ASC.unflatten(1, (-1, 2))
        previous = torch.cat([before, pairs[:, :-1, 1]], dim=1)
        return self.proj(torch.cat([previous, pairs[:, :, 0], pairs[:, :, 1]], dim=-1))


def block_mask(valid_AS: Tensor, width: int, continued: bool) -> Tensor:
    """Which keys a block's frames may attend to: bool [A * blocks, 1, 1, 2 * width], the block before, then the own one."""
    blocks = valid_AS.unflatten(1, (-1, width))
    if blocks.shape[1] == 1 and not continued:
        return blocks[:, None]  # every recording has at least one frame in its only block
    before = F.pad(blocks[:, :-1], (0, 0, 1, 0), value=False)
    # Padding only ever follows a recording's end, so a carried block is whole for every recording that reaches this piece.
    before[:, 0] = continued
    mask = torch.cat([before, blocks], dim=-1).flatten(0, 1)
    # A block of nothing but padding must attend to something, or its softmax is 0/0; its output is cut off later.
    return torch.where(mask.any(-1, keepdim=True), mask, True)[:, None, None]


class Block(nn.Module):
    """Pre-norm transformer block with blockwise attention."""

    def __init__(self, config: AudioArchitecture):
        super().__init__()
        hidden = config.hidden_size
        self.heads = config.num_attention_heads
        self.norm1 = nn.LayerNorm(hidden, eps=config.norm_eps)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)
        self.norm2 = nn.LayerNorm(hidden, eps=config.norm_eps)
        self.mlp = Mlp(hidden, config.intermediate_size, hidden)

    def forward(
        self, x: Tensor, angles: Turns, mask: Tensor, width: int, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x [A, S, D], S a multiple of `width`; returns x and this piece's last block of keys and values."""
        qk, v = self.qkv(self.norm1(x)).unflatten(-1, (3 * self.heads, -1)).split([2 * self.heads, self.heads], dim=2)
        q, k = rotate(qk, angles).chunk(2, dim=2)
        q, k, v = (t.unflatten(1, (-1, width)).transpose(2, 3) for t in (q, k, v))  # [A, blocks, N, width, H]
        keys, values = _with_block_before(k, past and past[0]), _with_block_before(v, past and past[1])
        attend = cpu.attention if cpu.suits(x) else F.scaled_dot_product_attention
        y = attend(q.flatten(0, 1), keys, values, mask)
        x = x + self.proj(y.transpose(1, 2).flatten(2).view(x.shape))
        return x + self.mlp(self.norm2(x)), (k[:, -1], v[:, -1])


def _with_block_before(x: Tensor, before: Tensor | None) -> Tensor:
    """Each block's frames after those of the block before it: [A * blocks, N, 2 * width, H]; a lone block stays alone."""
    if before is None and x.shape[1] == 1:
        return x.flatten(0, 1)
    first = torch.zeros_like(x[:, :1]) if before is None else before[:, None]
    return torch.cat([torch.cat([first, x[:, :-1]], dim=1), x], dim=3).flatten(0, 1)
