"""Which of several calls the model finds likeliest as a whole, arguments included.

Token by token the tool is chosen by how its name begins, before the model has tried what it would put in. A call that has to
take a duration for a city costs more in its arguments than its name gained.
"""

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from omnie.engine.guide import Guide
from omnie.engine.sampler import only

Attempt = Callable[[int, int], Tensor]
"""Of one answer: (token, how many came before it) -> the logits [V] behind it."""


def likeliest(attempt: Callable[[], Attempt], guides: Sequence[Guide], begin: int, end: int, limit: int) -> list[int]:
    """The likeliest of the answers that each guide leads to, taking its best token each time, by the probabilities that the
    model gives all tokens, allowed or not. What is less likely than the best one so far is given up at once.

    Args:
        attempt: Begins an answer anew.
        begin, end: First and last token of each answer.
        limit: Most tokens of one.

    Returns:
        Its tokens, from `begin` to `end`; empty when none ends in time.
    """
    best, chosen = -math.inf, []
    for guide in guides:
        step, ids, sure = attempt(), [begin], 0.0
        guide.take(begin)
        while ids[-1] != end and sure > best and len(ids) < limit:
            logits_V = step(ids[-1], len(ids) - 1).float().cpu()
            token = int(only(logits_V, guide.allowed()).argmax())
            sure += float(logits_V.log_softmax(-1)[token])
            guide.take(token)
            ids.append(token)
        if ids[-1] == end and sure > best:
            best, chosen = sure, ids
    return chosen
