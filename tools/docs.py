"""Writes what the documents copy from the thing itself: commands, scores, sizes, the model card. `--check` only compares."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import card
import results

ROOT = Path(__file__).parents[1]
COMMANDS = ROOT / "docs" / "commands.md"
README = ROOT / "README.md"
CARD = ROOT / "src" / "omnie" / "nano" / "README.md"
BLOCKS: dict[str, Callable[[], str]] = {
    "state": results.state,
    "kinds": results.kinds,
    "skills": results.skills,
    "speed": results.speed,
    "sizes": results.sizes,
    "credits": results.credits,
}
"""Between `<!-- NAME -->` and `<!-- /NAME -->` in the README stands what the function gives."""


def help_of(*verb: str) -> str:
    command = [sys.executable, "-m", "omnie", *verb, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={"COLUMNS": "100", "PATH": ""}).stdout


def verbs(overview: str) -> list[str]:
    return re.findall(r"^  ([\w-]+)  +\S", overview.partition("Commands:")[2], re.M)


def sections(*verb: str) -> str:
    """A command's help, then that of its subcommands."""
    text = help_of(*verb)
    section = f"## {' '.join(('omnie', *verb))}\n\n```text\n{text.rstrip()}\n```\n"
    return "\n".join([section, *(sections(*verb, name) for name in verbs(text))])


def commands() -> str:
    return "# Commands\n\nWritten by `make fix` from the commands' own help.\n\n" + sections()


def readme() -> str:
    """The README with its blocks renewed."""
    text = README.read_text("utf-8")
    for name, block in BLOCKS.items():
        opening, closing = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(opening)
        if not found or closing not in rest:
            sys.exit(f"README.md has no block '{name}'")
        text = before + opening + block() + closing + rest.partition(closing)[2]
    return text


def wanted() -> dict[Path, str]:
    return {COMMANDS: commands(), README: readme(), CARD: card.card()}


def main() -> None:
    stale = {path: text for path, text in wanted().items() if not path.is_file() or path.read_text("utf-8") != text}
    if "--check" not in sys.argv:
        for path, text in stale.items():
            path.write_text(text, "utf-8")
    elif stale:
        sys.exit(f"out of date: {', '.join(str(path.relative_to(ROOT)) for path in stale)}; run 'make fix'")


if __name__ == "__main__":
    main()
