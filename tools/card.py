"""The model card of nano, `src/omnie/nano/README.md`: fixed words around what `results.py` reads. `docs.py` writes it."""

import results

CARD = """---
license: apache-2.0
language: [de, en]
library_name: transformers
---

# nano

The model that `omnie` answers with unless told otherwise: a mixture of experts that takes text, pictures, sound, clips with
sound, PDF pages and tables, and answers in text. It was trained from scratch by this repository on material that the
repository generates itself, drawn with free fonts and emoji sets and spoken by espeak-ng; no other data set and no other
weights went in. This card is written by `make fix` from the result files in `benchmarks/results/` and from the code.

## What it is

{sizes}
The matrices are stored as int8 with one float16 scale for 32 inputs and become float32 when loaded. Pictures are scaled to at
most {image:,} pixels, scanned pages to {scan:,} (fewer where a document has many), frames of clips to {video:,} pixels at
{fps:g} a second; sound is heard at 16 kHz.

## What it can do

Greedy answers to generated cases of the held-out families: fonts, voices, emoji sets, chart and clip renderers, layouts and
wordings that training never used.

{skills}
"yes" is a score of 80 % or more, "often" of 40 %. Where text is read or written down the score is 1 - the error rate of
characters (CER) or words (WER). Intervals: Wilson for right-or-wrong scores, bootstrap for graded ones. "Surest 80 %" is the
mean score of the four fifths of the answers that the model gave the highest probability (`confidence` in `omnie ask --json`).
Pictures and sounds, not clips, were looked at up to {looks} times, as by `omnie ask`; Transformers' `generate` looks once.

What its encoders read on their own, before the decoder answers (texts, names of things, what moves how):

{reading}
## What it cannot do

- It knows nothing of the world: it answers from what it is given, within the skills above, in short sentences.
- It was never shown photographs, handwriting, music, real voices in real rooms, films or pages from a real scanner; what it
  says about them is a guess. The print of a whole page is mostly too fine for it: a PDF page is answered best from its text
  layer.
- It takes what is familiar for true: a chart of a kind that it does not know gets an answer that sounds sure. How probable an
  answer was to it tells right from wrong ones only on material like that which it was trained on.
- One question at a time: it was not trained on conversations or instructions hidden in files, and it is not made safe against
  any of them. It calls tools, half the time the wrong one or with the wrong words. Do not let its answers decide anything that
  matters to somebody.

## How it was trained

{training}
The loss counts the tokens of the answers only, beside the routers' balance and orthogonality losses and two alignment losses
that fade out. The mixture of skills, with its weights, is `src/omnie/data/skills.py`; the settings of the run, its curve and
its losses by skill are in `benchmarks/results/training.json`. What more training has brought so far, version by version, is
drawn in `docs/progress.svg` (`python tools/progress.py`). The n-grams that its readings are searched with are counted by
`python tools/ngrams.py`; a run keeps those of the weights that it begins with.

Material: charts, tables, lines, objects, speech (espeak-ng), sounds, moving scenes, PDF pages and written passages, unlimited
and deterministic by seed. Fonts and emoji are fetched, never shipped; `src/omnie/data/assets.toml` names every family, its
licence and its split. Emoji whose licence asks for credit:

{credits}
How the experts are used on held-out material:

{experts}
## To make it again

```sh
make assets   # the fonts and emoji
{command}
make eval     # the table above, for the shipped weights
make bench    # seconds and memory of an answer
```

Equal settings draw equal material in an equal order; the weights differ, because the run ends by the clock.
"""


def card() -> str:
    """The whole file."""
    from omnie.processor import Encoder

    settings = Encoder.load(results.ROOT / "src" / "omnie" / "nano").settings
    return CARD.format(
        sizes=results.sizes(),
        skills=results.skills("detail"),
        training=results.training(),
        reading=results.reading(),
        experts=results.experts(),
        credits=results.credits(),
        command=results.command(),
        image=settings.image_max_pixels,
        scan=settings.scan_max_pixels,
        video=settings.video_max_pixels,
        fps=settings.video_fps,
        looks=settings.looks,
    )
