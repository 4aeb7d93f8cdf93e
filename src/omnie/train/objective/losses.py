"""What is minimised: cross-entropy at labelled tokens, the alignment (CTC) losses of both encoders, the names of things, the
marks of charts.

The routers' losses come from the model's output (`routers.py`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from omnie.model.reading.marks import Marks
from omnie.model.reading.things import Things
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
    boxes: Tensor


def things_loss(things: Things, tokens_PD: Tensor, where: NamedTensors) -> tuple[Tensor, Tensor, Tensor]:
    """How badly things are named, found and placed: two mean cross-entropies, and how far off their boxes are, float32.

    A thing is named by the mean of the tokens that show it; all other tokens of the pictures show none. How far off a box is
    counts in its own sides, for things lie farther from each other the larger they are. (Spelling the names
    where the things are taught nothing in fifty million tokens: a thing's tokens have no order in which a name's pieces would
    stand in them; `docs/lab.md`.)
    """
    x_PD, shown_P, boxes_P3 = things.logits(tokens_PD)
    _, names_MC = things.named(x_PD, where.rows, where.of, len(where.things))
    wanted_P = torch.zeros_like(shown_P, dtype=torch.float32).index_fill(0, where.rows, 1.0)
    found = F.binary_cross_entropy_with_logits(shown_P.float(), wanted_P)
    off_N3 = boxes_P3.index_select(0, where.rows).float() - where.boxes
    sides_N = where.boxes[:, 2].exp()
    placed = (off_N3[:, :2].abs().sum(1) / sides_N + off_N3[:, 2].abs()).mean()
    return F.cross_entropy(names_MC.float(), where.things), found, placed


@dataclass(frozen=True, eq=False)
class MarkedTensors:
    """`packing.Marked` as tensors on the device."""

    cells: Tensor
    kinds: Tensor
    spots: Tensor


def marks_loss(marks: Marks, tokens_PD: Tensor, where: MarkedTensors) -> tuple[Tensor, Tensor]:
    """How badly charts' marks are found, a cross-entropy over all cells of the pictures per mark, and how far off they are said
    to lie, in cells (their texts' widths in tokens), float32."""
    kinds_PCK, spots_PC3 = marks.logits(tokens_PD)
    wanted_N = where.kinds.new_full((kinds_PCK.shape[0] * kinds_PCK.shape[1],), kinds_PCK.shape[2] - 1)
    wanted_N = wanted_N.index_copy(0, where.cells, where.kinds)
    found = F.cross_entropy(kinds_PCK.flatten(0, 1).float(), wanted_N, reduction="sum") / len(where.cells)
    off_N3 = spots_PC3.flatten(0, 1).index_select(0, where.cells).float() - where.spots
    return found, off_N3.abs().sum(1).mean()


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


PLAIN = 4
"""Of a row's sequences every so many-th is shown without looking ahead, where the loss of prompts needs that."""


def plain(segments_BT: Tensor) -> Tensor:
    """Which tokens of packed rows are shown to a model that looks ahead as to one that does not, bool [B, T]."""
    return (segments_BT % PLAIN == 0) & (segments_BT > 0)


def prompt_targets_of(inputs: Mapping[str, Tensor], labels_BT: Tensor, special: int, looks_ahead: bool = False) -> Targets:
    """Which states predict the user's own words: text tokens without a label, below `special` none, within one sequence.

    A model that looks ahead sees them already, so there it is `plain` sequences' words only.

    Passages repeat their names and questions quote them, so these many tokens teach copying, which the few answer tokens
    alone teach slowly. `skills` is empty: they are nobody's score.
    """
    ids, types, segments = (inputs[name] for name in ("input_ids", "mm_token_type_ids", "segment_ids"))
    same = (segments[:, 1:] == segments[:, :-1]) & (segments[:, 1:] > 0)
    words = (types[:, 1:] == 0) & (ids[:, 1:] >= special) & (labels_BT[:, 1:] == IGNORE)
    words = words & plain(segments)[:, 1:] if looks_ahead else words
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
