"""Toys and their inputs. Weights are drawn large, so that every token, patch and sound frame shows in the logits."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from omnie.inputs import AUDIO, IMAGE, MEL_BINS, TEXT, VIDEO, audio_tokens, image_tokens, positions, video_tokens
from omnie.model.cache import KeyValueCache
from omnie.model.config import Architecture, architecture
from omnie.model.omni import Omni

Item = int | tuple
Inputs = dict[str, Tensor]

PATCH = 3 * 16 * 16
PER_TOKEN = ("input_ids", "mm_token_type_ids", "position_ids")
CONVERSATIONS: dict[str, list[Item]] = {
    "text": [23],
    "image": [4, ("image", 4, 6), 13],
    "two-images": [2, ("image", 2, 2), 3, ("image", 8, 2), 12],
    "audio": [3, ("audio", 61), 12],
    "clip": [3, ("clip", 2, 4, 4, 3), 12],
    "all": [1, ("image", 2, 4), 2, ("audio", 9), 1, ("clip", 2, 2, 4, 2), ("image", 4, 2), 11],
}
"""Name -> numbers of text tokens, and media as `conversation` takes them; the last ten tokens are always text."""


def config(**changes) -> Architecture:
    """The toy's architecture with changes. Two audio experts a token, because a single choice always weighs one."""
    groups = architecture("toy").expert_groups
    groups = groups | {"audio": groups["audio"] | {"top_k": 2}}
    seen = {"image": 4, "audio": 2}  # no things: random weights would see them everywhere, and hide the pixels
    return dataclasses.replace(architecture("toy"), **({"expert_groups": groups, "reading": seen} | changes))


def toy(seed: int = 0, std: float = 0.15, **changes) -> Omni:
    """A toy in float32, ready to answer; `changes` to its architecture."""
    torch.manual_seed(seed)
    model = Omni(config(**changes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=std) if parameter.dim() > 1 else torch.nn.init.normal_(parameter, 1.0, std)
    return model.eval()


class Conversation:
    """Collects the pieces of one sequence; see `conversation`."""

    def __init__(self, seed: int):
        self.random = torch.Generator().manual_seed(seed)
        self.types: list[int] = []
        self.media: dict[str, list[Tensor]] = {}

    def text(self, count: int) -> None:
        self.types += [TEXT] * count

    def image(self, rows: int, columns: int) -> None:
        self.types += [IMAGE] * image_tokens((1, rows, columns))
        self._picture("pixel_values", "image_grid_thw", (1, rows, columns))

    def audio(self, mel: int) -> None:
        self.types += [AUDIO] * audio_tokens(mel)
        self._sound(mel)

    def clip(self, pieces: int, rows: int, columns: int, sound: int) -> None:
        for _ in range(pieces):
            self.types += [VIDEO] * video_tokens((2, rows, columns)) + [AUDIO] * sound
            self._picture("pixel_values_videos", "video_grid_thw", (2, rows, columns))
        self._sound(8 * pieces * sound - 3)

    def _picture(self, pixels: str, grids: str, grid: tuple[int, int, int]) -> None:
        self._add(pixels, self._random(grid[0] * grid[1] * grid[2], PATCH))
        self._add(grids, torch.tensor([grid]))

    def _sound(self, mel: int) -> None:
        self._add("input_features", self._random(mel, MEL_BINS))
        self._add("audio_lengths", torch.tensor([mel]))

    def _add(self, name: str, value: Tensor) -> None:
        self.media.setdefault(name, []).append(value)

    def _random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.random)

    def tensors(self) -> Inputs:
        media = {name: torch.cat(parts) for name, parts in self.media.items()}
        grids = [media[name].tolist() if name in media else [] for name in ("image_grid_thw", "video_grid_thw")]
        types = torch.tensor(self.types)
        where = torch.from_numpy(positions(types.numpy(), *grids))
        ids = torch.randint(32, 1024, types.shape, generator=self.random)
        return {"input_ids": ids[None], "mm_token_type_ids": types[None], "position_ids": where[None], **media}


def conversation(*items: Item, seed: int = 0) -> Inputs:
    """A batch of one.

    Args:
        items: In order: a number of text tokens; ("image", patch rows, patch columns); ("audio", mel frames); ("clip", pieces
            of two frames, patch rows, patch columns, sound tokens after each piece).
    """
    result = Conversation(seed)
    for item in items:
        result.text(item) if isinstance(item, int) else getattr(result, item[0])(*item[1:])
    return result.tensors()


def length(inputs: Inputs) -> int:
    return inputs["input_ids"].shape[1]


def media_of(batches: Sequence[Inputs]) -> Inputs:
    """The media tensors of several conversations, one's after the other's."""
    names = dict.fromkeys(name for inputs in batches for name in inputs if name not in PER_TOKEN)
    return {name: torch.cat([inputs[name] for inputs in batches if name in inputs]) for name in names}


def cached_logits(model: Omni, inputs: Inputs, cuts: Sequence[int]) -> Tensor:
    """Logits [1, T, V] of blocks that end at `cuts`, each over the cache of those before; media lie within one block."""
    cache, outputs = KeyValueCache(length(inputs)), []
    for start, end in pairwise([0, *cuts, length(inputs)]):
        block = {name: inputs[name][:, start:end] for name in PER_TOKEN}
        if block["mm_token_type_ids"].any():
            block |= media_of([inputs])
        with torch.inference_mode():
            outputs.append(model(**block, cache=cache, past=start).logits)
    return torch.cat(outputs, dim=1)


def gradients(model: torch.nn.Module) -> Inputs:
    """The gradients that are there, by parameter, taken away from the model."""
    result = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return result
