"""A small stream of pictures, sounds and text that a toy model can learn, made with the real encoder."""

import numpy as np

from omnie.data.example import Example
from omnie.media.types import Audio, Image
from omnie.messages import Part, text
from omnie.train.stream.source import Encoding, Stream

WORDS = ("rot", "blau", "eins", "zwei", "haus", "baum", "katze", "wind")


def example(skill: str, index: int) -> Example:
    """Example `index` of a skill; the answer is a word that the input shows."""
    rng = np.random.default_rng([index, len(skill)])
    word = WORDS[rng.integers(len(WORDS))]
    transcript = None
    if skill == "picture":
        pixels = rng.integers(0, 255, (int(rng.integers(1, 4)) * 32, int(rng.integers(2, 8)) * 32, 3), dtype=np.uint8)
        parts, transcript = (Part("image", Image(pixels)), text("Was?")), word
    elif skill == "sound":
        samples = rng.normal(0, 0.1, int(rng.integers(4000, 16000))).astype(np.float32)
        parts, transcript = (Part("audio", Audio(samples)), text("Was?")), word
    else:
        parts = (text(" ".join(WORDS[n] for n in rng.integers(len(WORDS), size=rng.integers(2, 30))) + " " + word + "?"),)
    return Example(skill, parts, word, transcript=transcript)


def source() -> Stream:
    """What a data worker builds."""
    return Stream({"picture": 1.0, "sound": 2.0, "words": 2.0}, example, Encoding(None), {}, 0)


def broken() -> Stream:
    """A stream whose examples cannot be made."""
    return Stream({"words": 1.0}, fail, Encoding(None), {}, 0)


def fail(skill: str, index: int) -> Example:
    raise RuntimeError(f"cannot make {skill} {index}")


def dying() -> Stream:
    """A stream whose worker is killed, as by the kernel when memory is short."""
    return Stream({"words": 1.0}, die, Encoding(None), {}, 0)


def die(skill: str, index: int) -> Example:
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")
