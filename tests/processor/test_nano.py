"""The built-in model's tokenizer and settings: their size, what they cost, and that they are what the weights learned."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnie.processor import Encoder, chat

FOLDER = Path(chat.__file__).parents[1] / "nano"
DIGEST = "e859516e12a4f2179c2f4062add0ee08b436e13a09f645f368b830536fdfc88b"
"""SHA-256 of `tokenizer.json`; new merges would make the shipped weights useless."""


@pytest.fixture(scope="module")
def nano() -> Encoder:
    return Encoder.load(FOLDER)


def test_the_ids_are_those_that_the_weights_learned(nano):
    assert len(nano.tokenizer) == 1024
    assert hashlib.sha256((FOLDER / "tokenizer.json").read_bytes()).hexdigest() == DIGEST


@given(value=st.text())
def test_every_text_round_trips(nano, value):
    assert nano.decode(nano.tokenizer.encode(value)) == value


@pytest.mark.parametrize(
    ("value", "most"),
    [
        ("Die Bibliothek hat am Samstag von zehn bis vierzehn Uhr geöffnet.", 0.6),
        ("The library is open on Saturday from ten until two.", 0.6),
        ('{"name": "Jürgen", "price": 12.5}', 0.7),
    ],
)
def test_a_text_costs_at_most(nano, value, most):
    assert len(nano.tokenizer.encode(value)) <= most * len(value)


@settings(max_examples=300)
@given(ids=st.lists(st.one_of(st.integers(0, 31), st.integers(0, 1023)), max_size=40))
def test_whatever_a_model_writes_can_be_parsed_and_its_texts_rendered_again(nano, ids):
    written = [message for message in nano.parse(ids) if all(part.kind == "text" for part in message.parts)]
    assert nano.parse(nano.render(written, False)) == written


def test_settings_of_the_built_in_model(nano):
    kept = nano.settings
    assert (kept.patch, kept.image_max_pixels, kept.video_max_pixels, kept.video_fps) == (16, 640 * 512, 160 * 96, 2.0)
