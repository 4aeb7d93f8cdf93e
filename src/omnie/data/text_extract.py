"""Extraction: a mail, an order line, a contact or an appointment -> JSON with the keys that are asked for (`text.extract`).

The documents' forms live in `writing/forms.txt`; each belongs to one split. A dozen of them a language are learned by heart, so
most documents of training are put together anew: any fields in any order, each said as one of many writers would say it.
"""

import json
from collections.abc import Iterator
from functools import cache

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.text_find import draw_style
from omnie.data.text_form import CASES
from omnie.data.turns import Turn, followed
from omnie.data.writing.grammar import broken, complete, forms, labels, read, tidy, wordings
from omnie.data.writing.invented.words import words
from omnie.data.writing.values import KINDS
from omnie.data.writing.vocabulary import LANGUAGES, pick
from omnie.messages import text

LISTS = {"en": " and ", "de": " und "}
COMPOSED = 0.7
"""Share of training's documents that are put together."""
BREAKS = ("\n", "\n", ", ", "; ", ". ", " | ", " - ", " / ", " ")
"""What stands between the parts of one."""
SENTENCES = ("\n", ". ")
"""Those behind which a part begins with a capital."""
FURTHER = 2
"""Orders that follow the first one in training."""


def listed(rng: np.random.Generator, keys: list[str], language: str) -> str:
    """Keys as a list in a sentence: "name, date and total" or "name, date, total"."""
    if len(keys) > 1 and rng.random() < 0.5:
        return ", ".join(keys[:-1]) + LISTS[language] + keys[-1]
    return ", ".join(keys)


@cache
def fragments(language: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Kind of value -> the key that asks for it, and how it may be said."""
    found = {}
    for line in read("writing/fragments.txt").splitlines():
        if line.startswith(f"{language} "):
            _, kind, key, said = line.split(" ", 3)
            found[kind] = key, tuple(said.split("|"))
    return found


def composed(rng: np.random.Generator, language: str) -> tuple[str, dict[str, str]]:
    """A made-up document of training with three to seven fields, and key -> value.

    Fields stand bare, behind a label (of any name for their kind), in a few words, or among words that say nothing; mostly all
    alike.
    """
    known = fragments(language)
    kinds = [list(known)[place] for place in rng.permutation(len(known))[: int(rng.integers(3, 8))]]
    spelled, (style, joint) = pick(rng, CASES), draw_style(rng, "train")
    usual, mixed = pick(rng, ("bare", "label", "label", "words", "words", "among", "among")), rng.random() < 0.4
    if usual != "label" or mixed:
        joint = pick(rng, BREAKS)
    fields, pieces = {}, []
    for kind in kinds:
        key, phrases = known[kind]
        fields[key] = KINDS[kind](rng, language, "train").alone
        how = pick(rng, ("bare", "label", "words", "words", "among")) if mixed else usual
        if how == "bare":
            pieces.append(fields[key])
        elif how == "label":
            names = [key, *(name for name, of in labels(language, "train").items() if of == kind)]
            pieces.append(style.format(k=spelled(pick(rng, names)), v=fields[key]))
        else:
            phrase = pick(rng, phrases) if how == "words" else _among(rng, language)
            pieces.append((tidy(phrase) if joint in SENTENCES or not pieces else phrase).format(fields[key]))
    return joint.join(pieces) + pick(rng, ("", "", ".", "!")), fields


def _among(rng: np.random.Generator, language: str) -> str:
    """A place for a value among words that say nothing."""
    return " ".join([*words(rng, language, 0, 3), "{}", *words(rng, language, 0, 2)])


def orders(rng: np.random.Generator, fields: dict[str, str], language: str, split: Split) -> Iterator[Turn]:
    """Orders for two to four of the fields; the answer is a JSON object with the keys in the order of the question."""
    while True:
        chosen = [list(fields)[i] for i in rng.permutation(len(fields))[: int(rng.integers(2, 5))]]
        question = pick(rng, wordings("extract", language, split))
        asked = tidy(question.wording(rng).format(listed(rng, chosen, language)))
        answer = json.dumps({key: fields[key] for key in chosen}, ensure_ascii=False)
        yield Turn(asked, answer, question.name)


def extract(rng: np.random.Generator, split: Split) -> Example:
    """A document and an order for some of its fields; in training further orders follow."""
    language = pick(rng, LANGUAGES)
    if split == "train" and rng.random() < COMPOSED:
        name, (body, fields) = "composed", composed(rng, language)
    else:
        form = pick(rng, forms("writing/forms.txt", "form")[language, split])
        name, (body, fields) = form.name, complete(rng, form.wording(rng), language, split)
    asked = orders(rng, fields, language, split)
    first = next(asked)
    families = {"template": f"{name}+{first.template}", "language": language}
    parts = (text(broken(rng, body)), text(first.question))
    return followed(Example("text.extract", parts, first.answer, "json", families=families), split, asked, most=FURTHER)


GENERATORS: dict[str, Generator] = {"text.extract": extract}
