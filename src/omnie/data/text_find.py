"""Copying, the first lesson: `text.copy` (repeat what stands there) and `text.find` (look up a key in a list).

They teach the attention that `text.qa` needs, with less around it. Keys and values are words, names, numbers and made-up
strings; list styles and question wordings belong to one split each.
"""

from collections.abc import Iterator

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.turns import Turn, followed
from omnie.data.writing.grammar import broken, wordings
from omnie.data.writing.values import KINDS
from omnie.data.writing.vocabulary import LANGUAGES, entries, invented, owner, pick, pick_owned
from omnie.messages import text

STYLES: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (
        *((style, "\n") for style in ("{k}: {v}", "{k} = {v}", "{k} -> {v}", "{k} {v}", "- {k}: {v}", "{k} | {v}", "{k}\t{v}")),
        *(("{k}: {v}", "; "), ("{k} = {v}", ", "), ("({k}: {v})", " "), ("{k} is {v}.", " ")),
    ),
    "validation": (("* {k}: {v}", "\n"), ("{k} - {v}", ", ")),
    "heldout": (("{k} := {v}", "\n"), ("{k} = {v}", "; "), ("[{k}: {v}]", " "), ("{k} - {v}", "\n")),
}
"""How an entry is written, and what stands between entries."""
MARKS = ("=", ":", ">", "~", "|", "/", "+", "*", "#", "<", "..", "->", "=>", "--", "::")
"""What invented styles of training put between key and value, with blanks around it or not."""
JOINTS = ("\n", "\n", "\n", "\n\n", "; ", ", ", " / ", " ", " | ")


def draw_style(rng: np.random.Generator, split: Split) -> tuple[str, str]:
    """A style of the split: in training half of them are made up, so that no mark is learned by heart."""
    while split == "train" and rng.random() < 0.5:
        mark = pick(rng, MARKS) + (pick(rng, MARKS) if rng.random() < 0.3 else "")
        opening, closing = pick(
            rng, (("", ""), ("", ""), ("", ""), ("<", ">"), ("{{", "}}"), ("- ", ""), ("# ", ""), ("", "."))
        )
        style = f"{opening}{{k}}{pick(rng, ('', ' '))}{mark}{pick(rng, ('', ' '))}{{v}}{closing}", pick(rng, JOINTS)
        if not any(style in STYLES[other] for other in ("validation", "heldout")) and ":=" not in mark:
            return style
    return pick(rng, STYLES[split])


VALUES = ("price", "code", "count", "date", "city", "product", "phone", "room", "time", "colour", "name", "invented", "digits")


def content(rng: np.random.Generator, language: str, split: Split, kind: str) -> str:
    """A short string that is worth copying."""
    if kind == "invented":
        return invented(rng, split)
    if kind == "name":
        return pick_owned(rng, entries(pick(rng, ("female", "male", "last"))), split)
    if kind == "digits":
        return str(int(rng.integers(0, 10 ** int(rng.integers(1, 6)))))
    return KINDS[kind](rng, language, split).text


def copy(rng: np.random.Generator, split: Split) -> Example:
    """'Repeat: ...' with one to six strings."""
    language = pick(rng, LANGUAGES)
    first = repetition(rng, language, split)
    families = {"template": first.template, "language": language}
    example = Example("text.copy", (text(first.question),), first.answer, "exact", families=families)
    return followed(example, split, (repetition(rng, language, split) for _ in range(int(rng.integers(1, 3)))))


def repetition(rng: np.random.Generator, language: str, split: Split) -> Turn:
    """An order to repeat something that the split owns."""
    while True:
        words = " ".join(content(rng, language, split, pick(rng, VALUES)) for _ in range(int(rng.integers(1, 7))))
        if owner(words) == split:
            break
    order = pick(rng, wordings("copy", language, split))
    return Turn(order.wording(rng).format(words), words, order.name)


def table(rng: np.random.Generator, language: str, split: Split) -> dict[str, str]:
    """Two to eight keys of one kind with values of one or of mixed kinds."""
    key_kind, value_kind = pick(rng, ("name", "invented", "product", "code", "city")), pick(rng, VALUES)
    mixed, result = rng.random() < 0.3, {}
    for _ in range(int(rng.integers(2, 9))):
        value = content(rng, language, split, pick(rng, VALUES) if mixed else value_kind)
        result[content(rng, language, split, key_kind)] = value
    return result


def entry(style: str, key: str, value: str) -> str:
    """An entry of a list from its key to its value, as it stands there: "clock := 7:20 am".

    It is the answer when the key's value is asked for. Said after its key, a value is what follows the key in the list; said
    alone, it would have to be found from a question that lies between them.
    """
    return style[style.index("{k}") : style.index("{v}") + len("{v}")].format(k=key, v=value)


def find(rng: np.random.Generator, split: Split) -> Example:
    """A list of keys and values; the value of one key is asked, and the answer quotes its entry."""
    language = pick(rng, LANGUAGES)
    pairs = table(rng, language, split)
    style, joint = draw_style(rng, split)
    asked = pick(rng, wordings("find", language, split))
    key = pick(rng, tuple(pairs))
    body = joint.join(style.format(k=k, v=v) for k, v in pairs.items())
    families = {"layout": repr((style, joint)), "template": asked.name, "language": language}
    parts = (text(broken(rng, body)), text(asked.wording(rng).format(key)))
    example = Example("text.find", parts, entry(style, key, pairs[key]), "exact", families=families)
    others = {k: entry(style, k, v) for k, v in pairs.items() if k != key}
    return followed(example, split, lookups(rng, language, split, others))


def lookups(rng: np.random.Generator, language: str, split: Split, entries_of: dict[str, str]) -> Iterator[Turn]:
    """Questions for two to four of the keys, as many as there are; the answers are their entries."""
    for place in rng.permutation(len(entries_of))[: int(rng.integers(2, 5))]:
        key, asked = list(entries_of)[place], pick(rng, wordings("find", language, split))
        yield Turn(asked.wording(rng).format(key), entries_of[key], asked.name)


GENERATORS: dict[str, Generator] = {"text.copy": copy, "text.find": find}
