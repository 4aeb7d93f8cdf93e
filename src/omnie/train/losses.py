"""What is minimised: cross-entropy at labelled tokens, the alignment (CTC) losses of both encoders, the routers' losses.

The routers' losses come from the model's output; the alignment heads live here because only training needs them: they are
part of the training state and not of a shipped model.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnie.train.packing import IGNORE


@dataclass(frozen=True)
class LossWeights:
    """Factors on the auxiliary losses; the routers' own weights are the model's."""

    image_alignment: float = 0.2
    audio_alignment: float = 0.2


@dataclass(frozen=True, eq=False)
class AlignmentTensors:
    """`packing.Alignment` as tensors on the device; `width` is the number of steps of the longest item."""

    rows: Tensor
    cells: Tensor
    steps: Tensor
    targets: Tensor
    target_lengths: Tensor
    width: int


class AlignmentHeads(nn.Module):
    """One linear layer a modality from encoder features to the vocabulary and a blank (the last class).

    Args:
        widths: modality ("image", "audio") -> width of its encoder's features.
        vocabulary: Token ids.
    """

    def __init__(self, widths: Mapping[str, int], vocabulary: int):
        super().__init__()
        self.head = nn.ModuleDict({name: nn.Linear(width, vocabulary + 1) for name, width in widths.items()})

    def forward(self, name: str, features_PD: Tensor, alignment: AlignmentTensors) -> Tensor:
        """The mean negative log-likelihood per transcript token (CTC; Graves et al. 2006); float32 scalar.

        Items whose transcript does not fit into their steps count nothing.
        """
        items = len(alignment.steps)
        pooled = cell_means(features_PD, alignment.rows, alignment.cells, items * alignment.width)
        logits = self.head[name](pooled.to(self.head[name].weight.dtype)).view(items, alignment.width, -1)
        logp_SIV = logits.transpose(0, 1).float().log_softmax(-1)  # float32: sums over many paths underflow in bfloat16
        sizes = (alignment.targets, alignment.steps, alignment.target_lengths)
        loss = F.ctc_loss(logp_SIV, *sizes, blank=logits.shape[-1] - 1, reduction="sum", zero_infinity=True)
        return loss / len(alignment.targets)


def cell_means(features_PD: Tensor, rows: Tensor, cells: Tensor, count: int) -> Tensor:
    """[count, D] float32: cell c is the mean of the features `rows[n]` with `cells[n] == c`; zero where there is none."""
    chosen = features_PD.index_select(0, rows).float()
    sums = torch.zeros(count, chosen.shape[-1], device=chosen.device).index_add(0, cells, chosen)
    sizes = torch.zeros(count, device=chosen.device).index_add(0, cells, torch.ones_like(cells, dtype=torch.float32))
    return sums / sizes.clamp(min=1)[:, None]


@dataclass(frozen=True, eq=False)
class Targets:
    """The labelled positions of a batch, found once on the CPU.

    `positions` [N] index the flattened [B * T] hidden states that predict `labels` [N]; `skills` [N] index the batch's skills.
    """

    positions: Tensor
    labels: Tensor
    skills: Tensor


def targets_of(labels_BT: Tensor, skill_ids_BT: Tensor) -> Targets:
    """Which states predict which labels: the state before a label predicts it."""
    columns = labels_BT.shape[1]
    row, column = (labels_BT[:, 1:] != IGNORE).nonzero(as_tuple=True)
    return Targets(row * columns + column, labels_BT[row, column + 1], skill_ids_BT[row, column + 1])


def prompt_targets_of(inputs: Mapping[str, Tensor], labels_BT: Tensor, special: int) -> Targets:
    """Which states predict the user's own words: text tokens without a label, below `special` none, within one sequence.

    Passages repeat their names and questions quote them, so these many tokens teach copying, which the few answer tokens
    alone teach slowly. `skills` is empty: they are nobody's score.
    """
    ids, types, segments = (inputs[name] for name in ("input_ids", "mm_token_type_ids", "segment_ids"))
    same = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    words = (types[:, 1:] == 0) & (ids[:, 1:] >= special) & (labels_BT[:, 1:] == IGNORE)
    row, column = (same & words).nonzero(as_tuple=True)
    return Targets(row * ids.shape[1] + column, ids[row, column + 1], torch.empty(0, dtype=torch.long))


def cross_entropy(logits_NV: Tensor, targets: Targets, skills: int) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy, and its sums by skill.

    Args:
        logits_NV: At `targets.positions`.
        skills: Number of skills in the batch.

    Returns:
        The scalar to minimise, and a detached [2, skills] of summed losses and token counts.
    """
    losses = F.cross_entropy(logits_NV.float(), targets.labels, reduction="none")  # float32: log-sum-exp over the vocabulary
    values = torch.stack([losses.detach(), torch.ones_like(losses)])
    return losses.mean(), torch.zeros(2, skills, device=losses.device).index_add(1, targets.skills, values)
