"""Encoded examples become packed rows: the collator of training. NumPy only; worker processes run it.

A row holds several sequences one after the other, told apart by `segment_ids`. Nothing leaks between neighbours: positions
start again, attention stops at the segment's edge (the model's rule), and the first token of every segment has no label.
Media tensors are concatenated in the order in which their placeholders are met when rows are read one after the other.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from omnie.inputs import MARK_CELLS, audio_tokens, image_tokens, video_tokens

IGNORE = -100
"""The label of a token that teaches nothing."""
MEDIA = ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw", "input_features", "audio_lengths")


@dataclass(frozen=True, eq=False)
class Spelled:
    """A text in a sample's only picture, clip or recording, or (empty) where none is.

    Attributes:
        medium: "image", "video" or "audio".
        letters: int64 [L] its bytes (UTF-8).
        words: int64 [W] its tokens in the vocabulary.
        tokens: int64 [N] those of the medium's tokens that read it, from left to right (from first to last).
    """

    medium: str
    letters: np.ndarray
    words: np.ndarray
    tokens: np.ndarray

    @classmethod
    def of(cls, medium: str, text: str, words: Sequence[int], tokens: Sequence[int] | np.ndarray) -> "Spelled":
        """A text, its tokens in the vocabulary, and where it is read."""
        letters = np.frombuffer(text.encode(), np.uint8).astype(np.int64)
        return cls(medium, letters, np.asarray(words, np.int64), np.asarray(tokens, np.int64))


@dataclass(frozen=True, eq=False)
class Drawn:
    """A thing in a sample's only picture.

    Attributes:
        thing: Its number.
        tokens: int64 [N], those of the picture's tokens that show it.
        boxes: float32 [N, 3], where it is, seen from each of them: how far down and to the right of the token's middle its own
            lies, and the logarithm of its side; in tokens.
    """

    thing: int
    tokens: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True, eq=False)
class Marked:
    """The marks of a chart that is a sample's only picture.

    Attributes:
        cells: int64 [N], the cells of the picture's tokens that have one (`reading.marks`), ascending.
        kinds: int64 [N], which; the last kind of a model is none.
        spots: float32 [N, 3], where it lies from the cell's middle and half the width of its text.
    """

    cells: np.ndarray
    kinds: np.ndarray
    spots: np.ndarray


@dataclass(frozen=True, eq=False)
class Sample:
    """One encoded example.

    Attributes:
        skill: The skill's dotted name.
        tensors: What the encoder returned for one conversation (`inputs.py`, without the batch axis).
        spelled: What can be read or heard where.
        drawn: Which things are seen where.
        marked: The marks of a chart, where one is drawn.
        key: Names the example in its stream: (skill, index).
    """

    skill: str
    tensors: dict[str, np.ndarray]
    spelled: tuple[Spelled, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    marked: Marked | None = None
    key: tuple[str, int] = ("", 0)

    def __len__(self) -> int:
        return len(self.tensors["input_ids"])


@dataclass(frozen=True, eq=False)
class Alignment:
    """What the auxiliary alignment loss needs to know about the texts of a batch.

    Token `rows[n]` of the encoder's output stands in cell `cells[n]` of a grid [texts, width] flattened; `cells_of` says how
    many cells each text has. `letters` and `words` are all texts' one after the other, `..._of` how many each text has. In the
    tokens `silent` nothing is to be read.
    """

    rows: np.ndarray
    cells: np.ndarray
    cells_of: np.ndarray
    letters: np.ndarray
    letters_of: np.ndarray
    words: np.ndarray
    words_of: np.ndarray
    silent: np.ndarray

    @property
    def width(self) -> int:
        return int(self.cells_of.max(initial=0))


@dataclass(frozen=True, eq=False)
class Named:
    """The things of a batch's pictures: token `rows[n]` of the encoder's output shows the thing `of[n]`, whose number is
    `things[of[n]]`, and which lies at `boxes[n]` from there (`Drawn`)."""

    rows: np.ndarray
    of: np.ndarray
    things: np.ndarray
    boxes: np.ndarray


@dataclass(frozen=True, eq=False)
class Batch:
    """One training step's data.

    Attributes:
        inputs: The model's arguments by name (`inputs.py`). Pixels are uint8 and sounds float16 until they reach the device:
            a quarter and half of the bytes through the pipe (pictures are 8-bit anyway; `restore` undoes it).
        skills: The skills in this batch; `skill_ids` [B, T] is each token's index into them.
        alignments: Medium ("image", "video", "audio") -> the texts to be spelled in it, where there are any.
        named: The things in the pictures, where there are any; `marked`: the marks in them.
        state: Where the stream that made this batch stands after it.
        examples: How many sequences are in it.
    """

    inputs: dict[str, np.ndarray]
    skills: tuple[str, ...]
    skill_ids: np.ndarray
    alignments: dict[str, Alignment] = field(default_factory=dict)
    named: Named | None = None
    marked: Marked | None = None
    state: dict = field(default_factory=dict)
    examples: int = 0

    @property
    def tokens(self) -> int:
        """Real tokens, text and media."""
        return int((self.inputs["segment_ids"] > 0).sum())


class Packer:
    """Fills rows from a small pool: the oldest sample first, then always the longest that still fits.

    Args:
        rows, length: Shape of a batch.
        pool: Samples to choose from; 64 of about 150 tokens leave less than 2 % of a 512-token row empty.
    """

    def __init__(self, rows: int, length: int, pool: int = 64):
        self.rows, self.length, self.size = rows, length, pool
        self.pool: list[Sample] = []
        self.dropped = 0

    def add(self, sample: Sample) -> None:
        """Takes a sample; one that no row can hold is counted and forgotten."""
        if len(sample) > self.length:
            self.dropped += 1
        else:
            self.pool.append(sample)

    @property
    def ready(self) -> bool:
        """Whether the pool holds enough to fill a batch and still has a choice at the end."""
        return len(self.pool) >= self.size and sum(map(len, self.pool)) >= self.rows * self.length * 5 // 4

    def take(self) -> list[list[Sample]]:
        """Removes and returns the samples of one batch, row by row."""
        return [row for row in (self._row() for _ in range(self.rows)) if row]

    def _row(self) -> list[Sample]:
        row: list[Sample] = []
        room = self.length
        while (chosen := self._choose(room, oldest=not row)) is not None:
            row.append(self.pool.pop(chosen))
            room -= len(row[-1])
        return row

    def _choose(self, room: int, oldest: bool) -> int | None:
        fitting = [index for index, sample in enumerate(self.pool) if len(sample) <= room]
        if not fitting:
            return None
        return fitting[0] if oldest else max(fitting, key=lambda index: len(self.pool[index]))


def collate(rows: Sequence[Sequence[Sample]], length: int, state: dict | None = None) -> Batch:
    """Packs samples into rows.

    Args:
        rows: The samples of each row.
        length: Tokens in a row.
        state: Kept in the batch.

    Returns:
        A batch whose `inputs` have the shapes [B, length, ...] and the media of all samples, row after row.
    """
    flat = [sample for row in rows for sample in row]
    skills = tuple(sorted({sample.skill for sample in flat}))
    inputs = _tokens(rows, length)
    inputs.update(_media(flat))
    ids = {skill: index for index, skill in enumerate(skills)}
    skill_ids = np.zeros((len(rows), length), dtype=np.int64)
    for b, row in enumerate(rows):
        for sample, begin in zip(row, _begins(row), strict=True):
            skill_ids[b, begin : begin + len(sample)] = ids[sample.skill]
    return Batch(inputs, skills, skill_ids, _alignments(flat), _named(flat), _marked(flat), state or {}, len(flat))


def _begins(row: Sequence[Sample]) -> list[int]:
    return [0, *np.cumsum([len(sample) for sample in row]).tolist()][:-1]


def _tokens(rows: Sequence[Sequence[Sample]], length: int) -> dict[str, np.ndarray]:
    shape = (len(rows), length)
    out = {name: np.zeros(shape, dtype=np.int64) for name in ("input_ids", "segment_ids", "mm_token_type_ids")}
    out["labels"] = np.full(shape, IGNORE, dtype=np.int64)
    out["position_ids"] = np.zeros((*shape, 3), dtype=np.int64)
    for b, row in enumerate(rows):
        for segment, (sample, begin) in enumerate(zip(row, _begins(row), strict=True), start=1):
            here = slice(begin, begin + len(sample))
            for name in ("input_ids", "mm_token_type_ids", "position_ids", "labels"):
                out[name][b, here] = sample.tensors[name]
            out["labels"][b, begin] = IGNORE  # the model would predict it from the neighbour's last token
            out["segment_ids"][b, here] = segment
    return out


def _media(flat: Iterable[Sample]) -> dict[str, np.ndarray]:
    found = {name: [sample.tensors[name] for sample in flat if name in sample.tensors] for name in MEDIA}
    return {name: _shrink(name, np.concatenate(arrays)) for name, arrays in found.items() if arrays}


def _shrink(name: str, array: np.ndarray) -> np.ndarray:
    if name.startswith("pixel_values") and array.dtype != np.uint8:
        return np.rint((array + 1.0) * 127.5).astype(np.uint8)
    return array.astype(np.float16) if name == "input_features" else array


def shrink(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The encoder's result with its media in the compact dtypes of `Batch.inputs`."""
    return {name: _shrink(name, array) for name, array in tensors.items()}


def _alignments(flat: Sequence[Sample]) -> dict[str, Alignment]:
    begins = {
        "image": _begins_seen(flat, "image_grid_thw", image_tokens),
        "video": _begins_seen(flat, "video_grid_thw", video_tokens),
        "audio": _begins_heard(flat),
    }
    found: dict[str, list[tuple[int, Spelled]]] = {medium: [] for medium in begins}
    for index, sample in enumerate(flat):
        for text in sample.spelled:
            found[text.medium].append((begins[text.medium][index], text))
    return {medium: _alignment(texts) for medium, texts in found.items() if texts}


def _named(flat: Sequence[Sample]) -> Named | None:
    begins = _begins_seen(flat, "image_grid_thw", image_tokens)
    found = [(begin + drawn.tokens, drawn) for begin, sample in zip(begins, flat, strict=True) for drawn in sample.drawn]
    if not found:
        return None
    of = np.repeat(np.arange(len(found)), [len(tokens) for tokens, _ in found])
    things = np.array([drawn.thing for _, drawn in found], np.int64)
    return Named(_joined([tokens for tokens, _ in found]), of, things, np.concatenate([drawn.boxes for _, drawn in found]))


def _marked(flat: Sequence[Sample]) -> Marked | None:
    begins = _begins_seen(flat, "image_grid_thw", image_tokens)
    found = [(begin, sample.marked) for begin, sample in zip(begins, flat, strict=True) if sample.marked is not None]
    if not found:
        return None
    cells = _joined([begin * MARK_CELLS**2 + own.cells for begin, own in found])
    return Marked(cells, _joined([own.kinds for _, own in found]), np.concatenate([own.spots for _, own in found]))


def _begins_seen(flat: Sequence[Sample], grids: str, count: Callable[[Sequence[int]], int]) -> list[int]:
    """Where each sample's tokens begin: the encoder returns those of all pictures (or pieces of clips) one after the other."""
    return [0, *np.cumsum([sum(count(grid) for grid in sample.tensors.get(grids, ())) for sample in flat]).tolist()][:-1]


def _begins_heard(flat: Sequence[Sample]) -> list[int]:
    """Where each sample's tokens begin: the encoder returns recordings side by side, padded to the longest one."""
    lengths = [sample.tensors.get("audio_lengths", ()) for sample in flat]
    longest = max((audio_tokens(int(mel)) for own in lengths for mel in own), default=0)
    return [0, *(np.cumsum([len(own) for own in lengths]) * longest).tolist()][:-1]


def _alignment(texts: Sequence[tuple[int, Spelled]]) -> Alignment:
    """The grid of texts, given where the tokens of each one's medium begin."""
    silent = [begin + text.tokens for begin, text in texts if not len(text.letters)]
    texts = [(begin, text) for begin, text in texts if len(text.letters)]
    cells_of = [len(text.tokens) for _, text in texts]
    return Alignment(
        rows=_joined([begin + text.tokens for begin, text in texts]),
        cells=_joined([line * max(cells_of, default=0) + np.arange(count) for line, count in enumerate(cells_of)]),
        cells_of=np.array(cells_of, np.int64),
        letters=_joined([text.letters for _, text in texts]),
        letters_of=np.array([len(text.letters) for _, text in texts], np.int64),
        words=_joined([text.words for _, text in texts]),
        words_of=np.array([len(text.words) for _, text in texts], np.int64),
        silent=_joined(silent),
    )


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *arrays])
