"""Writes what the documents copy from the thing itself: commands, and the README's scores. `--check` only compares."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = ROOT / "docs" / "commands.md"
README = ROOT / "README.md"
SCORES = ROOT / "benchmarks" / "results" / "skills.json"
BLOCK = re.compile(r"(<!-- skills -->\n).*?(<!-- /skills -->)", re.S)


def help_of(*verb: str) -> str:
    command = [sys.executable, "-m", "omnie", *verb, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={"COLUMNS": "100", "PATH": ""}).stdout


def commands() -> str:
    overview = help_of()
    verbs = re.findall(r"^  (\w+)  +\S", overview.partition("Commands:")[2], re.M)
    texts = {"omnie": overview} | {f"omnie {verb}": help_of(verb) for verb in verbs}
    sections = [f"## {name}\n\n```text\n{text.rstrip()}\n```\n" for name, text in texts.items()]
    return "\n".join(["# Commands\n\nWritten by `make fix` from the commands' own help.\n", *sections])


def scores() -> str:
    """The README's table of held-out scores; empty as long as nothing was measured."""
    if not SCORES.is_file():
        return ""
    skills = json.loads(SCORES.read_text("utf-8"))["skills"]
    rows = [
        f"| {name} | {row['score']:.1%} | {row['low']:.1%} to {row['high']:.1%} | {row['n']} |" for name, row in skills.items()
    ]
    return "\n".join(["| skill | score | 95 % interval | cases |", "|---|---|---|---|", *rows, ""])


def wanted() -> dict[Path, str]:
    return {
        COMMANDS: commands(),
        README: BLOCK.sub(lambda match: match[1] + scores() + match[2], README.read_text("utf-8")),
    }


def main() -> None:
    stale = {path: text for path, text in wanted().items() if not path.is_file() or path.read_text("utf-8") != text}
    if "--check" not in sys.argv:
        for path, text in stale.items():
            path.write_text(text, "utf-8")
    elif stale:
        sys.exit(f"out of date: {', '.join(str(path.relative_to(ROOT)) for path in stale)}; run 'make fix'")


if __name__ == "__main__":
    main()
