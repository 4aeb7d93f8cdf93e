"""Extraction: a mail, an order line, a contact or an appointment -> JSON with the keys that are asked for (`text.extract`).

The documents' forms live in `writing/forms.txt`; each belongs to one split.
"""

import json

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.writing.grammar import broken, complete, forms, tidy, wordings
from omnie.data.writing.vocabulary import LANGUAGES, pick
from omnie.messages import text

LISTS = {"en": " and ", "de": " und "}


def listed(rng: np.random.Generator, keys: list[str], language: str) -> str:
    """Keys as a list in a sentence: "name, date and total" or "name, date, total"."""
    if len(keys) > 1 and rng.random() < 0.5:
        return ", ".join(keys[:-1]) + LISTS[language] + keys[-1]
    return ", ".join(keys)


def extract(rng: np.random.Generator, split: Split) -> Example:
    """A document and two to four keys; the answer is a JSON object with the keys in the order of the question."""
    language = pick(rng, LANGUAGES)
    form = pick(rng, forms("writing/forms.txt", "form")[language, split])
    body, fields = complete(rng, form.wording(rng), language, split)
    chosen = [list(fields)[i] for i in rng.permutation(len(fields))[: int(rng.integers(2, 5))]]
    question = pick(rng, wordings("extract", language, split))
    asked = tidy(question.wording(rng).format(listed(rng, chosen, language)))
    answer = json.dumps({key: fields[key] for key in chosen}, ensure_ascii=False)
    families = {"template": f"{form.name}+{question.name}", "language": language}
    return Example("text.extract", (text(broken(rng, body)), text(asked)), answer, "json", families=families)


GENERATORS: dict[str, Generator] = {"text.extract": extract}
