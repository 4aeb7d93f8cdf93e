"""From logits to one token: what may come, repetition penalty, temperature, top-p, draw. No model and no stopping here."""

from collections.abc import Iterable

import numpy as np
import torch

from omnie.engine.request import SamplingOptions


class Sampler:
    """Chooses the tokens of one sequence; it remembers which tokens that sequence has seen and owns its random source."""

    def __init__(self, options: SamplingOptions, prompt: Iterable[int] = ()):
        self.options = options
        self._seen: set[int] = set(prompt) if options.repetition_penalty != 1 else set()
        self._random = torch.Generator()
        if options.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(options.seed)

    def __call__(self, logits_V: torch.Tensor, allowed_V: np.ndarray | None = None) -> int:
        """The next token's id.

        Args:
            logits_V: [V], any float dtype and device.
            allowed_V: bool [V or fewer]: the only tokens that may come; None for all.
        """
        logits_V = logits_V.float().cpu()  # float32: bf16 has too few digits for a cumulative sum over the vocabulary
        if allowed_V is not None:
            logits_V = only(logits_V, allowed_V)
        if self._seen:
            logits_V = penalised(logits_V, self._seen, self.options.repetition_penalty)
        token = int(logits_V.argmax()) if self.options.greedy else self._draw(logits_V)
        self.note([token])
        return token

    def note(self, tokens: Iterable[int]) -> None:
        """These came too, without a choice."""
        if self.options.repetition_penalty != 1:
            self._seen.update(tokens)

    def _draw(self, logits_V: torch.Tensor) -> int:
        probabilities_V = nucleus((logits_V / self.options.temperature).softmax(-1), self.options.top_p)
        return int(torch.multinomial(probabilities_V, 1, generator=self._random))


def only(logits_V: torch.Tensor, allowed_V: np.ndarray) -> torch.Tensor:
    """Logits with -inf where a token is not allowed; what the mask is too short for (padding of the matrix) is not, and what it
    is too long for (tokens that the model does not have) cannot come."""
    shut_V = torch.ones(logits_V.shape, dtype=torch.bool)
    allowed_V = allowed_V[: len(shut_V)]
    shut_V[: len(allowed_V)] = torch.from_numpy(~allowed_V)
    return logits_V.masked_fill(shut_V.to(logits_V.device), -torch.inf)


def penalised(logits_V: torch.Tensor, seen: Iterable[int], penalty: float) -> torch.Tensor:
    """Logits with the repetition penalty applied to `seen` (Keskar et al. 2019, section 4.1)."""
    index = torch.tensor(sorted(seen))
    chosen = logits_V[index]
    return logits_V.index_copy(0, index, torch.where(chosen > 0, chosen / penalty, chosen * penalty))


def nucleus(probabilities_V: torch.Tensor, top_p: float) -> torch.Tensor:
    """Probabilities outside the nucleus set to zero (Holtzman et al. 2020); not renormalised. The best token always stays."""
    if top_p >= 1:
        return probabilities_V
    ordered, index = probabilities_V.sort(descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    return torch.zeros_like(probabilities_V).index_copy(0, index, ordered.where(before < top_p, 0.0))
