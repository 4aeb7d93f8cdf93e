"""Words of training without their sense: drawn from what its passages say, or made up."""

import re
from functools import cache

import numpy as np

from omnie.data.writing.grammar import SLOT, grammar
from omnie.data.writing.vocabulary import invented, pick

WORD = re.compile(r"[^\W\d_]{2,}")
MADE_UP = 0.2
"""Share of made-up words."""


@cache
def ordinary(language: str) -> tuple[str, ...]:
    """Words of training's passages."""
    facts = (fact for domain in grammar(language).domains.values() for fact in domain.facts.values())
    texts = (SLOT.sub(" ", template.text) for fact in facts for template in fact.sentences["train"])
    return tuple(sorted({word for text in texts for word in WORD.findall(text)}))


def words(rng: np.random.Generator, language: str, least: int, most: int) -> list[str]:
    """`least` to `most` words that say nothing together."""
    count = int(rng.integers(least, most + 1))
    return [invented(rng, "train").lower() if rng.random() < MADE_UP else pick(rng, ordinary(language)) for _ in range(count)]
