"""Copying, the first lesson: `text.copy` (repeat what stands there) and `text.find` (look up a key in a list).

They teach the attention that `text.qa` needs, with less around it. Keys and values are words, names, numbers and made-up
strings; list styles and question wordings belong to one split each.
"""

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.values import KINDS
from omnie.data.vocabulary import FEMALE, LAST, LANGUAGES, MALE, invented, owner, pick, pick_owned
from omnie.messages import text

ORDERS: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "en": ("Repeat: {}", "Say: {}", "Copy this: {}", "Write: {}", "Repeat after me: {}", "Please repeat: {}", "Echo: {}"),
        "de": ("Wiederhole: {}", "Sag: {}", "Schreib ab: {}", "Schreibe: {}", "Sprich mir nach: {}", "Bitte wiederholen: {}"),
    },
    "validation": {"en": ("Copy: {}",), "de": ("Schreib: {}",)},
    "heldout": {"en": ("Repeat this: {}", "Please copy: {}"), "de": ("Wiederhole bitte: {}", "Bitte schreibe: {}")},
}
STYLES: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (("{k}: {v}", "\n"), ("{k} = {v}", "\n"), ("{k} -> {v}", "\n"), ("{k}: {v}", "; "), ("{k} = {v}", ", "), ("{k} {v}", "\n"),
              ("- {k}: {v}", "\n"), ("{k} | {v}", "\n"), ("({k}: {v})", " "), ("{k} is {v}.", " "), ("{k}\t{v}", "\n")),
    "validation": (("* {k}: {v}", "\n"), ("{k} - {v}", ", ")),
    "heldout": (("{k} := {v}", "\n"), ("{k} = {v}", "; "), ("[{k}: {v}]", " "), ("{k} - {v}", "\n")),
}  # fmt: skip
"""How an entry is written, and what stands between entries."""
QUESTIONS: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "en": ("What is the value of {}?", "{}?", "Which value has {}?", "What stands at {}?", "Look up {}.", "Give me {}.", "Value of {}?",
               "What is {}?", "Find {}.", "What does the list say for {}?"),
        "de": ("Welchen Wert hat {}?", "{}?", "Was steht bei {}?", "Was ist der Wert von {}?", "Suche {}.", "Gib mir {}.", "Wert von {}?",
               "Was ist {}?", "Finde {}.", "Was sagt die Liste zu {}?"),
    },
    "validation": {"en": ("What value stands at {}?",), "de": ("Wie lautet der Wert bei {}?",)},
    "heldout": {
        "en": ("What value does {} have?", "Please look up {}.", "Tell me the value of {}."),
        "de": ("Was ist bei {} der Wert?", "Suche bitte {}.", "Nenne den Wert von {}."),
    },
}  # fmt: skip
VALUES = ("price", "code", "count", "date", "city", "product", "phone", "room", "time", "colour", "name", "invented", "digits")


def content(rng: np.random.Generator, language: str, split: Split, kind: str) -> str:
    """A short string that is worth copying."""
    if kind == "invented":
        return invented(rng, split)
    if kind == "name":
        return pick_owned(rng, FEMALE + MALE + LAST, split)
    if kind == "digits":
        return str(int(rng.integers(0, 10 ** int(rng.integers(1, 6)))))
    return KINDS[kind](rng, language, split).text


def copy(rng: np.random.Generator, split: Split) -> Example:
    """'Repeat: ...' with one to six strings."""
    language = pick(rng, LANGUAGES)
    while True:
        words = " ".join(content(rng, language, split, pick(rng, VALUES)) for _ in range(int(rng.integers(1, 7))))
        if owner(words) == split:
            break
    order = pick(rng, ORDERS[split][language])
    families = {"template": order, "language": language}
    return Example("text.copy", (text(order.format(words)),), words, "exact", families=families)


def entries(rng: np.random.Generator, language: str, split: Split) -> dict[str, str]:
    """Two to eight keys of one kind with values of one or of mixed kinds."""
    key_kind, value_kind = pick(rng, ("name", "invented", "product", "code", "city")), pick(rng, VALUES)
    mixed, result = rng.random() < 0.3, {}
    for _ in range(int(rng.integers(2, 9))):
        value = content(rng, language, split, pick(rng, VALUES) if mixed else value_kind)
        result[content(rng, language, split, key_kind)] = value
    return result


def find(rng: np.random.Generator, split: Split) -> Example:
    """A list of keys and values; the value of one key is asked."""
    language = pick(rng, LANGUAGES)
    table = entries(rng, language, split)
    style, joint = pick(rng, STYLES[split])
    asked = pick(rng, QUESTIONS[split][language])
    key = pick(rng, tuple(table))
    body = joint.join(style.format(k=k, v=v) for k, v in table.items())
    families = {"layout": repr((style, joint)), "template": asked, "language": language}
    return Example("text.find", (text(body), text(asked.format(key))), table[key], "exact", families=families)


GENERATORS: dict[str, Generator] = {"text.copy": copy, "text.find": find}
