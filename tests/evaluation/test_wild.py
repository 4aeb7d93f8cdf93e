"""`omnie eval wild`: the cases are whole and of other make than training's material, and the command scores them."""

import json
import re
import tomllib
from pathlib import Path

import pytest

import omnie.data
from omnie.cli.main import main
from omnie.data.scoring import score
from omnie.data.skills import generators
from omnie.errors import InputError, OptionError
from omnie.evaluation.wild import cases, scores
from omnie.evaluation.wild.scores import WildConfig, evaluate

CASES = cases.read()
FILES = tomllib.loads((cases.HERE / "cases.toml").read_text("utf-8"))["file"]
NAMES = sorted(path.name for path in (cases.HERE / "files").iterdir())
MATERIAL = Path(omnie.data.__file__).parent
MODULES = {
    "Vega-Lite": "vl_convert", "pygal": "pygal", "ReportLab": "reportlab", "Chart.js": "chartjs", "ECharts": "echarts",
    "Typst": "typst", "WeasyPrint": "weasyprint", "fpdf2": "fpdf", "Skia": "skia", "SVOX Pico": "nanotts", "Flite": "flite",
    "FFmpeg": "av",
    "camera": None, "microphone": None, "scanner": None,
}  # fmt: skip
"""Tool -> the Python module that gives it, or would."""
LEAST = {"charts": 20, "pages": 10, "lines": 10, "speech": 8, "scenes": 8, "objects": 4, "sounds": 1}


def run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as exit:
        main(["eval", "wild", *arguments])
    return exit.value.code


@pytest.fixture
def knowing(monkeypatch):
    """Answers from the key, by the question and by what is shown beside it."""
    key = {}
    for case in CASES:
        key[case.file, case.question] = case.expected[-1]
    monkeypatch.setattr(scores, "opened", lambda file: cases.text(file))

    def answers(model, encoder, conversations, limit):
        posed = [[part.value for part in conversation[0].parts] for conversation in conversations]
        return [(key.get((file, question[0] if question else None), ""), 0.5) for file, *question in posed]

    monkeypatch.setattr(scores, "answers", answers)


# --- the cases


def test_there_are_enough_of_each_group():
    counts = {name: len(found) for name, found in cases.chosen(CASES).items()}
    assert set(counts) == set(LEAST) and all(counts[name] >= least for name, least in LEAST.items())
    assert len(CASES) >= 60 and len({(case.file, case.question) for case in CASES}) == len(CASES)


def test_every_file_is_used_once_and_small():
    assert sorted(file["name"] for file in FILES) == NAMES
    assert sum((cases.HERE / "files" / name).stat().st_size for name in NAMES) < 6e6


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}:{case.skill}")
def test_labels_are_complete(case):
    assert case.skill in generators() and all(answer.strip() == answer != "" for answer in case.expected)
    assert case.question or case.skill == "speech.answer"
    for example in case.examples(cases.text("")):
        assert score(example, example.answer) == 1


def test_what_is_not_our_own_is_credited():
    for file in FILES:
        assert set(file) - {"licence", "credit"} == {"name", "tool", "case"}
        assert ("licence" in file) == ("credit" in file)
        assert "licence" in file or file["tool"] not in ("camera", "microphone", "scanner")


@pytest.mark.slow
def test_every_file_opens_as_what_its_group_asks_about():
    kinds = {"charts": "image", "lines": "image", "objects": "image", "pages": "document", "speech": "audio", "sounds": "audio",
             "scenes": "video"}  # fmt: skip
    for case in {case.file: case for case in CASES}.values():
        assert cases.opened(case.file).kind == kinds[case.group]


# --- that training did not see their like


def test_no_tool_is_used_by_the_generators():
    """FFmpeg alone comes near them: PyAV reads clips there, and its sources and filters are never asked."""
    assert {file["tool"] for file in FILES} == set(MODULES)
    code = "\n".join(path.read_text("utf-8") for path in MATERIAL.rglob("*.py"))
    for module in filter(None, MODULES.values()):
        assert not re.search(rf"^\s*(import|from)\s+\w*{module}\b", code, re.M), module


def test_no_text_stands_in_the_material():
    """Titles, lines and sentences to read or to write down; and questions, which no generator asks in these words."""
    material = "\n".join(path.read_text("utf-8") for path in MATERIAL.rglob("*") if path.suffix in {".py", ".toml", ".txt"})
    material = " ".join(material.casefold().split())
    read = [case for case in CASES if case.scoring in ("cer", "wer") or case.skill == "charts.title"]
    assert [case.file for case in read if " ".join(case.expected[0].casefold().split()) in material] == []
    asked = [case.question for case in CASES if case.question]
    assert [question for question in asked if f'"{question.casefold()}"' in material] == []


def test_fonts_are_not_those_of_training():
    lines = (Path(__file__).parents[2] / "tools" / "wild" / "package.json").read_text("utf-8")
    fetched = (MATERIAL / "assets.toml").read_text("utf-8")
    fonts = re.findall(r"@fontsource/[\w-]+", lines)
    assert fonts and not [font for font in fonts if f'"{font}"' in fetched]


# --- the command


def test_command_prints_a_table_and_writes_the_report(toy_folder, tmp_path, capsys):
    out = tmp_path / "wild.json"
    assert run(["--model", str(toy_folder), "--cases", "1", "--skills", "charts, speech", "--out", str(out)]) == 0
    printed, written = capsys.readouterr(), json.loads(out.read_text("utf-8"))
    assert set(written["skills"]) == {"charts", "speech"} and len(written["cases"]) == 2
    for row in [*written["skills"].values(), *written["detail"].values()]:
        assert set(row) >= {"score", "n", "low", "high"} and 0 <= row["low"] <= row["score"] <= row["high"] <= 1
    assert set(written["cases"][0]) == {"file", "skill", "tool", "question", "expected", "answer", "score"}
    assert written["model"]["sha256"] and written["hardware"]["cores"] and written["command"].startswith("omnie")
    assert printed.out.splitlines()[1].startswith("charts ") and "2/2 speech" in printed.err


def test_json_goes_to_stdout(toy_folder, tmp_path, knowing, capsys):
    out = tmp_path / "wild.json"
    assert run(["--model", str(toy_folder), "--cases", "2", "--json", "--out", str(out)]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(out.read_text("utf-8"))


def test_who_knows_the_answers_scores_one(toy_folder, knowing):
    found = evaluate(toy_folder, WildConfig())
    assert {row["score"] for row in found["skills"].values()} == {1.0}
    assert sum(row["n"] for row in found["detail"].values()) == sum(row.get("n") for row in counted(found)) == len(CASES)


def counted(found: dict) -> list[dict]:
    """Rows of groups, with those of the cases that are not rated by errors."""
    return [row for group in found["skills"].values() for row in (group, group.get("exact", {"n": 0}))]


def test_other_files_take_the_answers_away(toy_folder, knowing):
    found = evaluate(toy_folder, WildConfig(shuffle=True))
    assert found["shuffled"] and max(row["score"] for row in found["skills"].values()) == 0


def test_the_best_of_the_right_answers_counts():
    case = cases.Case("charts.kind", "a.png", "?", ("bar chart", "bar graph"), "contains", "Skia")
    for said, wanted in (("a bar graph.", 1), ("Bar chart", 1), ("a line chart", 0)):
        assert scores.best(case.examples(cases.text("")), said).score == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "0"], "cases is out of range: 0 (allowed: 1 or more)"),
        (["--skills", "linse"], "unknown group of cases: linse (allowed: charts,"),
        (["--skills", "lines", "--cases", "1", "--shuffle"], "there is nothing to exchange: skia_dosis.png"),
        (["--model", "no-such-model"], "no such model: no-such-model"),
        (["--out", "."], "the report cannot be written: ."),
        (["--split", "heldout"], "see omnie eval wild --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and message in output.err and output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (WildConfig(), "wild.json"),
        (WildConfig(shuffle=True), "wild_shuffled.json"),
        (WildConfig(cases=3, groups=("lines",)), "wild_lines_3.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_partial_report_never_replaces_the_whole_one(config, name):
    assert config.out.name == name


WHOLE = '[[file]]\nname = "a.png"\ntool = "Skia"\n'


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("[[file", "the cases cannot be read"),
        ('[[file]]\nname = "b.png"\ntool = "Skia"\ncase = []', "incomplete or missing: b.png"),
        (WHOLE, "incomplete or missing: a.png"),
        (WHOLE + 'case = [{skill = "charts.kind", scoring = "contains", expected = []}]', "a case is incomplete: a.png"),
        (WHOLE + 'case = [{skill = "charts.kind", scoring = "by ear", expected = ["x"]}]', "a case is incomplete: a.png"),
    ],
    ids=["no TOML", "no such file", "no case", "no answer", "unknown scoring"],
)
def test_bad_cases_are_errors(written, message, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.png").touch()
    (tmp_path / "cases.toml").write_text(written, "utf-8")
    with pytest.raises(InputError, match=message):
        cases.read(tmp_path)


def test_one_file_cannot_be_exchanged():
    with pytest.raises(OptionError, match="nothing to exchange"):
        cases.shown(CASES[:2], shuffle=True)
