"""Pages with a text layer are mostly shown small in training: their layer says what is asked about."""

import numpy as np

from omnie.data.example import Example, Written
from omnie.media.types import Document, Image, Page, Word
from omnie.messages import Part, text
from omnie.train.stream.source import AFAR, DISTANT, _from_afar


def page(words: tuple[Word, ...], height: int = 400, width: int = 300) -> Example:
    shown = Document((Page(1, Image(np.full((height, width, 3), 200, np.uint8)), words),))
    written = (Written("a", (0, 0, 9, 9)),)
    return Example("pages.qa", (Part("document", shown), text("What?")), "a", written=written)


def test_pages_with_a_layer_shrink_mostly_and_are_not_told_what_to_read():
    layered = page((Word("a", (0, 0, 9, 9)),))
    seen = [_from_afar(layered, np.random.default_rng(seed)) for seed in range(200)]
    small = [made for made in seen if made is not layered]
    assert abs(len(small) / len(seen) - AFAR) < 0.1
    for made in small:
        height, width = made.parts[0].value.pages[0].image.pixels.shape[:2]
        assert DISTANT[0] * 0.95 < height * width < DISTANT[1] * 1.05 and abs(height / width - 4 / 3) < 0.05
        assert made.written == () and made.parts[1:] == layered.parts[1:]
        assert made.parts[0].value.pages[0].words == layered.parts[0].value.pages[0].words


def test_scanned_pages_and_small_ones_stay_as_they_are():
    scanned, tiny = page(()), page((Word("a", (0, 0, 9, 9)),), 60, 80)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        assert _from_afar(scanned, rng) is scanned
        assert _from_afar(tiny, rng).parts[0].value.pages[0].image.pixels.shape == (60, 80, 3)
