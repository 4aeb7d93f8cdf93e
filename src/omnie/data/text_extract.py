"""Extraction: a mail, an order line, a contact or an appointment -> JSON with the keys that are asked for (`text.extract`).

The documents' forms live in `forms.txt`; each belongs to one split.
"""

import json
import re
from collections import defaultdict
from functools import cache
from importlib.resources import files

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.grammar import MARKS, Template, split_mark, wordings
from omnie.data.text_qa import tidy
from omnie.data.values import KINDS
from omnie.data.vocabulary import LANGUAGES, pick
from omnie.messages import text

FIELD = re.compile(r"\{(\w*)=(\w+)\}")
LISTS = {"en": " and ", "de": " und "}


@cache
def forms() -> dict[tuple[str, Split], tuple[Template, ...]]:
    """(language, split) -> the forms that the split owns."""
    found: dict[tuple[str, Split], list[Template]] = defaultdict(list)
    blocks = files("omnie.data").joinpath("forms.txt").read_text("utf-8").split("\nform ")[1:]
    for number, block in enumerate(blocks):
        head, _, body = block.partition("\n")
        language, mark = split_mark(head.strip())
        found[language, MARKS[mark]].append(Template(f"form/{number}", body.strip()))
    return {key: tuple(templates) for key, templates in found.items()}


def complete(rng: np.random.Generator, body: str, language: str, split: Split) -> tuple[str, dict[str, str]]:
    """A form with its fields filled in, and field -> value for those that may be asked for."""
    fields: dict[str, str] = {}

    def draw(match: re.Match[str]) -> str:
        value = KINDS[match.group(2)](rng, language, split).text.partition("/")[0]
        if match.group(1):
            fields[match.group(1)] = value
        return value

    return "\n".join(tidy(line) for line in FIELD.sub(draw, body).split("\n")), fields


def listed(rng: np.random.Generator, keys: list[str], language: str) -> str:
    """Keys as a list in a sentence: "name, date and total" or "name, date, total"."""
    if len(keys) > 1 and rng.random() < 0.5:
        return ", ".join(keys[:-1]) + LISTS[language] + keys[-1]
    return ", ".join(keys)


def extract(rng: np.random.Generator, split: Split) -> Example:
    """A document and two to four keys; the answer is a JSON object with the keys in the order of the question."""
    language = pick(rng, LANGUAGES)
    form = pick(rng, forms()[language, split])
    body, fields = complete(rng, form.wording(rng), language, split)
    chosen = [list(fields)[i] for i in rng.permutation(len(fields))[: int(rng.integers(2, 5))]]
    question = pick(rng, wordings("extract", language, split))
    asked = tidy(question.wording(rng).format(listed(rng, chosen, language)))
    answer = json.dumps({key: fields[key] for key in chosen}, ensure_ascii=False)
    families = {"template": f"{form.name}+{question.name}", "language": language}
    return Example("text.extract", (text(body), text(asked)), answer, "json", families=families)


GENERATORS: dict[str, Generator] = {"text.extract": extract}
