"""`omnie eval`: measurements of a model. Tables go to stdout, progress to stderr, the report to a file."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Measure a model.", rich_markup_mode=None)


@app.callback()
def measure() -> None:
    """Measure a model."""


@app.command()
def skills(
    model: Annotated[str | None, typer.Option(help="A built-in model or a model folder.", show_default="nano")] = None,
    cases: Annotated[int, typer.Option(help="Examples of each group.")] = 200,
    split: Annotated[str, typer.Option(help="Families of the examples: heldout, validation or train.")] = "heldout",
    skills: Annotated[str, typer.Option(help="Groups to ask, with commas between.", show_default="all")] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="The report.", show_default="benchmarks/results/skills.json, a longer name if options differ"),
    ] = None,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Exchange pictures and sounds among the examples: what do questions alone tell?")
    ] = False,
    guided: Annotated[bool, typer.Option("--guided", help="Only JSON, with answers that can be nothing else.")] = False,
    typed: Annotated[
        bool, typer.Option("--typed", help="Ask as people type: no capital, no question mark, a blank or line break too much.")
    ] = False,
) -> None:
    """Score every skill on held-out examples."""
    from omnie.evaluation import report
    from omnie.evaluation.skills import SkillsConfig, evaluate

    config = SkillsConfig(cases, split, _names(skills), shuffle, guided, typed)
    path = out or config.out
    report.check(path)
    result = _commanded(evaluate(model, config, _progress))
    report.write(path, result)
    print(report.table(result))
    print(f"written: {path}", file=sys.stderr)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A report of omnie eval skills.", show_default=False)],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Another about the same cases.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Say what one model does better than another, case by case."""
    from omnie.evaluation import compare

    rows = compare.compare(compare.read(before), compare.read(after))
    print(json.dumps(rows) if as_json else compare.table(rows))


@app.command()
def wild(
    model: Annotated[str | None, typer.Option(help="A built-in model or a model folder.", show_default="nano")] = None,
    cases: Annotated[int | None, typer.Option(help="Most cases of each group.", show_default="all")] = None,
    skills: Annotated[str, typer.Option(help="Groups to ask, with commas between.", show_default="all")] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="The report.", show_default="benchmarks/results/wild.json, a longer name if options differ"),
    ] = None,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Show each question another file of its group: what do questions alone tell?")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The report as one JSON object on stdout, each answer in it.")
    ] = False,
) -> None:
    """Score files that training's tools did not make."""
    from omnie.evaluation import report
    from omnie.evaluation.wild.scores import WildConfig, evaluate

    config = WildConfig(cases, _names(skills), shuffle)
    path = out or config.out
    report.check(path)
    result = _commanded(evaluate(model, config, _progress))
    report.write(path, result)
    print(json.dumps(result, ensure_ascii=False) if as_json else report.table(result))
    print(f"written: {path}", file=sys.stderr)


def _names(words: str) -> tuple[str, ...]:
    return tuple(filter(None, words.replace(" ", "").split(",")))


def _commanded(result: dict[str, Any]) -> dict[str, Any]:
    """A report with the command line that gave it."""
    return result | {"command": shlex.join(["omnie", *sys.argv[1:]])}


def _progress(skill: str, done: int, total: int) -> None:
    line = f"{done}/{total} {skill}"
    if not sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)
    else:
        print(f"\r\033[K{line}" if done < total else "\r\033[K", end="", file=sys.stderr, flush=True)
