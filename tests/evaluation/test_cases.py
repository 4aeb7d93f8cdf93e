"""Which examples are asked, and that shuffling changes what the questions are about."""

from dataclasses import replace

import numpy as np
import pytest

from omnie.data import skills
from omnie.data.example import Example
from omnie.errors import InputError, OptionError
from omnie.evaluation import cases
from omnie.media.types import Image
from omnie.messages import Part, text


def numbered(count: int) -> list[Example]:
    """Examples whose picture, question and answer all carry their number."""
    return [
        Example("a.b", (Part("image", Image(np.full((2, 2, 3), n, np.uint8))), text(f"q{n}")), f"a{n}") for n in range(count)
    ]


def shown(example: Example) -> int:
    return int(example.parts[0].value.pixels[0, 0, 0])


def test_groups_are_those_of_the_table():
    assert set(cases.groups()) == {skills.group_of(name) for name in skills.generators()} == set(skills.SHARES)
    assert cases.groups(["text_qa", "lines"]) == ("lines", "text_qa")
    with pytest.raises(OptionError, match="linse.*allowed: lines"):
        cases.groups(["linse"])


@pytest.mark.parametrize("count", [1, 3, 10, 200])
@pytest.mark.parametrize("group", cases.groups())
def test_cases_are_shared_out_by_weight(group, count):
    counts = cases.allot(group, count)
    assert sum(counts.values()) == count and min(counts.values()) > 0
    weights = {name: skills.weights()[name] for name in skills.skills(group)}
    for name, weight in weights.items():
        assert abs(counts.get(name, 0) - count * weight / sum(weights.values())) < 1


def test_known_shares():
    assert cases.allot("text_find", 200) == {"text.find": 86, "text.copy": 28, "text.form": 86}


@pytest.mark.parametrize("count", [1, 2, 32, 33, 65])
@pytest.mark.parametrize("shuffle", [False, True], ids=["plain", "shuffled"])
def test_chunks_are_the_first_examples_in_order(count, shuffle, monkeypatch):
    monkeypatch.setattr(skills, "example", lambda skill, split, index: numbered(count + 1)[index])
    found = list(cases.chunks("a.b", "heldout", count, shuffle))
    flat = [example for chunk in found for example in chunk]
    assert [example.answer for example in flat] == [f"a{n}" for n in range(count)]
    assert max(map(len, found)) <= cases.CHUNK
    assert all((shown(example) == n) is not shuffle for n, example in enumerate(flat))


def test_examples_repeat():
    first, again = (next(cases.chunks("text.find", "heldout", 3, False)) for _ in range(2))
    assert first == again and len({example.parts for example in first}) == 3


def test_exchange_moves_every_picture_and_leaves_the_questions():
    before = numbered(4)
    after = cases.exchanged(before)
    assert [shown(example) for example in after] == [1, 2, 3, 0]
    assert [(example.parts[1].value, example.answer) for example in after] == [(f"q{n}", f"a{n}") for n in range(4)]
    assert [shown(example) for example in before] == [0, 1, 2, 3]


def test_exchange_takes_all_of_the_other_examples_media():
    one, two = numbered(2)
    two = replace(two, parts=(two.parts[0], *two.parts))
    found = cases.exchanged([one, two])
    assert [len(example.parts) for example in found] == [3, 2]
    assert [example.parts[-1].value for example in found] == ["q0", "q1"]


def test_missing_assets_name_the_command_and_the_way_around(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def draw(skill, split, index):
        raise InputError("fonts have not been fetched", value="Lora", hint="run `fetch`")

    monkeypatch.setattr(skills, "example", draw)
    with pytest.raises(InputError, match="of lines: fonts have.*Lora.*run `fetch`; or leave lines out with --skills"):
        cases.probe("lines", "heldout")
