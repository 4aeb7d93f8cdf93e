"""Speaks `question.wav`, the spoken question of `make run`: "can you calculate seven plus five" (12).

The voice (espeak-ng variant m3) and the wording belong to the held-out split: no training example is spoken by the one or
follows the other.
"""

import sys
import wave
from pathlib import Path

import numpy as np

from omnie.data.audio.voices import RATE, Voice, speak

SENTENCE = "can you calculate seven plus five"
VOICE = Voice("en-us", "m3", rate=150)


def main(folder: Path) -> None:
    samples = np.pad(speak(SENTENCE, VOICE), int(0.2 * RATE))
    with wave.open(str(folder / "question.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples * 24_000).astype("<i2").tobytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
