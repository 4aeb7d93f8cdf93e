"""Draws `docs/picture.svg`: the files of `examples/`, what is asked about them, the model, and what it answered just now.

`python tools/picture.py` runs `omnie ask` for every question of `examples/questions.toml`. The picture shows what was answered
where that is right; where it is not, the word "answer" in grey stands for what the model is there to give.
"""

import base64
import io
import tomllib
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from run_examples import EXAMPLES, ask, right

from omnie import media

TARGET = Path(__file__).parents[1] / "docs" / "picture.svg"
WIDTH, ROW, TOP = 1000, 104, 20
THUMB = (132, 88)
"""Width and height of a file's picture, in the drawing's units."""
LEFT, MODEL, RIGHT = 24, 500, 760
"""Where the files, the model and the answers begin."""
INK, FAINT, LINE = "#1f2937", "#6b7280", "#cbd5e1"
GROUPS = {"text experts": "#dbeafe", "vision experts": "#dcfce7", "audio experts": "#fef3c7", "shared experts": "#ede9fe"}


def main() -> None:
    cases = tomllib.loads((EXAMPLES / "questions.toml").read_text("utf-8"))["question"]
    answers = [ask(case) for case in cases]
    shown = [answer if right(case, answer) else None for case, answer in zip(cases, answers)]
    TARGET.write_text(drawing(cases, shown), "utf-8")


def drawing(cases: list[dict], answers: list[str | None]) -> str:
    """The whole picture as SVG, with a white ground of its own so that it reads on dark pages."""
    height = 2 * TOP + ROW * len(cases) - (ROW - THUMB[1])
    rows = "".join(row(number, case, answer) for number, (case, answer) in enumerate(zip(cases, answers)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="14">\n'
        f'<rect width="{WIDTH}" height="{height}" rx="12" fill="#ffffff"/>\n{rows}{model(height)}</svg>\n'
    )


def row(number: int, case: dict, answer: str | None) -> str:
    """A file, its question, the arrows through the model, and the answer."""
    y, name = TOP + number * ROW, case["files"][0]
    middle, x = y + THUMB[1] // 2, LEFT + THUMB[0] + 14
    question = case.get("question", "the voice asks")
    return (
        f'<g transform="translate({LEFT} {y})">{thumbnail(EXAMPLES / name)}</g>\n'
        f"{words(x, middle - 8, name, FAINT, size=12)}{words(x, middle + 14, question, INK)}"
        f"{arrow(MODEL - 62, MODEL - 6, middle)}{arrow(RIGHT - 54, RIGHT - 6, middle)}"
        f"{words(RIGHT + 4, middle + 6, answer or 'answer', INK if answer else FAINT, 'bold' if answer else 'normal', 17)}"
    )


def model(height: int) -> str:
    """The middle: encoders, and the decoder's groups of experts."""
    box, width, top = 30, 196, TOP + 26
    parts = [
        f'<rect x="{MODEL}" y="{TOP}" width="{width}" height="{height - 2 * TOP}" rx="10" fill="#f8fafc" stroke="{LINE}"/>\n'
    ]
    shared = ("patches | log-mel | tokens", "vision and audio encoder", "attention, 3-D positions")
    labels = [*((label, "#e2e8f0") for label in shared), *GROUPS.items()]
    step = (height - 2 * TOP - 44 - box) / (len(labels) - 1)
    parts.append(words(MODEL + width // 2, TOP + 22, "nano", INK, weight="bold", anchor="middle"))
    for number, (label, colour) in enumerate(labels):
        y = top + 8 + number * step
        parts.append(f'<rect x="{MODEL + 12}" y="{y:.0f}" width="{width - 24}" height="{box}" rx="6" fill="{colour}"/>')
        parts.append(words(MODEL + width // 2, y + 20, label, INK, anchor="middle", size=13))
    return "".join(parts)


def words(x: float, y: float, value: str, fill: str, weight: str = "normal", size: int = 14, anchor: str = "start") -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{fill}"'
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(value)}</text>\n'


def arrow(start: int, end: int, y: int) -> str:
    path = f"M{start} {y}H{end - 7}m-1-5l8 5l-8 5"
    return f'<path d="{path}" fill="none" stroke="{FAINT}" stroke-width="1.6"/>\n'


def thumbnail(file: Path) -> str:
    """What a file looks like, at most `THUMB` large: a picture, a frame, a page, or the outline of a sound."""
    value = media.load(file)
    return THUMBNAILS[type(value).__name__](value)


def picture(pixels: np.ndarray) -> str:
    """Pixels, twice as fine as they are shown, as a PNG inside the SVG."""
    image = Image.fromarray(pixels)
    image.thumbnail((2 * THUMB[0], 2 * THUMB[1]))
    width, height = image.width / 2, image.height / 2
    file = io.BytesIO()
    image.quantize(64).save(file, "PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    place = f'x="{(THUMB[0] - width) / 2:g}" y="{(THUMB[1] - height) / 2:g}" width="{width:g}" height="{height:g}"'
    return f'<image {place} href="data:image/png;base64,{data}"/><rect {place} fill="none" stroke="{LINE}"/>'


def sound(samples: np.ndarray) -> str:
    """The loudest sample of each of 66 stretches, as upright strokes."""
    peaks = np.array([np.abs(part).max() for part in np.array_split(samples, THUMB[0] // 2)])
    heights = 2 + peaks / max(peaks.max(), 1e-6) * (THUMB[1] - 16)
    middle = THUMB[1] / 2
    strokes = "".join(f"M{2 * i + 1} {middle - h / 2:.1f}v{h:.1f}" for i, h in enumerate(heights))
    return f'<path d="{strokes}" stroke="#2563eb" stroke-width="1.3"/>'


THUMBNAILS: dict[str, Callable[[Any], str]] = {
    "Image": lambda value: picture(value.pixels),
    "Audio": lambda value: sound(value.samples),
    "Video": lambda value: picture(value.frames[len(value.frames) // 2]),
    "Document": lambda value: picture(top(value.pages[0].image.pixels)),
}


def top(pixels: np.ndarray) -> np.ndarray:
    """The upper part of a page: the whole of it would be too narrow to be seen."""
    height, width, _ = pixels.shape
    return pixels[: min(height, width * THUMB[1] // THUMB[0])]


if __name__ == "__main__":
    main()
