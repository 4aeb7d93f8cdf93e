"""What is minimised: cross-entropy at labelled tokens, the alignment (CTC) losses of both encoders, the routers' losses.

The routers' losses come from the model's output; the head that names things lives here because only training needs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnie.train.stream.packing import IGNORE


@dataclass(frozen=True, eq=False)
class AlignmentTensors:
    """`packing.Alignment` as tensors on the device; `width` is the number of cells of the longest text."""

    rows: Tensor
    cells: Tensor
    cells_of: Tensor
    letters: Tensor
    letters_of: Tensor
    words: Tensor
    words_of: Tensor
    silent: Tensor
    width: int


def reading_loss(
    logits: Callable[[Tensor], Tensor], tokens_PD: Tensor, where: AlignmentTensors, targets: Tensor, targets_of: Tensor
) -> Tensor:
    """The mean negative log-likelihood per symbol of texts (CTC; Graves et al. 2006), and of nothing where nothing is written.

    Texts that do not fit into their steps count nothing.

    Args:
        logits: Tokens [N, D] to [N, steps, classes + blank], the blank last.
        tokens_PD: The encoder's output.
        targets: int64, the symbols of all texts one after the other; `targets_of`, how many each has.

    Returns:
        float32 scalar.
    """
    # float32, for sums over many paths underflow in bfloat16
    logp_NSV = logits(tokens_PD.index_select(0, torch.cat([where.rows, where.silent]))).float().log_softmax(-1)
    read_NSV, silent_NSV = logp_NSV.split([len(where.rows), len(where.silent)])
    steps, classes = logp_NSV.shape[1:]
    loss = -silent_NSV[..., -1].sum()
    if texts := len(targets_of):
        grid = logp_NSV.new_zeros(texts * where.width, steps, classes).index_copy(0, where.cells, read_NSV)
        by_step = grid.view(texts, where.width * steps, classes).transpose(0, 1)
        sizes = (targets, where.cells_of * steps, targets_of)
        loss = loss + F.ctc_loss(by_step, *sizes, blank=classes - 1, reduction="sum", zero_infinity=True)
    return loss / max(len(targets), 1)


@dataclass(frozen=True, eq=False)
class NamedTensors:
    """`packing.Named` as tensors on the device."""

    rows: Tensor
    of: Tensor
    things: Tensor


class Naming(nn.Module):
    """Which thing is seen: one linear layer on the mean of the tokens that show it. Only training has it.

    Spelling the names instead taught nothing in fifty million tokens (`docs/lab.md`): a thing's tokens have no order in which
    a name's pieces would stand in them.
    """

    def __init__(self, width: int, things: int):
        super().__init__()
        self.head = nn.Linear(width, things)

    def forward(self, tokens_PD: Tensor, where: NamedTensors) -> Tensor:
        """The mean cross-entropy of the things' numbers, float32; the tokens' length does not matter."""
        shown_ND = F.rms_norm(tokens_PD, tokens_PD.shape[-1:]).index_select(0, where.rows).to(self.head.weight.dtype)
        total_MD = shown_ND.new_zeros(len(where.things), shown_ND.shape[-1]).index_add(0, where.of, shown_ND)
        count_M = shown_ND.new_zeros(len(where.things)).index_add(0, where.of, torch.ones_like(shown_ND[:, 0]))
        return F.cross_entropy(self.head(total_MD / count_M[:, None]).float(), where.things)


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
