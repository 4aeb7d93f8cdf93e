"""What is minimised: cross-entropy at labelled tokens, the alignment (CTC) losses of both encoders, the routers' losses.

The routers' losses come from the model's output; the alignment heads live here because only training needs them: they are
part of the training state and not of a shipped model.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnie.train.stream.packing import IGNORE


@dataclass(frozen=True)
class LossWeights:
    """Factors on the auxiliary losses; the routers' own weights are the model's."""

    image_alignment: float = 0.2
    audio_alignment: float = 0.2


@dataclass(frozen=True, eq=False)
class AlignmentTensors:
    """`packing.Alignment` as tensors on the device; `width` is the number of cells of the longest item."""

    rows: Tensor
    cells: Tensor
    cells_of: Tensor
    targets: Tensor
    target_lengths: Tensor
    width: int


BYTES = 256
STEPS = {"image": 8, "audio": 4}
"""Steps of the alignment within a token: 4 pixels of a line are narrower than an 'i', 20 ms shorter than any sound."""


class AlignmentHeads(nn.Module):
    """One linear layer a modality, from a token as the decoder sees it to a few steps of byte probabilities.

    The transcript is spelled in bytes, not in the vocabulary's tokens: a letter looks and sounds alike wherever it stands, and
    some sixty letters are met in every batch, a thousand tokens are not.

    Args:
        width: Of the tokens.
        steps: modality -> steps within a token.
        classes: Of a step, without the blank (the last class).
    """

    def __init__(self, width: int, steps: Mapping[str, int] = STEPS, classes: int = BYTES):
        super().__init__()
        self.steps, self.blank = dict(steps), classes
        self.head = nn.ModuleDict({name: nn.Linear(width, count * (classes + 1)) for name, count in steps.items()})

    def forward(self, name: str, tokens_TD: Tensor, alignment: AlignmentTensors) -> Tensor:
        """The mean negative log-likelihood per byte of the transcripts (CTC; Graves et al. 2006); float32 scalar.

        Items whose transcript does not fit into their steps count nothing.
        """
        logp_SIV = self.log_probabilities(name, tokens_TD, alignment).transpose(0, 1)
        sizes = (alignment.targets, alignment.cells_of * self.steps[name], alignment.target_lengths)
        loss = F.ctc_loss(logp_SIV, *sizes, blank=self.blank, reduction="sum", zero_infinity=True)
        return loss / len(alignment.targets)

    def log_probabilities(self, name: str, tokens_TD: Tensor, alignment: AlignmentTensors) -> Tensor:
        """[items, steps, classes + 1]; float32, for sums over many paths underflow in bfloat16."""
        items, head = len(alignment.cells_of), self.head[name]
        pooled = cell_means(tokens_TD, alignment.rows, alignment.cells, items * alignment.width)
        logits = head(pooled.to(head.weight.dtype)).view(items, alignment.width * self.steps[name], -1)
        return logits.float().log_softmax(-1)


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
