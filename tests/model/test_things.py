"""Things in pictures: which tokens are one thing, and that names become words of the vocabulary in the thing's tokens."""

import numpy as np
import pytest
import torch

from omnie.model.reading.spelling import Speller
from omnie.model.reading.spelling import table as spelling
from omnie.model.reading.things import LONGEST, Things, groups, table, texts
from omnie.model.reading.words import Reading, places

WORDS = [b"", b"a", b"b", b"c", b"d", b"ab", b"cd", b" ", b" c", *(bytes([letter]) for letter in b"LR")]


def picture(text: str, middles: dict[str, tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens show something, and what each says of its place: rows of marks, each mark the thing that is meant there, a
    thing its row, column and side."""
    rows = text.split()
    boxes = np.zeros((len(rows), len(rows[0]), 3), np.float32)
    for (row, column), mark in np.ndenumerate(np.array([list(row) for row in rows])):
        if mark != ".":
            down, right, side = middles[mark]
            boxes[row, column] = down - row, right - column, np.log(side)
    return np.array([mark != "." for mark in "".join(rows)]), boxes.reshape(-1, 3)


def found(text: str, middles: dict[str, tuple[float, float, float]]) -> list[list[int]]:
    shown, boxes = picture(text, middles)
    return [group.tolist() for group in groups(shown, boxes, [(1, len(text.split()), len(text.split()[0]))])]


def test_tokens_that_mean_the_same_place_are_one_thing():
    """Though things touch, and though a part of one is hidden."""
    assert found("....", {}) == []
    assert found("aabb aabb", {"a": (0.5, 0.5, 2), "b": (0.5, 2.5, 2)}) == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert found("a..a", {"a": (0, 1.5, 4)}) == [[0, 3]]
    assert found("ab ba", {"a": (0, 0, 1), "b": (1, 1, 1)}) == [[0, 3], [1, 2]]


def test_how_near_is_the_same_place_depends_on_the_size():
    apart = {"a": (0.0, 0.0, 1.0), "b": (0.0, 0.8, 1.0)}
    assert found("ab", apart) == [[0], [1]]
    assert found("ab", {mark: (*place[:2], 3.0) for mark, place in apart.items()}) == [[0, 1]]
    assert found("ab", {"a": (0, 0, 3), "b": (0, 0.8, 1)}) == [[0], [1]]
    assert found("ab", {"a": (0, 0, 1e30), "b": (0, 900, 1e30)}) == [[0], [1]]  # a wild size does not swallow the picture


def test_pictures_are_apart():
    shown, boxes = picture("aa aa", {"a": (0, 0, 9)})
    assert [group.tolist() for group in groups(shown, boxes, [(1, 1, 2), (1, 1, 2)])] == [[0, 1], [2, 3]]
    assert [group.tolist() for group in groups(shown, boxes, [(2, 1, 2)])] == [[0, 1], [2, 3]]


def made() -> Things:
    """Of two channels: the first says whether a thing is shown, the second which of two, and how far away."""
    things = Things(2, 2)
    with torch.no_grad():
        things.shown_head.weight.copy_(torch.tensor([[1.0, 0.0]]))
        things.shown_head.bias.zero_()
        things.box_head.weight.copy_(torch.tensor([[0.0, 9.0], [0.0, 0.0], [0.0, 0.0]]))
        things.box_head.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
        things.name_head.weight.copy_(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        things.name_head.bias.zero_()
        things.names.copy_(table(["ab c", "d"]))
    return things


def test_names_stand_in_the_tokens_of_their_thing():
    tokens = torch.tensor([[-1.0, 1], [1, 3], [1, 2], [1, -2], [-1, 0], [-1, 0]])
    found, shown = made().read(tokens, [(1, 2, 3)], 4, Speller.of(spelling(WORDS, 1)))
    assert shown.tolist() == [1, 2, 3]
    first, last = (b"".join(WORDS[word] for word, step, _ in found if (step >= 12) == side) for side in (False, True))
    assert (first, last) == (b"R ab c", b"L d")  # in tokens 1 and 2, and in token 3, which is in the next row
    assert found[:, 1].tolist() == sorted(found[:, 1]) and found[found[:, 2] == 1, 1].tolist() == [4, 12]


def test_what_is_read_of_things_is_what_answers_say():
    """Of two or three different ones their sides, of others their numbers; of one its name."""
    assert texts(["Hund dog"], [0.5]) == [["Hund dog"]]
    assert texts(["Hund dog", "Ei egg"], [3.0, 1.0]) == [["R Hund dog"], ["L Ei egg"]]
    assert [line for (line,) in texts(["A a", "B b", "C c"], [1.0, 2.0, 3.0])] == ["L A a", "M B b", "R C c"]
    counted = texts(["Hund dog", "Ei egg", "Hund dog"], [1.0, 2.0, 3.0])
    assert counted == [["n = 3", "Hund = 2", "dog = 2"], ["Ei = 1", "egg = 1"], []]
    assert texts(["A hot dog"] * 2, [1.0, 2.0]) == [["n = 2", "A = 2", "hot dog = 2"], []]


def test_things_that_look_alike_have_the_name_that_fits_all_of_them():
    """Two of three are surely "ab c", and the third is like them; one that looks different keeps its own name."""
    things = made()
    with torch.no_grad():
        things.name_head.weight.copy_(torch.tensor([[-1.0, 1.0], [1.0, -1.0]]))
    tokens = torch.tensor([[0.9, 1.5], [-1, 0], [1.0, 1.6], [-1, 0], [1, 0.9], [-1, 0], [1, -1.0]])
    found, _ = things.read(tokens, [(1, 7, 1)], 4, Speller.of(spelling([*WORDS, b"=", b"n", b"3", b"1"], 1)))
    assert found[found[:, 2] == 1, 1].tolist() == [0, 3, 3, 24]  # "n = 4", "ab = 3", "c = 3" and "d = 1"
    alone, _ = things.read(tokens[4:5], [(1, 1, 1)], 4, Speller.of(spelling(WORDS, 1)))
    assert b"".join(WORDS[word] for word, *_ in alone) == b"d"


def test_things_of_several_pictures_are_told_apart():
    things = made()
    tokens = torch.tensor([[1.0, 1], [1, 1], [-1, 0], [1, 1]])
    found, _ = things.read(tokens, [(1, 1, 3), (1, 1, 1)], 4, Speller.of(spelling(WORDS, 1)))
    assert b"".join(WORDS[word] for word, *_ in found) == b"ab cab c"
    assert found[found[:, 2] == 1, 1].tolist() == [0, 12]


def test_a_name_stands_in_one_row_of_a_high_thing():
    """Row by row, names of neighbours would be read word by word in turn."""
    things = made()
    with torch.no_grad():
        things.box_head.weight.zero_()
        things.box_head.bias.copy_(torch.tensor([0.0, 0.0, 3.0]))  # all mean the same thing
    tokens = torch.tensor([[1.0, 1], [-1, 0], [-1, 0], [1.0, 1], [1.0, 1], [-1, 0]])
    found, shown = things.read(tokens, [(1, 2, 3)], 4, Speller.of(spelling(WORDS, 1)))
    assert shown.tolist() == [0, 3, 4] and found[:, 1].tolist() == [12, 16]


def test_a_long_name_in_a_small_thing_stays_in_it():
    things = made()
    things.names.copy_(table(["dadadadada", "d"]))
    found, _ = things.read(torch.tensor([[1.0, 1.0]]), [(1, 1, 1)], 4, Speller.of(spelling(WORDS, 1)))
    assert found[:, 0].tolist() == [4, 1] * 5 and found[:, 1].tolist() == [0, 1, 2] + [3] * 7


def test_where_nothing_is_shown_nothing_is_named():
    assert made().read(torch.tensor([[-1.0, 1.0]]), [(1, 1, 1)], 4, Speller.of(spelling(WORDS, 1)))[0].shape == (0, 3)


def test_names_that_are_too_long_are_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        table(["x" * (LONGEST + 1)])


def test_a_named_thing_shows_its_name_and_not_its_features():
    """Two pictures of unlike things of one name look alike to the decoder; where nothing is shown, features stay."""
    torch.manual_seed(0)
    reading = Reading(2, 4, flat=True, things=2)
    reading.things.load_state_dict(made().state_dict())
    torch.nn.init.zeros_(reading.letter_head.weight)
    reading.letter_head.bias.data = torch.eye(257)[256] * 10
    words, speller = torch.randn(len(WORDS), 2), Speller.of(spelling(WORDS, 1))
    one, other = torch.tensor([[1.0, 3.0], [-1.0, 1.0]]), torch.tensor([[2.0, 1.0], [-1.0, 2.0]])
    seen, again = (reading(tokens, [(1, 1, 2)], words, speller, still=True) for tokens in (one, other))
    assert torch.equal(seen[0], again[0]) and not torch.equal(seen[1], again[1])
    clip = reading(one, [(1, 1, 2)], words, speller)
    assert torch.equal(clip, one + reading.place(places([(1, 1, 2)])))
