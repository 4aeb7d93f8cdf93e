"""Teacher forcing of what is read: some texts of a batch are told to the decoder as the encoders should have read them.

A decoder that only ever sees readings of which half are wrong learns to distrust them all. Told the right words for some of
the texts, in the places where they are read, it learns to use a reading, and uses the better ones that come later.
"""

import torch
from torch import Tensor

from omnie.model.reading import Told
from omnie.train.objective.losses import AlignmentTensors


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
