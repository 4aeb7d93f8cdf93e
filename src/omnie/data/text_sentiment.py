"""Reviews and their sentiment, one word: `text.sentiment`. Phrase templates belong to one split each."""

import re

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.writing.grammar import broken, fill, tidy, wordings
from omnie.data.writing.values import KINDS, Value
from omnie.data.writing.vocabulary import LANGUAGES, entries, pick
from omnie.messages import text

ANSWERS = {
    "en": {"positive": "positive", "negative": "negative", "neutral": "neutral"},
    "de": {"positive": "positiv", "negative": "negativ", "neutral": "neutral"},
}
ARTICLE = re.compile(r"\b([Aa]) (?=[aeio]|u[^s])")


def sentence(rng: np.random.Generator, language: str, split: Split, mood: str, thing: Value) -> tuple[str, str]:
    """A sentence of a review in a mood, and the name of its template."""
    values = {word: Value(pick(rng, entries(word, language))) for word in ("good", "bad", "glad", "sad")}
    values |= {kind: KINDS[kind](rng, language, split) for kind in ("day", "city", "kg", "price", "colour")}
    template = pick(rng, wordings(f"review.{mood}", language, split))
    return ARTICLE.sub(r"\1n ", tidy(fill(template.wording(rng), values | {"thing": thing}))), template.name


def sentiment(rng: np.random.Generator, split: Split) -> Example:
    """A review of one to three sentences; neutral sentences may stand around a positive or a negative one."""
    language, mood = pick(rng, LANGUAGES), pick(rng, ("positive", "negative", "neutral"))
    thing = KINDS["product"](rng, language, split)
    moods = [mood] + [pick(rng, (mood, "neutral")) for _ in range(int(rng.integers(0, 3)))]
    told = [sentence(rng, language, split, moods[i], thing) for i in rng.permutation(len(moods))]
    question = pick(rng, wordings("sentiment", language, split))
    families = {"template": "+".join(sorted({name for _, name in told} | {question.name})), "language": language}
    parts = (text(broken(rng, " ".join(words for words, _ in told))), text(question.wording(rng)))
    return Example("text.sentiment", parts, ANSWERS[language][mood], "exact", families=families)


GENERATORS: dict[str, Generator] = {"text.sentiment": sentiment}
