"""Tables: equal seeds give equal examples, splits share nothing, and answers stand in the cells that were asked for."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest

from omnie.data import fonts, tables
from omnie.data.charts.questions import UNKNOWN
from omnie.data.example import SPLITS, generator_for
from omnie.data.scoring import score
from omnie.errors import InputError
from omnie.media.types import CELLS
from omnie.numerals import parse_number
from omnie.processor import documents

PLAIN = fonts.Face("DejaVu Sans", "regular", "sans", Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


@pytest.fixture(autouse=True)
def drawable(monkeypatch):
    """Drawing works in a fresh clone too: without fetched fonts every face is Matplotlib's own. True if fonts were fetched."""
    try:
        fonts.faces("train", "sans")
    except InputError:
        monkeypatch.setattr(fonts, "pick", lambda *_, **__: PLAIN)
        monkeypatch.setattr(fonts, "faces", lambda *_: ((PLAIN,),))
        return False
    return True


def example(skill, split, index=0):
    return tables.GENERATORS[skill](generator_for(skill, split, index), split)


@pytest.mark.parametrize("split", SPLITS)
def test_equal_seeds_give_equal_examples(split):
    first, second = example("tables.lookup", split), example("tables.lookup", split)
    assert (first.parts[0].value.pixels == second.parts[0].value.pixels).all() and first.answer == second.answer
    assert first.more == second.more and bool(first.more) == (split == "train")
    assert example("tables.text_lookup", split) == example("tables.text_lookup", split)
    assert bool(example("tables.text_lookup", split).more) == (split == "train")


def test_splits_share_no_family(drawable):
    kinds = ("template", "layout", "font") if drawable else ("template", "layout")
    for kind in kinds:
        drawn = [[example("tables.lookup", split, i).families[kind] for i in range(120)] for split in SPLITS]
        pools = [{name for names in named for name in names.split("+")} for named in drawn]
        assert len(set.union(*pools)) == sum(map(len, pools)), kind


def asked(made):
    """Every question of an example with what is said."""
    return ((made.parts[1].value, made.quote or made.answer), *made.more)


def test_the_answer_stands_in_the_cell():
    """Row and column are found again from the question alone, and the row is read up to the cell; further ones too."""
    checked = 0
    for index in range(150):
        made = example("tables.text_lookup", "train", index)
        header, *rows = made.parts[0].value.rows
        assert len(dict(asked(made))) == len(asked(made))
        assert score(made, made.answer) == score(made, made.quote or made.answer) == 1
        for question, answer in asked(made):
            if answer in UNKNOWN.values():
                continue
            cells = [
                [row[0], *(f"{name}: {cell}" for name, cell in zip(header[1:], row[1:]))] for row in rows if row[0] in question
            ]
            read = {
                CELLS.join([*row[:i], row[i].replace(": ", " = ", 1)])
                for row in cells for i, name in enumerate(header) if i and name in question
            }  # fmt: skip
            assert answer in read, (question, read)
            assert answer.replace(" = ", ": ") in documents.table_records(made.parts[0].value)
            checked += 1
        if made.answer not in UNKNOWN.values():
            cell = made.quote.rpartition(" = ")[2]
            assert cell == made.answer or parse_number(cell.split(" ")[0]) == float(made.answer)
    assert checked > 400


def test_a_picture_of_a_table_is_read_aloud_too():
    for index in range(8):
        made = example("tables.lookup", "train", index)
        assert made.quote is None if made.scoring == "exact" else made.quote.count(CELLS) and score(made, made.quote) == 1
        assert all(CELLS in answer or answer in UNKNOWN.values() for _, answer in asked(made))


def test_a_table_in_text_leaves_room_for_further_questions():
    counts = [len(example("tables.text_lookup", "train", index).more) for index in range(150)]
    assert np.mean(counts) > 2


def test_absent_rows_are_unknown():
    found = 0
    for made in (example("tables.text_lookup", "train", i) for i in range(150)):
        for question, answer in asked(made):
            if answer in UNKNOWN.values():
                assert not any(row[0] in question.split(" ") for row in made.parts[0].value.rows[1:])
                found += 1
    assert found > 20


def test_pictures_fit_and_keep_a_margin():
    rng = np.random.default_rng(0)
    for index in range(60):
        table = tables.make(rng, ("de", "en")[index % 2], 3 + index % 4, 2 + index % 4)
        pixels, *_ = tables.draw(rng, "train", table)
        height, width, _ = pixels.shape
        rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert width <= 600 and height <= 320 and (rim == pixels[0, 0]).all()


@pytest.mark.parametrize("line", tables.LINES)
def test_every_kind_of_line_is_drawn(line, monkeypatch):
    """A table with lines has more dark pixels than the same table without."""
    table = tables.make(np.random.default_rng(4), "en", 4, 3)

    def ink(kind: str) -> int:
        monkeypatch.setattr(tables, "LINES", (kind,))
        monkeypatch.setattr(tables, "owner", lambda _: "train")
        pixels, *_ = tables.draw(np.random.default_rng(6), "train", table)
        return int((pixels != pixels[0, 0]).any(-1).sum())

    assert ink(line) == ink("none") if line == "none" else ink(line) > ink("none")
