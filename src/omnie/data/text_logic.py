"""Small sums, sorting and trend words over numbers in text. Question wordings, and the operand pairs, belong to one split each."""

import numpy as np

from omnie.data.example import Example, Generator, Split
from omnie.data.vocabulary import FEMALE, HOBBIES, JOBS_EN, LANGUAGES, MALE, MONTHS, PRODUCTS_DE, PRODUCTS_EN, owner, pick, pick_owned
from omnie.messages import text

SUMS: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "en": ("What is {}?", "{} =", "Compute {}.", "How much is {}?", "Calculate {}", "Solve: {}", "{} = ?", "Please work out {}."),
        "de": ("Was ist {}?", "{} =", "Berechne {}.", "Wie viel ist {}?", "Rechne {}", "Löse: {}", "{} = ?", "Bitte rechne {} aus."),
    },
    "validation": {"en": ("Result of {}?",), "de": ("Ergebnis von {}?",)},
    "heldout": {"en": ("What does {} make?", "Please compute {}."), "de": ("Was ergibt {}?", "Bitte berechne {}.")},
}
SIGNS = {
    "+": {"en": ("+", "+", "plus"), "de": ("+", "+", "plus")},
    "-": {"en": ("-", "-", "minus"), "de": ("-", "-", "minus")},
    "*": {"en": ("x", "*", "times"), "de": ("x", "*", "mal")},
}
STORIES: dict[Split, dict[str, tuple[tuple[str, str], ...]]] = {
    "train": {
        "en": (
            ("+", "{n} has {a} {t} and gets {b} more. How many {t} does {n} have now?"),
            ("+", "There are {a} {t} on the table and {b} in the box. How many are there together?"),
            ("+", "{n} bought {a} {t} on Monday and {b} on Tuesday. How many in total?"),
            ("-", "{n} has {a} {t} and gives away {b}. How many {t} are left?"),
            ("-", "There were {a} {t}. {n} took {b}. How many remain?"),
            ("-", "{n} had {a} {t} and lost {b} of them. How many are left?"),
        ),
        "de": (
            ("+", "{n} hat {a} {t} und bekommt {b} dazu. Wie viele {t} hat {n} jetzt?"),
            ("+", "Auf dem Tisch liegen {a} {t} und im Karton {b}. Wie viele sind es zusammen?"),
            ("+", "{n} kaufte am Montag {a} {t} und am Dienstag {b}. Wie viele insgesamt?"),
            ("-", "{n} hat {a} {t} und verschenkt {b}. Wie viele {t} bleiben übrig?"),
            ("-", "Es waren {a} {t} da. {n} nahm {b}. Wie viele sind noch da?"),
            ("-", "{n} hatte {a} {t} und verlor {b} davon. Wie viele sind übrig?"),
        ),
    },
    "validation": {
        "en": (("+", "{n} finds {a} {t} and then {b} more. How many are there now?"),),
        "de": (("+", "{n} findet {a} {t} und dann noch {b}. Wie viele sind es jetzt?"),),
    },
    "heldout": {
        "en": (
            ("+", "{n} owns {a} {t} and buys {b} more. How many {t} are there in total?"),
            ("-", "{n} has {a} {t} and loses {b}. How many {t} remain?"),
        ),
        "de": (
            ("+", "{n} besitzt {a} {t} und kauft {b} dazu. Wie viele {t} sind es insgesamt?"),
            ("-", "{n} hat {a} {t} und verliert {b}. Wie viele {t} sind noch da?"),
        ),
    },
}
THINGS = {"en": ("apples", "books", "coins", "stamps", "eggs", "cards"), "de": ("Äpfel", "Bücher", "Münzen", "Marken", "Eier", "Karten")}


def operands(rng: np.random.Generator, split: Split) -> tuple[int, int, str, int]:
    """A sum whose operand pair the split owns: mostly up to two digits, products of small numbers."""
    while True:
        sign = pick(rng, "+++---*")
        high = 11 if sign == "*" else pick(rng, (10, 20, 100, 100))
        a, b = int(rng.integers(0, high)), int(rng.integers(0, high))
        a, b = (max(a, b), min(a, b)) if sign == "-" else (a, b)
        if owner(f"{a}{sign}{b}") == split:
            return a, b, sign, {"+": a + b, "-": a - b, "*": a * b}[sign]


def arithmetic(rng: np.random.Generator, split: Split) -> Example:
    """A sum in signs or words, or a one-sentence story."""
    language = pick(rng, LANGUAGES)
    a, b, sign, result = operands(rng, split)
    stories = [story for s, story in STORIES[split][language] if s == sign]
    if stories and a > 1 and b > 1 and rng.random() < 0.25:
        template = pick(rng, stories)
        asked = template.format(n=pick_owned(rng, FEMALE + MALE, split), a=a, b=b, t=pick(rng, THINGS[language]))
    else:
        template, mark = pick(rng, SUMS[split][language]), pick(rng, SIGNS[sign][language])
        tight = mark in "+-*" and rng.random() < 0.3
        asked = template.format(f"{a}{mark}{b}" if tight else f"{a} {mark} {b}")
    families = {"template": template, "language": language}
    return Example("text.math", (text(asked),), str(result), "exact", families=families)


ORDERINGS: dict[Split, dict[str, tuple[tuple[str, str], ...]]] = {
    "train": {
        "en": (
            ("up", "Sort these numbers: {}"), ("up", "Sort in ascending order: {}"), ("up", "Order from small to large: {}"),
            ("up", "Put in order, smallest first: {}"), ("down", "Sort in descending order: {}"), ("down", "Order from large to small: {}"),
            ("down", "Put in order, largest first: {}"), ("max", "What is the largest number: {}?"), ("max", "Which number is the highest: {}?"),
            ("min", "What is the smallest number: {}?"), ("min", "Which number is the lowest: {}?"),
            ("abc", "Sort alphabetically: {}"), ("abc", "Sort these words: {}"), ("abc", "Put in alphabetical order: {}"),
        ),
        "de": (
            ("up", "Sortiere diese Zahlen: {}"), ("up", "Sortiere aufsteigend: {}"), ("up", "Ordne von klein nach groß: {}"),
            ("up", "Bring in Reihenfolge, die kleinste zuerst: {}"), ("down", "Sortiere absteigend: {}"), ("down", "Ordne von groß nach klein: {}"),
            ("down", "Bring in Reihenfolge, die größte zuerst: {}"), ("max", "Was ist die größte Zahl: {}?"), ("max", "Welche Zahl ist am höchsten: {}?"),
            ("min", "Was ist die kleinste Zahl: {}?"), ("min", "Welche Zahl ist am niedrigsten: {}?"),
            ("abc", "Sortiere alphabetisch: {}"), ("abc", "Sortiere diese Wörter: {}"), ("abc", "Ordne nach dem Alphabet: {}"),
        ),
    },
    "validation": {
        "en": (("up", "Order the numbers, smallest first: {}"), ("abc", "Order alphabetically: {}")),
        "de": (("up", "Ordne die Zahlen, die kleinste zuerst: {}"), ("abc", "Ordne alphabetisch: {}")),
    },
    "heldout": {
        "en": (
            ("up", "Please sort from small to large: {}"), ("down", "Please sort in descending order: {}"), ("max", "Which is the largest number: {}?"),
            ("min", "Which is the smallest number: {}?"), ("abc", "Please sort the words alphabetically: {}"),
        ),
        "de": (
            ("up", "Bitte sortiere von klein nach groß: {}"), ("down", "Bitte sortiere absteigend: {}"), ("max", "Welche ist die größte Zahl: {}?"),
            ("min", "Welche ist die kleinste Zahl: {}?"), ("abc", "Bitte sortiere die Wörter alphabetisch: {}"),
        ),
    },
}  # fmt: skip


def sorting(rng: np.random.Generator, split: Split) -> Example:
    """Three to five numbers or words, to be ordered, or their largest or smallest to be named."""
    language = pick(rng, LANGUAGES)
    task, template = pick(rng, ORDERINGS[split][language])
    size = int(rng.integers(3, 6))
    while True:
        if task == "abc":
            items = [words(rng, language, split)[i] for i in range(size)]
        else:
            items = [str(n) for n in rng.choice(pick(rng, (20, 100, 100)), size, replace=False)]
        if len({item.casefold()[:2] for item in items} if task == "abc" else set(items)) == size:
            break
    ordered = sorted(items, key=str.casefold) if task == "abc" else sorted(items, key=int, reverse=task in ("down", "max"))
    answer = ordered[0] if task in ("max", "min") else ", ".join(ordered)
    families = {"template": template, "language": language}
    return Example("text.sort", (text(template.format(", ".join(items))),), answer, "exact", families=families)


def words(rng: np.random.Generator, language: str, split: Split) -> list[str]:
    """Five words whose first letter has no dots (a-z order is the alphabet's order for them)."""
    pool = JOBS_EN + HOBBIES["en"] + PRODUCTS_EN if language == "en" else [w.partition("/")[0] for w in PRODUCTS_DE] + HOBBIES["de"]
    pool = [word for word in pool if word[0].isascii() and word[1].isascii()]
    return [pool[int(i)] for i in rng.choice(len(pool), 5, replace=False)]


TRENDS = {"en": ("rising", "falling", "flat", "mixed"), "de": ("steigend", "fallend", "gleichbleibend", "schwankend")}
TREND_QUESTIONS: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "en": ("What is the trend: {}?", "Do these numbers rise or fall: {}?", "{}\nWhat is the trend?", "Describe the trend of {}.",
               "How do the values develop: {}?", "Is this rising, falling, flat or mixed: {}?", "{}\nRising or falling?", "Trend of {}?"),
        "de": ("Wie ist der Trend: {}?", "Steigen oder fallen diese Zahlen: {}?", "{}\nWie ist der Trend?", "Beschreibe den Trend von {}.",
               "Wie entwickeln sich die Werte: {}?", "Ist das steigend, fallend, gleichbleibend oder schwankend: {}?",
               "{}\nSteigend oder fallend?", "Trend von {}?"),
    },
    "validation": {"en": ("Which trend do you see in {}?",), "de": ("Welchen Trend siehst du in {}?",)},
    "heldout": {
        "en": ("Name the trend of these numbers: {}", "{}\nHow do these values develop?"),
        "de": ("Nenne den Trend dieser Zahlen: {}", "{}\nWie entwickeln sich diese Werte?"),
    },
}  # fmt: skip


def series(rng: np.random.Generator, trend: str) -> list[int]:
    """Four to seven whole numbers that rise, fall, stay equal, or go up and down."""
    size, start = int(rng.integers(4, 8)), int(rng.integers(1, 90))
    if trend == "flat":
        return [start] * size
    if trend == "mixed":
        signs = rng.permutation([1, -1] + [int(s) for s in rng.choice((1, -1), size - 3)])
        steps = signs * rng.integers(2, 15, size - 1)
        values = np.concatenate([[0], np.cumsum(steps)])
        return [int(x) for x in values - values.min() + start]
    values = np.cumsum(np.concatenate([[start], rng.integers(1, 15, size - 1)]))
    return [int(x) for x in (values if trend == "rising" else values[::-1])]


def trend(rng: np.random.Generator, split: Split) -> Example:
    """A list of numbers (some with months before them) and one word for how it develops."""
    language = pick(rng, LANGUAGES)
    which = int(rng.integers(4))
    while True:
        numbers = series(rng, TRENDS["en"][which])
        listed = ", ".join(map(str, numbers))
        if owner(listed) == split:
            break
    if rng.random() < 0.3:
        first = int(rng.integers(12))
        listed = ", ".join(f"{MONTHS[language][(first + i) % 12]} {n}" for i, n in enumerate(numbers))
    template = pick(rng, TREND_QUESTIONS[split][language])
    families = {"template": template, "language": language}
    return Example("text.trend", (text(template.format(listed)),), TRENDS[language][which], "exact", families=families)


GENERATORS: dict[str, Generator] = {"text.math": arithmetic, "text.sort": sorting, "text.trend": trend}
