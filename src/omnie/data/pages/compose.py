"""Pages of training that are put together anew: any fields in any order, each said as one of many writers would say it.

A dozen pages a language are learned by heart, labels and all. What is put together is in `parts.txt`; the result is a page as
they stand in `pages.txt`, with its fields still to be filled in.
"""

from functools import cache

import numpy as np

from omnie.data.writing.grammar import read, tidy
from omnie.data.writing.invented.words import words
from omnie.data.writing.vocabulary import pick

TITLE = "title"
ONCE = (("invoice", "order", "customer"), ("date", "due"), ("recipient", "contact"))
"""Fields of one kind: of most pages, not of all, only one of them."""
BARE = ("recipient", "sender", "place", "date", "day", "time", "topic", "phone")
"""Fields whose values say by themselves what they are."""
JOINED = (
    *(("place", "date"), ("day", "date"), ("day", "date", "time"), ("date", "time"), ("day", "time"), ("time", "place")),
    *(("topic", "date"), ("topic", "day", "time"), ("sender", "place"), ("recipient", "place"), ("sender", "phone")),
)
"""Such as may stand in one line."""
STRANGE = 0.3
"""Share of the fields whose labels say nothing, on half of the pages: which of them is meant, only its kind tells then."""
BETWEEN = (", ", ", ", ", ", " - ", " · ", " / ")
TABLES = {
    "en": (("Item", "Article", "What", "Description"), ("Qty", "Number", "Pieces"), ("Price", "Cost", "Amount")),
    "de": (("Artikel", "Position", "Was", "Bezeichnung"), ("Menge", "Anzahl", "Stück"), ("Preis", "Kosten", "Betrag")),
}
"""How the columns of a list of items may be called: what, how many, for how much."""


@cache
def parts(language: str) -> dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Field -> the kind of its value, its labels, and sentences that tell it."""
    found = {}
    for line in read("pages/parts.txt").splitlines():
        if line.startswith(f"{language} "):
            _, name, kind, rest = line.split(" ", 3)
            labels, _, sentences = rest.partition(" / ")
            found[name] = kind, tuple(labels.split("|")), tuple(filter(None, sentences.split("|")))
    return found


def kind(language: str, field: str) -> str:
    """The kind of a field's values."""
    return parts(language)[field][0]


def composed(rng: np.random.Generator, language: str, strange: bool = True) -> tuple[str, tuple[str, ...]]:
    """A page with four to nine fields, perhaps with a list of items with prices among them; and the fields whose labels say
    nothing, of each kind one at most.

    Args:
        strange: Whether there may be such fields: what the page lacks could be one of them.
    """
    known = parts(language)
    names = [name for name in known if name != TITLE]
    names = [names[place] for place in rng.permutation(len(names))[: int(rng.integers(4, 10))]]
    for alike in ONCE:
        if rng.random() < 0.6:
            names = [name for name in names if name not in alike or name == next(n for n in names if n in alike)]
    usual, blocks, prose = pick(rng, ("label", "label", "sentence", "line")), [], []
    kinds: set[str] = set()  # of what stands there without labels
    line, together = "", [fields for fields in JOINED if set(fields) <= set(names)]
    if together and rng.random() < 0.4:
        fields = pick(rng, together)
        line = pick(rng, ("", "", "> ")) + pick(rng, BETWEEN).join(_field(language, name) for name in fields)
        names = [name for name in names if name not in fields]
        kinds = {kind(language, name) for name in fields}
    odd: dict[str, str] = {}  # kind -> the field whose label says nothing
    for name in names if strange and rng.random() < 0.5 else ():
        if rng.random() < STRANGE and kind(language, name) not in kinds:
            odd.setdefault(kind(language, name), name)
    for name in names:
        how = usual if rng.random() < 0.7 else pick(rng, ("label", "sentence", "line", "right"))
        if name in BARE and rng.random() < 0.25 and kind(language, name) not in odd:
            how = "bare"
        if name in odd.values():
            how = pick(rng, ("label", "line", "right"))
        if how == "sentence":
            prose.append(_said(rng, language, name))
            if rng.random() < 0.6:
                continue
        if prose:
            blocks.append(" ".join(prose))
            prose = []
        if how != "sentence":
            blocks.append(_shown(rng, language, name, how, name in odd.values()))
        if rng.random() < 0.2:
            blocks.append(pick(rng, ("", "---")))
    if prose:
        blocks.append(" ".join(prose))
    if line:
        blocks.insert(int(rng.integers(len(blocks) + 1)), line)
    if rng.random() < 0.35:
        blocks.insert(int(rng.integers(len(blocks) + 1)), _table(rng, language))
    if rng.random() < 0.8:
        heading = tidy(pick(rng, known[TITLE][1]))
        blocks.insert(0, f"{pick(rng, ('#', '#', '##'))} {heading.upper() if rng.random() < 0.25 else heading}")
    return "\n".join(blocks), tuple(odd.values())


def _field(language: str, name: str) -> str:
    return f"{{{name}={parts(language)[name][0]}}}"


def _said(rng: np.random.Generator, language: str, name: str) -> str:
    """The field in a sentence."""
    return pick(rng, parts(language)[name][2]).replace("{}", _field(language, name))


def _shown(rng: np.random.Generator, language: str, name: str, how: str, odd: bool = False) -> str:
    """The field behind its label, or an odd one: in two columns, in one line, or at the right; or by itself."""
    label, field = pick(rng, parts(language)[name][1]), _field(language, name)
    label = _odd(rng, language) if odd else label
    label = label.upper() if rng.random() < 0.08 else label
    if how == "bare":
        return pick(rng, ("", "", "> ")) + field
    if how == "label":
        return f"= {label} | {field}"
    return f"{'> ' if how == 'right' else ''}{label}{pick(rng, (':', ':', ''))} {field}"


def _odd(rng: np.random.Generator, language: str) -> str:
    """A label that says nothing: none of its words is in a label."""
    while True:
        label = tidy(" ".join(words(rng, language, 1, 2)))
        if not set(label.casefold().split()) & _label_words(language):
            return label


@cache
def _label_words(language: str) -> frozenset[str]:
    return frozenset(word for _, labels, _ in parts(language).values() for word in " ".join(labels).casefold().split())


def _table(rng: np.random.Generator, language: str) -> str:
    """Items with their prices, perhaps with how many of each; the first may be asked for."""
    counted = rng.random() < 0.5
    titles = [pick(rng, names) for place, names in enumerate(TABLES[language]) if counted or place != 1]
    cells = ["product", "stock", "price"] if counted else ["product", "price"]
    first = {"product": "{item=product}", "price": "{itemprice=price}"}
    rows = [titles, [first.get(kind, f"{{={kind}}}") for kind in cells]]
    rows += [[f"{{={kind}}}" for kind in cells]] * int(rng.integers(1, 4))
    return "\n".join("| " + " | ".join(row) for row in rows)
