"""`omnie eval skills` from the command line to the file, with an untrained toy and with a model that knows the answers."""

import hashlib
import json

import numpy as np
import pytest

from omnie import checkpoint
from omnie.cli.main import main
from omnie.data import skills as table
from omnie.errors import OptionError
from omnie.evaluation import cases, report, skills
from omnie.evaluation.skills import SkillsConfig, evaluate
from omnie.processor import Encoder
from omnie.processor.tokens import ID
from omnie.train.stream.source import BUILT_IN

TEXT = ("text_qa", "text_find", "needle", "text_extract", "text_sentiment", "text_logic", "smalltalk")
"""Groups that need neither fonts nor pictures nor voices."""
ROW = {"score", "n", "low", "high"}


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as exit:
        main(["eval", "skills", *arguments])
    return exit.value.code


@pytest.fixture
def knowing(monkeypatch):
    """Answers from the key: right wherever the example's own media are shown."""
    key: dict[tuple, str] = {}

    def draw(skill, split, index, seed=0, draw=table.example):
        example = draw(skill, split, index, seed)
        key[tuple(id(part.value) if part.kind != "text" else part.value for part in example.parts)] = example.answer
        kept.append(example)
        return example

    def answers(model, encoder, conversations, limit, read=None, guides=None):
        asked = [conversation[-1].parts for conversation in conversations]
        looked_up = [tuple(id(part.value) if part.kind != "text" else part.value for part in parts) for parts in asked]
        return [(key.get(name, "nothing of the sort"), 0.5) for name in looked_up]

    kept: list = []  # so that no id is used twice
    monkeypatch.setattr(table, "example", draw)
    monkeypatch.setattr(skills, "answers", answers)


def test_command_prints_a_table_and_writes_the_report(toy_folder, tmp_path, capsys):
    out = tmp_path / "new" / "skills.json"
    assert run(["--model", str(toy_folder), "--cases", "2", "--skills", ", ".join(TEXT), "--out", str(out)]) == 0
    printed, written = capsys.readouterr(), json.loads(out.read_text("utf-8"))
    assert set(written["skills"]) == set(TEXT)
    assert {table.group_of(name) for name in written["detail"]} == set(TEXT)
    for row in [*written["skills"].values(), *written["detail"].values()]:
        assert set(row) >= ROW and 0 <= row["low"] <= row["score"] <= row["high"] <= 1
    assert all(row["n"] == 2 for row in written["skills"].values())
    weights = hashlib.sha256((toy_folder / "model.safetensors").read_bytes()).hexdigest()
    assert written["model"] == {"name": str(toy_folder), "sha256": weights}
    assert written["hardware"]["cores"] >= 1 and written["hardware"]["cpu"]
    assert written["command"].startswith("omnie") and written["date"].endswith("+00:00")
    lines = printed.out.splitlines()
    assert len(lines) == 1 + len(written["skills"]) + len(written["detail"])
    assert lines[1].startswith("text_qa ") and lines[2].startswith("  text.")
    assert f"{2 * len(TEXT)}/{2 * len(TEXT)} " in printed.err and [p.name for p in out.parent.iterdir()] == ["skills.json"]


def test_the_same_twice(toy_folder):
    first, again = (evaluate(toy_folder, SkillsConfig(2, groups=("text_find",))) for _ in range(2))
    assert (first["skills"], first["detail"]) == (again["skills"], again["detail"])


def test_who_knows_the_answers_scores_one(toy_folder, knowing):
    found = evaluate(toy_folder, SkillsConfig(4, groups=TEXT))
    assert {row["score"] for row in found["skills"].values()} == {1.0}


def test_shuffled_media_take_the_answers_away(toy_folder, knowing, monkeypatch):
    """With sheets of cells, the one medium that needs no fonts."""
    monkeypatch.setattr(cases, "allot", lambda group, count: {"tables.text_lookup": count})
    monkeypatch.setattr(cases, "probe", lambda group, split: [table.example("tables.text_lookup", split, 0)])
    plain, shuffled = (evaluate(toy_folder, SkillsConfig(5, groups=("tables",), shuffle=on)) for on in (False, True))
    assert plain["skills"]["tables"]["score"] == 1 and shuffled["skills"]["tables"]["score"] == 0
    assert shuffled["shuffled"] and shuffled["skills"]["tables"]["n"] == 5
    assert shuffled["skills"]["tables"]["chance"] == shuffled["detail"]["tables.text_lookup"]["chance"] == 0.2
    assert "chance" not in plain["skills"]["tables"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "0"], "cases is out of range: 0 (allowed: 1 or more)"),
        (["--split", "test"], "split is unknown: test (allowed: heldout, validation or train)"),
        (["--skills", "linse"], "unknown group of skills: linse (allowed: lines,"),
        (["--model", "no-such-model"], "no such model: no-such-model"),
        (["--skills", "text_qa", "--shuffle", "--model", "TOY"], "there is nothing to shuffle: text_qa"),
        (["--out", "."], "the report cannot be written: ."),
        (["--spilt", "heldout"], "see omnie eval skills --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(arguments, message, toy_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run([str(toy_folder) if word == "TOY" else word for word in arguments]) == 2
    output = capsys.readouterr()
    assert output.out == "" and message in output.err and output.err.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (SkillsConfig(), "skills.json"),
        (SkillsConfig(shuffle=True), "skills_shuffled.json"),
        (SkillsConfig(split="validation"), "skills_validation.json"),
        (SkillsConfig(split="train"), "skills_train.json"),
        (SkillsConfig(groups=("lines", "charts")), "skills_lines_charts.json"),
        (SkillsConfig(typed=True), "skills_typed.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_partial_report_never_replaces_the_whole_one(config, name):
    assert config.out.name == name


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "skills.json"
    report.write(path, {"skills": {}})
    with pytest.raises(ValueError):
        report.write(path, {"skills": {"lines": {"score": float("nan")}}})
    assert json.loads(path.read_text("utf-8")) == {"skills": {}} and list(tmp_path.iterdir()) == [path]


def test_guided_answers_have_the_form_that_is_asked_for(toy_folder):
    """Even an untrained toy's: JSON begins with the first key that is wanted, which it never does by itself."""
    model, encoder = checkpoint.load(toy_folder)
    begun = {}
    for guided in (False, True):
        config = SkillsConfig(6, groups=("text_extract",), guided=guided)
        judged, _ = skills.ask(model.eval(), encoder, skills.planned(config), config, lambda *_: None)
        first = [(case.prediction, f'{{"{next(iter(json.loads(case.answer)))}": "') for case in judged["text.extract"]]
        begun[guided] = [prediction.startswith(beginning) for prediction, beginning in first]
    assert begun == {False: [False] * 6, True: [True] * 6}


def test_guided_asks_only_what_has_a_form(toy_folder):
    found = evaluate(toy_folder, SkillsConfig(3, groups=("text_extract", "tools", "text_qa"), guided=True))
    assert set(found["skills"]) == {"text_extract"} and found["guided"]


def test_calls_always_fit_the_tools_on_offer(toy_folder, monkeypatch):
    """As everywhere outside evaluation: what begins as a call goes on as one, even where the model is an untrained toy."""
    model, encoder = checkpoint.load(toy_folder)
    examples = cases.chunks("tools.call", "heldout", 4, False)
    held = []

    class Asked:
        def __init__(self, model, context):
            assert context == model.config.max_position_embeddings

        def generate(self, request, certainty):
            held.append(request.guide)
            return iter(())

    monkeypatch.setattr(skills, "Engine", Asked)
    for chunk in examples:
        skills.answered(model.eval(), encoder, chunk)
    texts, start = encoder.tokenizer, ID["<tool_call>"]
    for guide in held:
        assert guide.allowed()[start]
        guide.take(start)
        assert guide.calls
        assert texts.encode('{"name')[0] in np.flatnonzero(guide.allowed()) and not guide.allowed()[texts.encode("ja")[0]]
    assert len(held) == 4


def test_guided_needs_a_group_with_a_form(toy_folder):
    with pytest.raises(OptionError, match="nothing to guide"):
        skills.planned(SkillsConfig(3, groups=("text_qa",), guided=True))
    assert SkillsConfig(guided=True).out.name == "skills_guided.json"


def test_only_a_lone_call_counts_as_one():
    encoder = Encoder.load(BUILT_IN)
    call = [ID["<tool_call>"], *encoder.tokenizer.encode('{"name": "f", "arguments": {}}'), ID["</tool_call>"]]
    text = encoder.tokenizer.encode("ja")
    assert json.loads(skills.only_call(encoder, call)) == {"name": "f", "arguments": {}}
    assert [skills.only_call(encoder, ids) for ids in (text, [], call + call, text + call, call[1:-1])] == [""] * 5
