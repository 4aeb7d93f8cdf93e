"""Two reports about the same cases: differences case by case, and reports that do not fit together."""

import json

import pytest

from omnie.cli.main import main
from omnie.errors import InputError
from omnie.evaluation.compare import compare, read, table


def report(**scores) -> dict:
    """As `read` gives it."""
    return {"detail": {name.replace("_", "."): {"scores": own} for name, own in scores.items()}, "split": "heldout"}


def test_a_steady_gain_is_told_from_chance_where_the_scores_overlap():
    before, after = [0.0] * 50 + [1.0] * 50, [0.0] * 42 + [1.0] * 58
    row = compare(report(text_qa=before), report(text_qa=after))["text.qa"]
    assert (row["before"], row["after"], row["difference"], row["n"]) == (0.5, 0.58, 0.08, 100)
    assert 0 < row["low"] < 0.08 < row["high"]


def test_what_goes_up_and_down_alike_is_chance():
    row = compare(report(text_qa=[0.0, 1.0] * 50), report(text_qa=[1.0, 0.0] * 50))["text.qa"]
    assert row["difference"] == 0 and row["low"] < 0 < row["high"]


def test_a_group_holds_the_cases_of_its_skills():
    before = report(charts_title=[0.0, 0.0], charts_value=[1.0], text_qa=[0.5])
    after = report(charts_title=[1.0, 0.0], charts_value=[1.0], text_math=[0.5])
    rows = compare(before, after)
    assert list(rows) == ["charts", "charts.title", "charts.value"]
    assert rows["charts"]["n"] == 3 and rows["charts"]["difference"] == pytest.approx(1 / 3, abs=1e-4)
    lines = table(rows).splitlines()
    assert len(lines) == 4 and lines[1].startswith("charts") and lines[2].startswith("  charts.title")


BAD = {
    "counts": (report(text_qa=[1.0]), report(text_qa=[1.0, 0.0]), "other cases"),
    "split": (report(text_qa=[1.0]), report(text_qa=[1.0]) | {"split": "validation"}, "other cases"),
    "skills": (report(text_qa=[1.0]), report(text_math=[1.0]), "share no skill"),
}


@pytest.mark.parametrize("name", BAD)
def test_reports_about_other_cases_are_refused(name):
    before, after, reason = BAD[name]
    with pytest.raises(InputError, match=reason):
        compare(before, after)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"detail": {"a": {"scores": "x"}}}',
        '{"detail": {}}',
        '{"detail": {"a": {"score": 1}}}',
        '{"detail": 3}',
    ],
)
def test_what_is_no_report_is_refused(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(InputError, match="report"):
        read(path)


def test_the_command_prints_a_table_or_json(tmp_path, capsys):
    for name, scores in (("a", [0.0] * 9), ("b", [1.0] * 9)):
        rows = {"text.qa": {"scores": " ".join(map(str, scores))}}
        (tmp_path / name).write_text(json.dumps({"detail": rows}))
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as exit:
            main(["eval", "compare", str(tmp_path / "a"), str(tmp_path / "b"), *more])
        assert exit.value.code == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].endswith("*") and json.loads(printed[-1])["text.qa"]["difference"] == 1.0
