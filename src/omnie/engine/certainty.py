"""How sure a model was of its answer: the probability that it gave all of it, the end included."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from omnie.errors import CheckpointError

SURE = 0.8
"""The probability of an answer from which on no further look is taken."""


class Certainty:
    """Adds up what the tokens of one answer cost, by the probabilities that the model gives all tokens, allowed or not.

    Attributes:
        nats: The negative log-probability of the answer so far.
        looks: At the media, that were taken for it.
    """

    def __init__(self) -> None:
        self.nats, self.looks = 0.0, 1

    def note(self, logits_TV: Tensor, ids: Sequence[int]) -> None:
        """These tokens came, each behind the logits of its row.

        Raises:
            CheckpointError: logits are not numbers.
        """
        self.nats += float(nats(logits_TV, torch.tensor(ids, device=logits_TV.device)).sum())

    @property
    def confidence(self) -> float:
        """The probability of the answer, 0 to 1."""
        return math.exp(-self.nats)


def nats(logits_TV: Tensor, token_T: Tensor) -> Tensor:
    """What each token costs, float32 [T].

    Raises:
        CheckpointError: logits are not numbers, so that no token is likelier than another.
    """
    logits_TV = logits_TV.float()
    cost_T = logits_TV.logsumexp(-1) - logits_TV.gather(-1, token_T[:, None]).squeeze(-1)
    if cost_T.isnan().any():
        raise CheckpointError(
            "the model gives no probabilities",
            value="nan",
            allowed="numbers",
            hint="its weights are damaged, or too large for its number format",
        )
    return cost_T
