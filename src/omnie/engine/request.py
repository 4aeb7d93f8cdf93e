"""What a caller asks of the engine: the prompt's tensors and how to sample. Free of torch, so that options fail early."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from omnie.errors import OptionError

if TYPE_CHECKING:
    from omnie.engine.guide import Guide


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is chosen. Every value is checked here and obeyed by `omnie.engine.sampler`.

    Attributes:
        max_tokens: Most tokens to generate; the end token counts.
        temperature: Divides the logits; 0 is greedy decoding.
        top_p: Nucleus sampling (Holtzman et al. 2020): the smallest set of tokens whose probability reaches it.
        repetition_penalty: CTRL's (Keskar et al. 2019): logits of tokens seen in prompt or answer are divided by it
            when positive, multiplied when negative; 1 changes nothing.
        seed: Makes sampling reproducible; None draws one from the system.

    Raises:
        OptionError: a value is out of range.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        _check("max-tokens", self.max_tokens, "1 or more", self.max_tokens >= 1)
        _check("temperature", self.temperature, "0 to 10", 0 <= self.temperature <= 10)
        _check("top-p", self.top_p, "above 0, up to 1", 0 < self.top_p <= 1)
        _check("repetition-penalty", self.repetition_penalty, "above 0, up to 10", 0 < self.repetition_penalty <= 10)
        _check("seed", self.seed, "0 to 2**63 - 1", self.seed is None or 0 <= self.seed < 2**63)

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


def _check(name: str, value: float | None, allowed: str, ok: bool) -> None:
    if not ok or (value is not None and not math.isfinite(value)):
        raise OptionError(f"{name} is out of range", value=value, allowed=allowed)


GREEDY = SamplingOptions()
"""What omnie does when nothing is asked for."""


@dataclass(frozen=True, eq=False)
class Request:
    """One prompt for the engine.

    Attributes:
        inputs: The arrays of `omnie.inputs` for one sequence, without the batch axis: `input_ids` [T],
            `mm_token_type_ids` [T], `position_ids` [T, 3] and the media tensors that the prompt has.
        options: How to sample.
        stop: Token ids that end the answer; they are not handed out.
        guide: What the answer may be; follows this one answer.
        looks: Further looks at the same media: `inputs` with other values of the media tensors. They are taken while the model
            is not sure of its answer, which then is the surest one.
    """

    inputs: Mapping[str, np.ndarray]
    options: SamplingOptions = GREEDY
    stop: frozenset[int] = frozenset()
    guide: "Guide | None" = None
    looks: Sequence[Mapping[str, np.ndarray]] = ()

    @property
    def length(self) -> int:
        """Prompt tokens."""
        return len(self.inputs["input_ids"])
