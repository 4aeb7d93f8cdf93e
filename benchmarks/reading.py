"""How well the encoders read on their own: what is written, said or seen, against what they read there, before any decoder.

`python benchmarks/reading.py [--model MODEL] [--cases 50]` writes `benchmarks/results/reading.json`: for each skill whose
examples say what is to be read where, the share of words that are wrong (edit distance of the vocabulary's words over their
number), the share of letters, and that of the likeliest letters without what is usually written; how many texts are right as
a whole, and how many letters are read in a token in which there is nothing. Cases are held out; texts of charts are of the
validation split, whose renderer says where they stand.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnie import checkpoint
from omnie.data import skills
from omnie.data.scoring import edit_distance
from omnie.evaluation.report import provenance, write
from omnie.inputs import BAR, TAB
from omnie.messages import user
from omnie.model.reading import Reading
from omnie.model.reading.ngrams import LetterModel
from omnie.model.reading.search import transcribe
from omnie.model.reading.words import GAP
from omnie.train.stream.source import spelled

RESULT = Path(__file__).resolve().parent / "results" / "reading.json"
VALIDATION = ("charts.title",)


def tokens(body: Any, medium: str, tensors: dict[str, Tensor]) -> Tensor:
    """[T, D] of an example's only medium."""
    if medium == "audio":
        return body.audio.encode_batch(tensors["input_features"], tensors["audio_lengths"]).tokens[0]
    pixels = tensors["pixel_values" if medium == "image" else "pixel_values_videos"]
    return body.visual(pixels, tensors[f"{medium}_grid_thw"]).tokens


def letters(reading: Reading, scores_SL: Tensor, model: LetterModel | None) -> bytes:
    """What is read at the steps of one text."""
    lines = np.zeros(len(scores_SL), np.int64)
    return transcribe([scores_SL], lines, None, GAP, model, reading.fusion, reading.place is not None).letters


@torch.inference_mode()
def measure(model: Any, encoder: Any, skill: str, split: Any, cases: int) -> dict[str, Any]:
    """One skill's row."""
    sums = dict.fromkeys(
        ("words", "wrong_words", "letters", "wrong_letters", "unlikely", "texts", "right_texts", "silent", "false_letters"), 0
    )
    for index in range(cases):
        example = skills.example(skill, split, index)
        arrays = encoder.encode([user(example.parts[0])], generation_prompt=False)
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        texts = spelled(example, arrays, encoder.tokenizer.encode)
        for medium in {text.medium for text in texts}:
            reading = model.model.reading["audio" if medium == "audio" else "image"]
            usual = None if reading.ngrams is None else LetterModel.of(reading.ngrams)
            scores = reading.logits(tokens(model.model, medium, tensors)).log_softmax(-1)
            for text in (text for text in texts if text.medium == medium):
                seen = scores[text.tokens].flatten(0, 1)
                read = letters(reading, seen, usual)
                if not len(text.letters):
                    sums["silent"] += len(text.tokens)
                    sums["false_letters"] += len(read)
                    continue
                written, words = bytes(text.letters.tolist()), text.words.tolist()
                sums["words"] += len(words)
                sums["wrong_words"] += edit_distance(
                    encoder.tokenizer.encode(read.decode(errors="replace").lstrip(TAB).replace(TAB, BAR)), words
                )
                sums["letters"] += len(written)
                sums["wrong_letters"] += edit_distance(read, written)
                sums["unlikely"] += edit_distance(letters(reading, seen, None), written)
                sums["texts"] += 1
                sums["right_texts"] += read == written
    shares = {
        "word_error": sums["wrong_words"] / max(sums["words"], 1),
        "letter_error": sums["wrong_letters"] / max(sums["letters"], 1),
        "letter_error_without_ngrams": sums["unlikely"] / max(sums["letters"], 1),
        "whole": sums["right_texts"] / max(sums["texts"], 1),
        "false_letters_per_silent_token": sums["false_letters"] / max(sums["silent"], 1),
    }
    return {"split": split, "cases": cases, "texts": sums["texts"]} | {name: round(share, 4) for name, share in shares.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--skills", nargs="*", default=list(skills.TRANSCRIBED))
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    model, encoder = checkpoint.load(given.model)[:2]
    rows = {}
    for skill in given.skills:
        rows[skill] = measure(
            model.float().eval(), encoder, skill, "validation" if skill in VALIDATION else "heldout", given.cases
        )
        print(skill, json.dumps(rows[skill]), file=sys.stderr, flush=True)
    rows = {skill: row for skill, row in rows.items() if row["texts"]}  # things are drawn, not written
    write(given.out, provenance(given.model) | {"skills": rows})


if __name__ == "__main__":
    main()
