"""Published folders are asked what nano is asked: text and pictures, and a clear error where they take no tools or sounds."""

import pytest

from omnie.errors import InputError, OptionError
from omnie.evaluation.skills import SkillsConfig, evaluate

from .whole import write, write_text


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("asked"))


def test_a_text_model_is_asked(tmp_path):
    found = evaluate(write_text(tmp_path / "text"), SkillsConfig(3, groups=("text_logic", "smalltalk")))
    assert {name: row["n"] for name, row in found["skills"].items()} == {"text_logic": 3, "smalltalk": 3}


def test_answers_may_be_held_to_their_form(folder):
    found = evaluate(folder, SkillsConfig(2, groups=("text_extract",), guided=True))
    assert found["skills"]["text_extract"]["n"] == 2


def test_what_it_cannot_be_asked_is_said(folder):
    with pytest.raises(OptionError, match="the model's chat template offers no tools"):
        evaluate(folder, SkillsConfig(2, groups=("text_logic", "tools")))
    with pytest.raises(InputError, match="conversation is too long"):
        evaluate(folder, SkillsConfig(1, groups=("needle",)))
