"""`omnie eval`: measurements of a model. Tables go to stdout, progress to stderr, the report to a file."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Measure a model.", rich_markup_mode=None)


@app.callback()
def measure() -> None:
    """Measure a model."""


@app.command()
def skills(
    model: Annotated[str | None, typer.Option(help="A built-in model or a model folder.", show_default="nano")] = None,
    cases: Annotated[int, typer.Option(help="Examples of each group.")] = 200,
    split: Annotated[str, typer.Option(help="Families of the examples: heldout or validation.")] = "heldout",
    skills: Annotated[str, typer.Option(help="Groups to ask, with commas between.", show_default="all")] = "",
    out: Annotated[
        Path | None,
        typer.Option(help="The report.", show_default="benchmarks/results/skills.json, a longer name if options differ"),
    ] = None,
    shuffle: Annotated[
        bool, typer.Option("--shuffle", help="Exchange pictures and sounds among the examples: what do questions alone tell?")
    ] = False,
) -> None:
    """Score every skill on held-out examples."""
    from omnie.evaluation import report
    from omnie.evaluation.skills import SkillsConfig, evaluate

    config = SkillsConfig(cases, split, tuple(filter(None, skills.replace(" ", "").split(","))), shuffle)
    path = out or config.out
    report.check(path)
    result = evaluate(model, config, _progress)
    report.write(path, result | {"command": shlex.join(["omnie", *sys.argv[1:]])})
    print(report.table(result))
    print(f"written: {path}", file=sys.stderr)


def _progress(skill: str, done: int, total: int) -> None:
    line = f"{done}/{total} {skill}"
    if not sys.stderr.isatty():
        print(line, file=sys.stderr, flush=True)
    else:
        print(f"\r\033[K{line}" if done < total else "\r\033[K", end="", file=sys.stderr, flush=True)
