"""Sentences spoken by SVOX Pico (through py-nanotts): `python tools/wild/speech.py FOLDER`. Other voices: `speech.mjs`."""

import sys
from pathlib import Path

import av
import numpy as np
from py_nanotts import NanoTTS

RATE = 16_000
SENTENCES = {
    "pico_bus": ("de-DE", 1.0, "Der letzte Bus fährt um halb elf."),
    "pico_garten": ("de-DE", 0.95, "Im Garten steht ein alter Kirschbaum."),
    "pico_fenster": ("de-DE", 1.0, "Bitte schließen Sie das Fenster."),
    "pico_plus": ("de-DE", 0.95, "Wie viel ist acht plus fünf?"),
    "pico_minus": ("de-DE", 1.0, "Rechne zwölf minus vier."),
    "pico_train": ("en-GB", 1.0, "The train to Oxford leaves from platform two."),
    "pico_kettle": ("en-US", 1.0, "Please put the kettle on."),
    "pico_sum": ("en-GB", 0.95, "What is nine plus six?"),
}
"""Name -> voice, speed and what is said."""


def main(folder: Path) -> None:
    for name, (voice, speed, sentence) in SENTENCES.items():
        samples = np.frombuffer(NanoTTS().speak(sentence, voice, speed, volume=0.6), np.int16)
        write(folder / f"{name}.flac", np.pad(samples, RATE // 5))


def write(path: Path, samples: np.ndarray) -> None:
    """16-bit mono as FLAC."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("flac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        file.mux([*stream.encode(frame), *stream.encode()])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
