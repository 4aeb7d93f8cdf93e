"""Numbers as people write them, in German and in English."""

import re

NUMBER = re.compile(r"[-+\u2212]?\d[\d.,' \u00a0\u202f]*")


def numbers(text: str) -> list[float]:
    """The numbers in a text: decimal comma or point, thousands marks, units ignored."""
    return [value for match in NUMBER.findall(text) if (value := parse_number(match)) is not None]


def parse_number(text: str) -> float | None:
    """A number as people write it: "1,240.5", "1.240,5", "3,5", "12 000"; None if it is none.

    Of two kinds of marks the last one is the decimal mark. One kind alone marks thousands if exactly three digits follow each
    and one to three digits, the first not 0, stand before ("1.240" is 1240, "0.125" is an eighth).
    """
    text = re.sub(r"['\s\u00a0\u202f]", "", text).replace("\u2212", "-").rstrip(".,")
    marks = [c for c in text if c in ".,"]
    if len(set(marks)) == 2:
        decimal = marks[-1]
        text = text.replace("," if decimal == "." else ".", "").replace(decimal, ".")
    elif marks:
        grouped = re.fullmatch(r"[-+]?[1-9]\d{0,2}([.,]\d{3})+", text)
        text = re.sub("[.,]", "" if grouped else ".", text)
    try:
        return float(text)
    except ValueError:
        return None
