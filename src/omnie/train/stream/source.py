"""The training stream: which skill comes next, its example, encoded. NumPy only; lives in the worker processes.

The generators are in `omnie.data`, the encoder in `omnie.processor`; this file only joins them and applies the mix.
"""

import math
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from omnie.data import skills
from omnie.data.example import Example, Written, generator_for
from omnie.data.typed import SHARE, typed
from omnie.errors import OptionError
from omnie.inputs import BAR, LEGEND, MARK_CELLS, NAME, SERIES, SPATIAL_MERGE, TAB, TICK, audio_tokens
from omnie.media.types import Document, Image, Video
from omnie.messages import Message, Part, Tool, assistant, user
from omnie.processor import Encoder
from omnie.processor.chat import read_call
from omnie.processor.image import resize
from omnie.processor.tools import offered
from omnie.train.stream.packing import IGNORE, Drawn, Marked, Sample, Spelled, shrink

SPELLING = "spelling/"
"""What stands before a skill's name when only its media and their transcript are wanted."""
LANES = 4
"""Random streams of an index begin here."""
STRIDE = 840
"""A multiple of most numbers of workers: what comes again comes to the worker that remembers it."""
WINDOW = 4096
"""Examples among which those that come again are drawn, and how many a worker remembers."""
EDGE = 0.06
"""Share of a token by which a text may reach into it unnoticed."""
AFAR, DISTANT = 0.75, (7_000, 20_000)
"""Share of pages with a text layer whose picture is shown small, and its pixels, from and to: what is asked about stands in the
layer, and most tokens of such an example would be the picture's."""
WHOLE = (0.0, 0.0, 1.0, 1.0)
"""The box of a text that is all there is in a picture."""
BUILT_IN = Path(__file__).parents[2] / "nano"

Box = tuple[float, float, float, float]
Mix = Mapping[str, float | tuple[tuple[float, float], ...]]
"""Skill or its group -> factor on its weight, or points (progress, factor) that
are joined by straight lines."""


@dataclass(frozen=True)
class Stream:
    """Draws skills by weight and makes their samples.

    Attributes:
        weights: skill -> weight.
        example: (skill, index) -> Example.
        encode: An example as tensors, and what is to be seen in it.
        mix: Factors on the weights.
        seed: Of the order of skills and of the examples.
        encoders: Share of training, at its beginning, in which only media with a transcript are drawn, without a question.
        spelling: Share of such examples afterwards.
        repeats: Times that each of them comes.
        made: Samples of that time, which come again.
    """

    weights: Mapping[str, float]
    example: Callable[[str, int], Example]
    encode: Callable[[Example], "Encoded"]
    mix: Mix
    seed: int = 0
    encoders: float = 0.0
    spelling: float = 0.0
    repeats: int = 4
    made: dict[tuple[str, int], Sample] = field(default_factory=dict, repr=False)

    def pick(self, index: int, progress: float) -> tuple[str, int]:
        """The skill of the stream's `index`-th sample, by the weights at `progress`."""
        aside = np.random.default_rng([self.seed, index, LANES + 1]).random() < self.spelling
        if aside or progress < self.encoders:
            return self._pick_spelling(index)
        return self._draw(list(self.weights), progress, np.random.default_rng([self.seed, index]).random()), index

    def _draw(self, names: list[str], progress: float, where: float) -> str:
        ends = np.cumsum([self.weights[name] * factor(self.mix, name, progress) for name in names])
        return names[int(np.searchsorted(ends, where * ends[-1], side="right").clip(max=len(names) - 1))]

    def _pick_spelling(self, index: int) -> tuple[str, int]:
        """The sample of a number that is drawn about `repeats` times, far apart, by indices that are alike in `STRIDE`."""
        number = index
        if self.repeats > 1:
            number = index // self.repeats + int(np.random.default_rng([self.seed, index, LANES]).integers(WINDOW))
            number += (index - number) % STRIDE
        names = [name for name in skills.TRANSCRIBED if name in self.weights]
        return SPELLING + self._draw(names, 0.0, np.random.default_rng([self.seed, number, LANES + 2]).random()), number

    def make(self, key: tuple[str, int]) -> Sample:
        """The encoded example of a key."""
        if key in self.made:
            return self.made[key]
        skill, number = key
        example = self.example(skill.removeprefix(SPELLING), number)
        if skill.startswith(SPELLING):
            example = replace(example, parts=(_unquestioned(example.parts[0]),), answer="", more=())
        else:
            example = _from_afar(example, np.random.default_rng([self.seed, number, LANES + 3]))
        made = self.encode(example)
        sample = Sample(skill, shrink(made.tensors), made.spelled, made.drawn, made.marked, key)
        if skill.startswith(SPELLING):
            sample.tensors["labels"].fill(IGNORE)  # or a medium without a question would be answered by silence
            if self.repeats > 1:
                self.made[key] = sample
            if len(self.made) > WINDOW:
                del self.made[next(iter(self.made))]
        return sample


def _unquestioned(part: Part) -> Part:
    """The medium alone; of a clip only its frames, of a page only its picture, for it is these that are read."""
    if isinstance(part.value, Video):
        return Part("video", replace(part.value, audio=None))
    if isinstance(part.value, Document):
        return Part("document", Document(tuple(replace(page, words=()) for page in part.value.pages)))
    return part


def _from_afar(example: Example, rng: np.random.Generator) -> Example:
    """A page with a text layer, mostly seen so small that its print cannot be read; other examples as they are."""
    document = example.parts[0].value
    if not isinstance(document, Document) or not document.pages[0].words or rng.random() > AFAR:
        return example
    pages = []
    for page in document.pages:
        height, width = page.image.pixels.shape[:2]
        scale = min(1.0, math.sqrt(rng.uniform(*DISTANT) / (height * width)))
        small = resize(page.image.pixels, max(round(height * scale), 1), max(round(width * scale), 1))
        pages.append(replace(page, image=Image(small)))
    return replace(example, parts=(Part("document", Document(tuple(pages))), *example.parts[1:]), written=())


def factor(mix: Mix, skill: str, progress: float) -> float:
    """The mix's factor for a skill at a point of training; an entry for the skill goes before one for its group."""
    value = mix.get(skill, mix.get(skills.group_of(skill), 1.0))
    if isinstance(value, int | float):
        return float(value)
    at, factors = zip(*value, strict=True)
    return float(np.interp(progress, at, factors))


def read_mix(path: Path | None, known: Mapping[str, float]) -> Mix:
    """A mix from a TOML file: `chart = 2.0`, or `speech = [[0.0, 0.5], [1.0, 2.0]]`; dotted names in quotes.

    Raises:
        OptionError: an entry names no known skill or group.
    """
    if path is None:
        return {}
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    groups = {skills.group_of(name) for name in known}
    for name in table:
        if name not in known and name not in groups:
            raise OptionError("unknown skill in the mix", value=name, allowed=", ".join(sorted(groups)))
    return {name: value if isinstance(value, int | float) else tuple(map(tuple, value)) for name, value in table.items()}


def default_source(
    processor: Path | None, mix: Path | None, seed: int, encoders: float = 0.0, spelling: float = 0.0, repeats: int = 4
) -> Stream:
    """The stream of `omnie.data` through the encoder of a processor folder (None: the built-in model's)."""
    weights = skills.weights()
    return Stream(
        weights, partial(_example, seed=seed), Encoding(processor), read_mix(mix, weights), seed, encoders, spelling, repeats
    )


def _example(skill: str, index: int, seed: int) -> Example:
    """An example of training, some of them typed in a hurry."""
    example, rng = skills.example(skill, "train", index, seed), generator_for(f"typed/{skill}", "train", index, seed)
    return typed(rng, example) if rng.random() < SHARE else example


class Encoded(NamedTuple):
    """An example as tensors; what can be spelled in it, which things are drawn, and a chart's marks."""

    tensors: dict[str, np.ndarray]
    spelled: tuple[Spelled, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    marked: Marked | None = None


class Encoding:
    """Examples to tensors and what is to be seen in them, with the encoder of a processor folder. They may be longer
    than its context; a row of training holds them or leaves them out."""

    def __init__(self, processor: Path | None):
        self.encoder = Encoder.load(processor or BUILT_IN).with_context(sys.maxsize)

    def __call__(self, example: Example) -> Encoded:
        """The conversation with its answer."""
        tensors = self.encoder.encode(conversation(example), generation_prompt=False)
        texts = spelled(example, tensors, self.encoder.tokenizer.encode)
        return Encoded(tensors, texts, drawn(example, tensors), marked(example, tensors))


def spelled(example: Example, tensors: Mapping[str, np.ndarray], words: Callable[[str], Sequence[int]]) -> tuple[Spelled, ...]:
    """What can be read in an example's recording, picture or clip, and where nothing can.

    A text is read in the row of tokens in which its middle lies, behind a tab if another stands to the left of it there. Texts
    that stand side by side in the same tokens are read one after the other; those that stand there one below the other are not
    asked for. The tokens of a picture in which no text's middle lies are to stay silent; of a page also those with several
    lines, for its text layer says what they say.
    """
    if example.transcript and "audio_lengths" in tensors:
        count = audio_tokens(int(tensors["audio_lengths"][0]))
        return (Spelled.of("audio", example.transcript, words(example.transcript), np.arange(count)),)
    medium = "video" if "video_grid_thw" in tensors else "image"
    written = (Written(example.transcript, WHOLE),) if example.transcript else example.written
    if not written:
        return ()
    grids = tensors[f"{medium}_grid_thw"]
    rows, columns = (int(n) // SPATIAL_MERGE for n in grids[0][1:])
    height, width = (1, 1) if example.transcript else _size(example.parts[0].value)
    lines = _lines([text for text in written if text.thing is None], rows / height, columns / width, rows, columns)
    crowd = np.zeros((len(grids), rows, columns), int)
    for line in lines:
        crowd[line.where] += 1
    places = np.arange(crowd.size).reshape(crowd.shape)
    leftmost = {(line.pair, line.row): line for line in sorted(lines, key=lambda line: -line.box[0])}
    read = []
    for line in lines:
        if crowd[line.where].max() == 1:
            letters = TAB.join(line.texts if leftmost[line.pair, line.row] is line else ["", *line.texts])
            told = [word for text in line.texts for word in (*words(BAR), *words(text))][len(words(BAR)) :]
            read.append(Spelled.of(medium, letters, told, places[line.where]))
    rows_of = zip(places.reshape(-1, columns), crowd.reshape(-1, columns), strict=True)
    idle = (lambda count: count != 1) if example.parts[0].kind == "document" else (lambda count: count == 0)
    silent = [Spelled.of(medium, "", (), own[idle(count)]) for own, count in rows_of if idle(count).any()]
    return (*read, *silent)


def drawn(example: Example, tensors: Mapping[str, np.ndarray]) -> tuple[Drawn, ...]:
    """Which tokens of an example's picture show which thing: those whose middle lies in its box, or the one of the box's; and
    where, seen from them, the thing's own middle lies."""
    things = [seen for seen in example.written if seen.thing is not None]
    if not things or "image_grid_thw" not in tensors:
        return ()
    rows, columns = (int(n) // SPATIAL_MERGE for n in tensors["image_grid_thw"][0][1:])
    height, width = _size(example.parts[0].value)
    places = np.arange(rows * columns).reshape(rows, columns)
    found = []
    for thing in things:
        left, top, right, bottom = thing.box
        down, across = _covered(top, bottom, rows / height, rows), _covered(left, right, columns / width, columns)
        tokens = places[down, across].flatten()
        middle = (top + bottom) / 2 * rows / height, (left + right) / 2 * columns / width
        side = math.sqrt((bottom - top) * rows / height * (right - left) * columns / width)
        ways = np.array(middle) - np.stack(np.divmod(tokens, columns), axis=1) - 0.5
        boxes = np.concatenate([ways, np.full((len(tokens), 1), math.log(side))], axis=1)
        found.append(Drawn(thing.thing or 0, tokens, boxes.astype(np.float32)))
    return tuple(found)


def marked(example: Example, tensors: Mapping[str, np.ndarray]) -> Marked | None:
    """In which cells of a chart's picture its marks lie; of several in one the first."""
    if not example.marks or "image_grid_thw" not in tensors:
        return None
    rows, columns = (int(n) // SPATIAL_MERGE for n in tensors["image_grid_thw"][0][1:])
    height, width = _size(example.parts[0].value)
    kinds: dict[str | int, int] = {"tick": TICK, "name": NAME, "legend": LEGEND}
    found: dict[int, tuple[int, tuple[float, float, float]]] = {}
    for role, (right, down), half in example.marks:
        y, x = down * rows * MARK_CELLS / height, right * columns * MARK_CELLS / width
        row, column = min(max(int(y), 0), rows * MARK_CELLS - 1), min(max(int(x), 0), columns * MARK_CELLS - 1)
        (token_row, cell_row), (token_column, cell_column) = divmod(row, MARK_CELLS), divmod(column, MARK_CELLS)
        cell = (token_row * columns + token_column) * MARK_CELLS**2 + cell_row * MARK_CELLS + cell_column
        kind = kinds[role] if isinstance(role, str) else SERIES + role
        found.setdefault(cell, (kind, (y - row - 0.5, x - column - 0.5, half * columns / width)))
    cells = sorted(found)
    spots = np.array([found[cell][1] for cell in cells], np.float32)
    return Marked(np.array(cells, np.int64), np.array([found[cell][0] for cell in cells], np.int64), spots)


def _covered(begin: float, end: float, scale: float, count: int) -> slice:
    """The tokens whose middle lies between two pixels, one at least."""
    first = min(int(begin * scale + 0.5), int((begin + end) / 2 * scale), count - 1)
    return slice(first, max(first + 1, min(int(end * scale + 0.5), count)))


@dataclass
class _Line:
    """Texts that are read one after the other.

    Attributes:
        box: That encloses them, in pixels.
        pair, row: Of the tokens that read them.
        span: The columns of these tokens, from and to.
    """

    texts: list[str]
    box: Box
    pair: int
    row: int
    span: tuple[int, int]

    @property
    def where(self) -> tuple[int, int, slice]:
        return self.pair, self.row, slice(*self.span)

    def continues(self, other: "_Line") -> bool:
        """Whether `other` stands to the right of this in tokens that both need."""
        same = (self.pair, self.row) == (other.pair, other.row) and other.span[0] < self.span[1]
        (_, top, right, bottom), (left, above, _, below) = self.box, other.box
        return same and left >= right and min(bottom, below) - max(top, above) > 0.5 * min(bottom - top, below - above)

    def joined(self, other: "_Line") -> "_Line":
        (left, top, _, bottom), (_, above, right, below) = self.box, other.box
        box = (left, min(top, above), right, max(bottom, below))
        return _Line([*self.texts, *other.texts], box, self.pair, self.row, (self.span[0], max(self.span[1], other.span[1])))


def _lines(written: Sequence[Written], down: float, across: float, rows: int, columns: int) -> list[_Line]:
    """The lines in which texts are read, given tokens per pixel."""
    lines: list[_Line] = []
    for text, box, pair, _ in sorted(written, key=lambda it: (it.pair, it.box[0])):
        left, top, right, bottom = box
        row = min(int((top + bottom) / 2 * down), rows - 1)
        line = _Line([text], box, pair, row, _span(left * across, right * across, columns))
        before = next((at for at, other in enumerate(lines) if other.continues(line)), None)
        if before is None:
            lines.append(line)
        else:
            lines[before] = lines[before].joined(line)
    return lines


def _size(value: Image | Video | Document) -> tuple[int, int]:
    """Height and width in pixels, of a document those of its only page."""
    if isinstance(value, Document):
        return value.pages[0].image.pixels.shape[:2]
    return value.frames.shape[1:3] if isinstance(value, Video) else value.pixels.shape[:2]


def _span(begin: float, end: float, count: int) -> tuple[int, int]:
    first = min(max(int(begin + EDGE), 0), count - 1)
    return first, max(first + 1, min(math.ceil(end - EDGE), count))


def conversation(example: Example) -> list[Message]:
    """The tools on offer, the user's turn and the answer, then the further questions about the same media or tools."""
    turns = [*offered(example.tools), user(*example.parts), _answer(example.quote or example.answer, example.tools)]
    for question, answer in example.more:
        turns += [user(question), _answer(answer, example.tools)]
    return turns


def _answer(said: str, tools: Sequence[Tool]) -> Message:
    """A call where tools are on offer and one is meant, else a text."""
    call = read_call(said) if tools else None
    return Message("assistant", (), (call,)) if call else assistant(said)
