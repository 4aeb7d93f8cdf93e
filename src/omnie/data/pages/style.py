"""How a page looks. A layout (heading, key rows, accent and table taken together) belongs to one split, as do the fonts."""

from dataclasses import dataclass

import numpy as np

from omnie.data import fonts
from omnie.data.example import Split
from omnie.data.fonts import Face
from omnie.data.writing.vocabulary import owner, pick

HEADINGS = ("left", "centre", "right")
KEYS = ("columns", "colon", "leader", "edge")
ACCENTS = ("none", "bar", "side", "rule", "band")
TABLES = ("plain", "lines", "zebra")
INKS = ((20, 20, 20), (0, 0, 0), (40, 40, 60), (60, 50, 40))
ACCENT_INKS = ((30, 60, 120), (150, 30, 30), (20, 100, 70), (90, 60, 130), (200, 110, 20), (70, 70, 70), (0, 120, 140))
PAPERS = ((255, 255, 255), (255, 255, 255), (252, 250, 244), (247, 247, 249))


@dataclass(frozen=True)
class Style:
    """Everything that drawing needs beside the text. Sizes are shares of the page's height, `aspect` is height by width."""

    heading: str
    keys: str
    accent: str
    table: str
    body: Face
    bold: Face
    size: float
    margin: float
    gap: float
    aspect: float
    ink: tuple[int, int, int]
    colour: tuple[int, int, int]
    paper: tuple[int, int, int]

    @property
    def name(self) -> str:
        """The layout's family name."""
        return f"{self.heading}/{self.keys}/{self.accent}/{self.table}"

    @property
    def family(self) -> str:
        return self.body.family


def draw_layout(rng: np.random.Generator, split: Split) -> tuple[str, str, str, str]:
    """A combination of heading, keys, accent and table that the split owns."""
    while True:
        layout = (pick(rng, HEADINGS), pick(rng, KEYS), pick(rng, ACCENTS), pick(rng, TABLES))
        if owner("/".join(layout)) == split:
            return layout


def draw_style(rng: np.random.Generator, split: Split) -> Style:
    """A style of the split.

    Raises:
        InputError: The fonts have not been fetched.
    """
    body = fonts.pick(rng, split, kinds=("sans", "serif", "slab", "mono"), styles=("regular",))
    family = next(faces for faces in fonts.faces(split, body.kind) if body in faces)
    return Style(
        *draw_layout(rng, split),
        body=body,
        bold=next((face for face in family if face.style == "bold"), body),
        size=rng.uniform(0.018, 0.025),
        margin=rng.uniform(0.06, 0.12),
        gap=rng.uniform(1.2, 1.6),
        aspect=pick(rng, (1.414, 1.414, 1.294, 1.6)),
        ink=pick(rng, INKS),
        colour=pick(rng, ACCENT_INKS),
        paper=pick(rng, PAPERS),
    )
