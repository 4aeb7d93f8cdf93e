"""Small sums, sums of three digits, sorting and trend words over numbers in text.

Wordings, operand pairs and series belong to one split each.
"""

from collections.abc import Callable

import numpy as np

from omnie.data.example import Example, Generator, Scoring, Split
from omnie.data.turns import Turn, followed
from omnie.data.writing.grammar import wordings
from omnie.data.writing.values import name
from omnie.data.writing.vocabulary import LANGUAGES, entries, owner, pick
from omnie.messages import text

SIGNS = {
    "+": {"en": ("+", "+", "plus"), "de": ("+", "+", "plus")},
    "-": {"en": ("-", "-", "minus"), "de": ("-", "-", "minus")},
    "*": {"en": ("x", "*", "times"), "de": ("x", "*", "mal")},
}
STORIES = {"+": "story.plus", "-": "story.minus"}
TRENDS = {"en": ("rising", "falling", "constant", "fluctuating"), "de": ("steigend", "fallend", "gleichbleibend", "schwankend")}


FURTHER = 3
"""Tasks that follow the first one in training."""


def tasks(
    skill: str,
    rng: np.random.Generator,
    split: Split,
    task: Callable[[np.random.Generator, Split, str], Turn],
    scoring: Scoring = "exact",
) -> Example:
    """A task in one language; in training further ones of its kind follow, which cost less than examples of their own."""
    language = pick(rng, LANGUAGES)
    first = task(rng, split, language)
    families = {"template": first.template, "language": language}
    example = Example(skill, (text(first.question),), first.answer, scoring, families=families, quote=first.quote)
    return followed(example, split, (task(rng, split, language) for _ in range(FURTHER)))


def equation(a: int, sign: str, b: int) -> str:
    """The answer to a sum: what was understood, then the result. Saying the one first makes the other a small step."""
    result = {"+": a + b, "-": a - b, "*": a * b}[sign]
    return f"{a} {SIGNS[sign]['en'][0]} {b} = {result}"


def operands(rng: np.random.Generator, split: Split) -> tuple[int, int, str]:
    """a, b and sign of a sum that the split owns, mostly of up to two digits; products of small numbers."""
    while True:
        sign = pick(rng, "+++---*")
        high = 11 if sign == "*" else pick(rng, (10, 20, 100, 100))
        a, b = int(rng.integers(0, high)), int(rng.integers(0, high))
        a, b = (max(a, b), min(a, b)) if sign == "-" else (a, b)
        if owner(f"{a}{sign}{b}") == split:
            return a, b, sign


def arithmetic(rng: np.random.Generator, split: Split) -> Example:
    """A sum in signs or words, or a story of one or two sentences."""
    return tasks("text.math", rng, split, _sum)


def _sum(rng: np.random.Generator, split: Split, language: str) -> Turn:
    a, b, sign = operands(rng, split)
    if sign in STORIES and min(a, b) > 1 and rng.random() < 0.25:
        template = pick(rng, wordings(STORIES[sign], language, split))
        who = name(rng, pick(rng, ("female", "male")), split)
        asked = template.wording(rng).format(n=who, a=a, b=b, t=pick(rng, entries("things", language)))
    else:
        template, mark = pick(rng, wordings("sum", language, split)), pick(rng, SIGNS[sign][language])
        tight = mark in "+-*" and rng.random() < 0.3
        asked = template.wording(rng).format(f"{a}{mark}{b}" if tight else f"{a} {mark} {b}")
    return Turn(asked, equation(a, sign, b), template.name)


def columns(rng: np.random.Generator, split: Split) -> Example:
    """A sum or difference of numbers of up to three digits; training works it out digit by digit, from the right."""
    return tasks("text.digits", rng, split, _columns, "quoted")


def _columns(rng: np.random.Generator, split: Split, language: str) -> Turn:
    while True:
        sign, a, b = pick(rng, "+-"), int(rng.integers(100, 1000)), int(rng.integers(1, 1000))
        a, b = (max(a, b), min(a, b)) if sign == "-" else (a, b)
        if owner(f"{a}{sign}{b}") == split:
            break
    template, mark = pick(rng, wordings("sum", language, split)), pick(rng, SIGNS[sign][language])
    result = a + b if sign == "+" else a - b
    quote = f"{a} {sign} {b}: {', '.join(worked_out(a, sign, b))} = {result}"
    return Turn(template.wording(rng).format(f"{a} {mark} {b}"), str(result), template.name, "quoted", quote)


def worked_out(a: int, sign: str, b: int) -> list[str]:
    """Adding or subtracting on paper: ones, tens, hundreds; what is carried is added last, what is borrowed taken off above."""
    steps, over = [], 0
    for _ in range(max(len(str(a)), len(str(b)))):
        (a, high), (b, low) = divmod(a, 10), divmod(b, 10)
        if sign == "+":
            terms = [high, low, *([over] if over else [])]
            over = sum(terms) // 10
            steps.append(f"{'+'.join(map(str, terms))}={sum(terms)}")
        else:
            high -= over
            over = int(high < low)
            high += 10 * over
            steps.append(f"{high}-{low}={high - low}")
    return steps


def sorting(rng: np.random.Generator, split: Split) -> Example:
    """Three to five numbers or words, to be ordered, or the largest or smallest to be named."""
    return tasks("text.sort", rng, split, _order)


def _order(rng: np.random.Generator, split: Split, language: str) -> Turn:
    task = pick(rng, ("up", "up", "down", "max", "min", "abc"))
    templates = wordings(f"sort.{task}", language, split)
    template, size = pick(rng, templates), int(rng.integers(3, 6))
    items = words(rng, language, size, split) if task == "abc" else integers(rng, size, split)
    ordered = sorted(items, key=str.casefold) if task == "abc" else sorted(items, key=int, reverse=task in ("down", "max"))
    answer = ordered[0] if task in ("max", "min") else ", ".join(ordered)
    return Turn(template.wording(rng).format(", ".join(items)), answer, template.name)


def integers(rng: np.random.Generator, size: int, split: Split) -> list[str]:
    """Different whole numbers below 100, in an order that the split owns."""
    while True:
        items = [str(n) for n in rng.choice(pick(rng, (20, 100, 100)), size, replace=False)]
        if owner(" ".join(items)) == split:
            return items


def words(rng: np.random.Generator, language: str, size: int, split: Split) -> list[str]:
    """Words with different beginnings of plain letters, so that code-point order is the alphabet's order."""
    pool = [entry.partition("/")[0] for kind in ("products", "hobbies") for entry in entries(kind, language)]
    pool = [word for word in pool if word[:2].isascii()]
    while True:
        items = [pool[int(i)] for i in rng.choice(len(pool), size, replace=False)]
        if owner(" ".join(items)) == split and len({item[:2].casefold() for item in items}) == size:
            return items


def series(rng: np.random.Generator, trend: str) -> list[int]:
    """Four to seven whole numbers that rise, fall, stay equal, or go up and down."""
    size, start = int(rng.integers(4, 8)), int(rng.integers(1, 90))
    if trend == "constant":
        return [start] * size
    if trend == "fluctuating":
        signs = rng.permutation([1, -1] + [int(s) for s in rng.choice((1, -1), size - 3)])
        values = np.concatenate([[0], np.cumsum(signs * rng.integers(2, 15, size - 1))])
        return [int(x) for x in values - values.min() + start]
    values = np.cumsum(np.concatenate([[start], rng.integers(1, 15, size - 1)]))
    return [int(x) for x in (values if trend == "rising" else values[::-1])]


def trend(rng: np.random.Generator, split: Split) -> Example:
    """A list of numbers (some with months before them) and one word for how it develops."""
    return tasks("text.trend", rng, split, _development)


def _development(rng: np.random.Generator, split: Split, language: str) -> Turn:
    which = int(rng.integers(4))
    while True:
        numbers = series(rng, TRENDS["en"][which])
        if owner(", ".join(map(str, numbers))) == split:
            break
    listed = ", ".join(map(str, numbers))
    if rng.random() < 0.3:
        first, months = int(rng.integers(12)), entries("months", language)
        listed = ", ".join(f"{months[(first + i) % 12]} {n}" for i, n in enumerate(numbers))
    template = pick(rng, wordings("trend", language, split))
    return Turn(template.wording(rng).format(listed), TRENDS[language][which], template.name)


GENERATORS: dict[str, Generator] = {"text.math": arithmetic, "text.sort": sorting, "text.trend": trend,
                                    "text.digits": columns}  # fmt: skip
