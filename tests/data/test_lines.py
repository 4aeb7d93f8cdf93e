"""Laws of text-line material: equal seeds, the right sizes, legible ink, and families that belong to one split."""

import numpy as np
import pytest

from omnie.data import assets, augment, fonts, lines
from omnie.data.example import SPLITS, generator_for

pytestmark = pytest.mark.skipif(
    not all(map(assets.fetched, assets.assets("font"))), reason=f"fonts are not fetched: run `{assets.COMMAND}`"
)


def examples(skill, split, count, seed=0):
    return [lines.GENERATORS[skill](generator_for(skill, split, index, seed), split) for index in range(count)]


@pytest.mark.parametrize("skill", lines.GENERATORS)
def test_equal_seeds_give_equal_examples(skill):
    for one, other in zip(examples(skill, "train", 8), examples(skill, "train", 8), strict=True):
        assert (one.answer, one.parts[1], one.families) == (other.answer, other.parts[1], other.families)
        assert np.array_equal(one.parts[0].value.pixels, other.parts[0].value.pixels)
    assert examples(skill, "train", 8)[0].answer != examples(skill, "train", 1, seed=1)[0].answer


@pytest.mark.parametrize("skill", lines.GENERATORS)
def test_fonts_and_wordings_belong_to_one_split(skill):
    seen = {split: [example.families for example in examples(skill, split, 200)] for split in SPLITS}
    for kind in ("font", "template"):
        train, validation, heldout = ({families[kind] for families in seen[split]} for split in SPLITS)
        assert not train & validation and not train & heldout and not validation & heldout
        assert len(train) > len(heldout) > 2


def test_one_line_is_what_it_says():
    for example in examples("lines.read", "validation", 150):
        pixels = example.parts[0].value.pixels
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
        assert 24 <= pixels.shape[0] <= 110 and 12 <= pixels.shape[1] <= lines.WIDEST
        assert 3 <= len(example.answer) <= lines.LONGEST and example.answer == example.transcript
        assert example.answer == example.answer.strip() and "  " not in example.answer
        assert not set(example.answer) - set(assets.REQUIRED)
        assert example.scoring == "cer"


def test_a_sum_is_shown_as_it_is_said_and_worked_out():
    for split in SPLITS:
        for example in examples("lines.sum", split, 60):
            a, sign, b, equals, result = example.answer.split()
            shown = example.transcript.replace(" ", "").replace("x", "*").replace("–", "-").rstrip("=?.")
            assert shown == f"{a}{sign.replace('x', '*')}{b}" and equals == "="
            assert int(result) == {"+": int(a) + int(b), "-": int(a) - int(b), "x": int(a) * int(b)}[sign]
            assert example.scoring == "exact"


def test_blocks_have_two_to_four_lines_and_more_in_training():
    for split, most in (("train", 9), ("validation", 4), ("heldout", 4)):
        counts = {example.answer.count("\n") + 1 for example in examples("lines.block", split, 60)}
        assert counts == set(range(2, most + 1))


def test_each_line_of_a_block_is_where_it_is_said_to_be():
    """Its box lies in the picture, and there is more contrast inside than at the picture's left edge beside it."""
    clearer = []
    for example in examples("lines.block", "validation", 40):
        assert "\n".join(text.text for text in example.written) == example.answer and example.transcript is None
        grey = example.parts[0].value.pixels.mean(2)
        for left, top, right, bottom in (text.box for text in example.written):
            assert 0 <= left < right <= grey.shape[1] and 0 <= top < bottom <= grey.shape[0]
            rows = grey[int(top) : int(bottom)]
            clearer.append(rows[:, int(left) : int(right)].std() > rows[:, : max(int(left) - 3, 1)].std())
    assert np.mean(clearer) > 0.95


def test_the_ink_can_be_seen():
    spans = []
    for example in examples("lines.read", "heldout", 200):
        grey = example.parts[0].value.pixels.mean(2)
        spans.append(np.percentile(grey, 99) - np.percentile(grey, 1))
    assert min(spans) > 25 and np.median(spans) > 100


def test_no_text_is_cut_off():
    """The room that a line is given holds its ink and its pen's way, whatever the face."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        face = fonts.pick(rng, "train")
        content = lines.line(rng, "de")
        room = 300
        font, wide = lines._fitting((content,), face, 40, room)
        left, _, right, _ = font.getbbox(content)
        assert max(right, 0) - min(left, 0) <= wide and (wide <= room or font.size == 8)


@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0])
def test_wearing_keeps_shape_and_zero_keeps_everything(amount):
    pixels = np.random.default_rng(1).integers(0, 256, (31, 57, 3), np.uint8)
    for seed in range(20):
        worn = augment.degrade(np.random.default_rng(seed), pixels, amount)
        assert worn.shape == pixels.shape and worn.dtype == np.uint8
        assert amount > 0 or np.array_equal(worn, pixels)
