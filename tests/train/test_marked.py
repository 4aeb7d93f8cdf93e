"""From a drawn chart to what a perfect encoder would read off it: its own values, behind its categories' names."""

import re

import matplotlib
import numpy as np
import pytest
import torch

from omnie.data import fonts
from omnie.data.charts import draw, spec, styles
from omnie.data.example import Example, Mark
from omnie.data.scoring import TOLERANCE
from omnie.inputs import MARK_CELLS, NAME, SERIES, TICK
from omnie.media.types import Image
from omnie.messages import Part, text
from omnie.model.reading.marks import Marks, Text, _spots, captions
from omnie.train.objective.losses import MarkedTensors, marks_loss
from omnie.train.objective.telling import told_marks
from omnie.train.stream import source
from omnie.train.stream.packing import Sample, collate

PLAIN = fonts.Face("DejaVu Sans", "regular", "sans", matplotlib.get_data_path() + "/fonts/ttf/DejaVuSans.ttf")
TOKEN = 28
VALUE = re.compile(r"[:,] (-?[\d.]+)(?=$|,| \|)")


@pytest.fixture(autouse=True)
def drawable(monkeypatch):
    """Charts are drawn without fetched fonts too."""
    monkeypatch.setattr(fonts, "pick", lambda *_, **__: PLAIN)


def tensors(pixels: np.ndarray) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
    """The grid of a picture that is not resized, to the next token."""
    rows, columns = (-(-side // TOKEN) for side in pixels.shape[:2])
    return {"image_grid_thw": np.array([[1, 2 * rows, 2 * columns]])}, (rows, columns)


@pytest.mark.parametrize("kind", ["bar", "barh", "line"])
def test_what_is_marked_in_a_chart_gives_back_its_values(kind):
    right = total = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        chart = spec.make(rng, kind, "de", labelled=False)
        drawn = draw.render(chart, styles.draw_style(rng, "train", chart))
        made = Example("s", (Part("image", Image(drawn.pixels)), text("?")), "a", marks=drawn.marks)
        inputs, (rows, columns) = tensors(drawn.pixels)
        marked = source.marked(made, inputs)
        kinds = int(marked.kinds.max()) + 1
        shares = np.zeros((rows * columns * MARK_CELLS**2, kinds + 1), np.float32)
        shares[:, -1] = 1.0
        shares[marked.cells] = np.eye(kinds + 1, dtype=np.float32)[marked.kinds]
        spots = np.zeros((len(shares), 3), np.float32)
        spots[marked.cells] = marked.spots
        apart = (rows * columns, MARK_CELLS**2, -1)
        height, width = drawn.pixels.shape[:2]
        seen = [
            Text(int((box[1] + box[3]) / 2 * rows / height), box[0] * columns / width, box[2] * columns / width, said.encode())
            for said, box, *_ in sorted(drawn.written, key=lambda it: it.box[0])
        ]
        found = captions(list(_spots(shares.reshape(apart), spots.reshape(apart), columns)), seen)
        read = {seen[own.word].letters.decode(): VALUE.findall(own.said) for own in found if own.word is not None}
        if not any(mark.role == "name" for mark in drawn.marks):  # slanted
            continue
        for n, name in enumerate(chart.categories):
            values = [series.values[n] for series in chart.series]
            total += len(values)
            said = [float(value) for value in read.get(name, [])]
            right += sum(abs(a - b) <= TOLERANCE * abs(b) for a, b in zip(said, values, strict=False))
    assert total > 40 and right >= 0.8 * total  # marks of two lines may meet, and two names may share a row of tokens


def test_marks_lie_in_cells_of_tokens():
    """Tokens of 28 pixels, cells of 14; of two marks in one the first counts."""
    marks = (Mark("tick", (20, 10), 14), Mark(1, (35, 30)), Mark(0, (41, 40)), Mark("name", (27.9, 55), 7))
    made = Example("s", (Part("image", Image(np.zeros((56, 56, 3), np.uint8))), text("?")), "a", marks=marks)
    found = source.marked(made, {"image_grid_thw": np.array([[1, 4, 4]])})
    assert found.cells.tolist() == [1, 11, 12] and found.kinds.tolist() == [TICK, NAME, SERIES + 1]
    np.testing.assert_allclose(found.spots[0], [10 / 14 - 0.5, 20 / 14 - 1.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(found.spots[2], [30 / 14 - 2.5, 35 / 14 - 2.5, 0.0], rtol=1e-6)
    assert source.marked(Example("s", made.parts, "a"), {"image_grid_thw": np.array([[1, 4, 4]])}) is None


def test_told_marks_are_those_that_were_drawn():
    """Of two pictures, the second of which is a chart; the first is left to the encoder."""
    marks = (Mark("tick", (20, 10), 14), Mark(1, (35, 30)), Mark("name", (27.9, 55), 7))
    made = Example("s", (Part("image", Image(np.zeros((56, 56, 3), np.uint8))), text("?")), "a", marks=marks)
    found = source.marked(made, {"image_grid_thw": np.array([[1, 4, 4]])})
    first = 2 * 3 * MARK_CELLS**2
    where = MarkedTensors(*(torch.from_numpy(values) for values in (found.cells + first, found.kinds, found.spots)))
    nothing, spots = told_marks(where, [[1, 4, 6], [1, 4, 4]], 1.0)
    assert nothing is None and [spot.kind for spot in spots] == [TICK, NAME, SERIES + 1]
    places = [[spot.right * TOKEN, spot.down * TOKEN, spot.half * TOKEN] for spot in spots]
    np.testing.assert_allclose(places, [[20, 10, 14], [27.9, 55, 7], [35, 30, 0]], rtol=1e-5)
    assert told_marks(where, [[1, 4, 6], [1, 4, 4]], 0.0) == (None, None)


def test_batches_count_cells_through_all_pictures():
    grid = {"image_grid_thw": np.array([[1, 4, 4]]), "pixel_values": np.zeros((16, 3), np.uint8)}
    words = {name: np.zeros(2, np.int64) for name in ("input_ids", "mm_token_type_ids", "labels")}
    inputs = {**grid, **words, "position_ids": np.zeros((2, 3), np.int64)}
    marked = source.Marked(np.array([3]), np.array([TICK]), np.zeros((1, 3), np.float32))
    batch = collate([[Sample("s", inputs), Sample("s", inputs, marked=marked)]], 4)
    assert batch.marked.cells.tolist() == [4 * 4 + 3]
    assert collate([[Sample("s", inputs)]], 4).marked is None


def test_the_loss_falls_to_nothing_where_marks_are_found():
    torch.manual_seed(0)
    marks = Marks(8, 1)
    tokens = torch.randn(6, 8)
    where = MarkedTensors(
        torch.tensor([1, 22]), torch.tensor([TICK, SERIES]), torch.tensor([[0.1, -0.2, 0.5], [0.3, 0.0, 0.0]])
    )
    optimizer = torch.optim.Adam(marks.parameters(), lr=0.02)
    before = [float(loss.detach()) for loss in marks_loss(marks, tokens, where)]
    for _ in range(300):
        optimizer.zero_grad()
        torch.stack(marks_loss(marks, tokens, where)).sum().backward()
        optimizer.step()
    after = [float(loss.detach()) for loss in marks_loss(marks, tokens, where)]
    assert max(after) < 0.2 * min(before)
