"""Token embeddings that spell: what reads letters off pictures and sound reads them off the vocabulary's embeddings too.

A decoder that has learned to copy text copies from a picture or a recording only if the same letters look alike there. Encoders
learn to spell first (`losses.AlignmentHeads`); a fresh decoder's embeddings are then set to what these heads would spell as the
token's text, and held there by the same loss during training.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.model.omni import Omni
from omnie.processor.tokens import COUNT
from omnie.train.objective.losses import AlignmentHeads, AlignmentTensors

LETTERS = 0.85
"""Share of a fresh embedding's length that spells; the rest is random and tells apart tokens that look alike."""
STEPS, RATE = 300, 0.02


def spelling_of(texts: Sequence[bytes], most: int) -> tuple[Tensor, AlignmentTensors]:
    """Which tokens of a vocabulary are text of at most `most` bytes, int64 [n], and how each spells in one cell."""
    chosen = [n for n in range(COUNT, len(texts)) if 0 < len(texts[n]) <= most]
    letters = np.frombuffer(b"".join(texts[n] for n in chosen), np.uint8).astype(np.int64)
    places = torch.arange(len(chosen))
    alignment = AlignmentTensors(
        rows=places,
        cells=places,
        cells_of=torch.ones(len(chosen), dtype=torch.long),
        targets=torch.from_numpy(letters),
        target_lengths=torch.tensor([len(texts[n]) for n in chosen]),
        width=1,
    )
    return torch.tensor(chosen), alignment


class Letters:
    """The vocabulary's spelling, and the loss of an embedding matrix that should spell it.

    Args:
        texts: The bytes of each token.
        heads: Read the letters; those of sound have fewer steps, so long tokens count for pictures alone.
    """

    def __init__(self, texts: Sequence[bytes], heads: AlignmentHeads, device: torch.device):
        self.heads = heads
        self.parts = {name: _moved(*spelling_of(texts, steps), device) for name, steps in heads.steps.items()}

    def loss(self, embedding_VD: Tensor) -> Tensor:
        """Mean negative log-likelihood a byte, averaged over the heads; float32 scalar."""
        losses = [self.heads(name, embedding_VD.index_select(0, own), spelt) for name, (own, spelt) in self.parts.items()]
        return torch.stack(losses).mean()


def _moved(chosen: Tensor, spelt: AlignmentTensors, device: torch.device) -> tuple[Tensor, AlignmentTensors]:
    tensors = {name: value.to(device) if isinstance(value, Tensor) else value for name, value in vars(spelt).items()}
    return chosen.to(device), AlignmentTensors(**tensors)


def spell(model: Omni, letters: Letters) -> None:
    """Prepares a fresh decoder behind encoders that spell: media tokens and embeddings get length 1, and embeddings spell.

    Shortened tokens are read by heads made longer, so the encoders go on spelling as before. A fresh embedding is a direction
    that the heads read as the token's text, mixed with the random one that it was.
    """
    shorten(model, letters.heads)
    weight = model.model.language_model.embed_tokens.weight
    random = F.normalize(weight.detach().float(), dim=-1)
    free = random.clone().requires_grad_()
    optimizer = torch.optim.Adam([free], RATE)
    for _ in range(STEPS):
        (free.grad,) = torch.autograd.grad(letters.loss(F.normalize(free, dim=-1)), free)
        optimizer.step()
    own = torch.cat([chosen for chosen, _ in letters.parts.values()]).unique()
    spelt = F.normalize(free.detach()[own], dim=-1)
    with torch.no_grad():
        weight.copy_(random)
        weight[own] = (LETTERS * spelt + (1 - LETTERS**2) ** 0.5 * random[own]).to(weight.dtype)


@torch.no_grad()
def shorten(model: Omni, heads: AlignmentHeads) -> None:
    """Media tokens of length 1, as text embeddings have: encoders let them grow to ten times that, and what the first layers
    write beside a token (what stood before it) would then be too faint to be found."""
    body = model.model
    for name, norm in (("image", body.visual.merger.output_norm), ("audio", body.audio.output_norm)):
        length = norm.weight.norm()
        norm.weight.div_(length)
        heads.head[name].weight.mul_(length)
