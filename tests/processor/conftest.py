"""A tokenizer trained in the test itself and media drawn from noise: no model folder is needed."""

import numpy as np
import pytest

from omnie.media.types import Audio, Document, Image, Page, Table, Video, Word
from omnie.processor import Encoder, ProcessorSettings, Tokenizer

SENTENCES = (
    "Was zeigt diese Grafik? Die Größe beträgt 3,5 Prozent.",
    "How many red circles are in the picture? There are twelve.",
    '{"name": "Jürgen", "value": 42, "city": "Köln"}',
    "Übermäßig schöne Straßen führen über München nach Süden, für 20 € am Tag.",
    "The quick question deserves a short answer, and the answer is no.",
)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(SENTENCES * 3, 360)


@pytest.fixture(scope="session")
def encoder(tokenizer: Tokenizer) -> Encoder:
    return Encoder(tokenizer, ProcessorSettings())


def picture(height: int, width: int, seed: int = 0) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def sound(samples: int, seed: int = 0) -> Audio:
    return Audio(np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32))


def clip(frames: int, fps: float = 2.0, audio: Audio | None = None, seconds: float | None = None) -> Video:
    pixels = np.random.default_rng(frames).integers(0, 256, (frames, 72, 128, 3), dtype=np.uint8)
    return Video(pixels, np.arange(frames) / fps, seconds or frames / fps, audio)


def document() -> Document:
    words = (Word("Guten", (0.1, 0.1, 0.2, 0.13)), Word("Tag", (0.21, 0.1, 0.3, 0.13)), Word("Ende", (0.1, 0.2, 0.2, 0.23)))
    return Document((Page(1, picture(200, 140), words), Page(2, picture(200, 140))))


def table() -> Table:
    return Table("Blatt 1", (("Monat", "Wert"), ("Mai", "3\n4")))
