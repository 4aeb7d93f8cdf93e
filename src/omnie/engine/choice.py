"""Which of several calls the model finds likeliest as a whole, arguments included.

Token by token the tool is chosen by how its name begins, before the model has tried what it would put in. A call that has to
take a duration for a city costs more in its arguments than its name gained.
"""

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from omnie.engine.guide import Guide
from omnie.engine.sampler import only

Attempt = Callable[[Sequence[int], int], Tensor]
"""Of one answer: (tokens, how many came before them) -> the logits behind each of them, [T, V]."""


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
        step, ids, seen, sure = attempt(), [begin], 0, 0.0
        guide.take(begin)
        while ids[-1] != end and sure > best and len(ids) < limit:
            certain = guide.forced()[: limit - len(ids)]
            ids += certain
            logits_TV = step(ids[seen:], seen).float().cpu()
            sure += sum(float(logits_TV[-1 - back].log_softmax(-1)[ids[-back]]) for back in range(1, 1 + len(certain)))
            seen = len(ids)
            for token in certain:
                guide.take(token)
            if ids[-1] != end and len(ids) < limit:
                token = int(only(logits_TV[-1], guide.allowed()).argmax())
                sure += float(logits_TV[-1].log_softmax(-1)[token])
                guide.take(token)
                ids.append(token)
        if ids[-1] == end and sure > best:
            best, chosen = sure, ids
    return chosen
