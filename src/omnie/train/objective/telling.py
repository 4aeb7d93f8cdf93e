"""Teacher forcing of what is read: some texts of a batch are told to the decoder as the encoders should have read them.

A decoder that only ever sees readings of which half are wrong learns to distrust them all. Told the right words for some of
the texts, in the places where they are read, it learns to use a reading, and uses the better ones that come later.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from omnie.inputs import MARK_CELLS, SPATIAL_MERGE
from omnie.model.reading import Told
from omnie.model.reading.marks import Spot
from omnie.train.objective.losses import AlignmentTensors, MarkedTensors


def told(texts: AlignmentTensors, steps: int, share: float, tokens: int, rows: Tensor | None = None) -> Told:
    """A random `share` of a batch's texts, their words evenly spaced over the tokens that read them.

    A text of more words than half of its steps is never told: words side by side would be one.

    Args:
        steps: Steps within a token.
        tokens: Tokens of the medium in the batch, without padding.
        rows: int64, the token that each row of the encoder's output is, where it has padding.
    """
    cells_T, words_T = texts.cells_of, texts.words_of
    chosen_T = (torch.rand(len(cells_T)).to(cells_T.device) < share) & (2 * words_T <= steps * cells_T)
    first_T = cells_T.cumsum(0) - cells_T
    text_W = torch.arange(len(words_T), device=words_T.device).repeat_interleave(words_T)
    order_W = torch.arange(len(text_W), device=words_T.device) - (words_T.cumsum(0) - words_T)[text_W]
    step_W = (2 * order_W + 1) * cells_T[text_W] * steps // (2 * words_T[text_W])
    token_N = texts.rows if rows is None else rows[texts.rows]
    at_W = token_N[first_T[text_W] + step_W // steps] * steps + step_W % steps
    of_N = torch.arange(len(cells_T), device=cells_T.device).repeat_interleave(cells_T)
    covered = torch.zeros(tokens, dtype=torch.bool, device=cells_T.device).index_fill(0, token_N[chosen_T[of_N]], True)
    kept = chosen_T[text_W]
    return Told(covered.repeat_interleave(steps), at_W[kept], texts.words[kept], (order_W == 0)[kept])


def told_marks(marked: MarkedTensors, grids: Sequence[Sequence[int]], share: float) -> tuple[Sequence[Spot] | None, ...]:
    """The marks of a random `share` of a batch's charts; None of the other pictures.

    Args:
        grids: Frames, rows and columns of each picture's patches, in order.
    """
    sizes = [(rows // SPATIAL_MERGE, columns // SPATIAL_MERGE) for _, rows, columns in grids]
    cells_N, kinds_N, spots_N3 = (values.cpu().numpy() for values in (marked.cells, marked.kinds, marked.spots))
    ends_P = np.cumsum([rows * columns * MARK_CELLS**2 for rows, columns in sizes])
    picture_N = np.searchsorted(ends_P, cells_N, side="right")
    chosen_P = torch.rand(len(sizes)).numpy() < share
    found: list[Sequence[Spot] | None] = []
    for picture, (_, columns) in enumerate(sizes):
        mine = picture_N == picture
        if not chosen_P[picture] or not mine.any():
            found.append(None)
            continue
        tokens_N, inner_N = np.divmod(cells_N[mine] - (ends_P[picture - 1] if picture else 0), MARK_CELLS**2)
        middle_N2 = np.stack(np.divmod(tokens_N, columns), axis=1) * MARK_CELLS
        middle_N2 = middle_N2 + np.stack(np.divmod(inner_N, MARK_CELLS), axis=1) + 0.5 + spots_N3[mine, :2]
        places = zip(kinds_N[mine].tolist(), (middle_N2 / MARK_CELLS).tolist(), spots_N3[mine, 2].tolist(), strict=True)
        found.append([Spot(kind, down, right, half) for kind, (down, right), half in places])
    return tuple(found)
