"""`make run`: asks the questions of `examples/questions.toml` through the console command and holds the answers against it.

The exit status is 1 when an answer is not the expected one.
"""

import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def ask(case: dict) -> str:
    """Run one question as a user would type it; gives its answer."""
    words = ["omnie", "ask", *case["files"], *([case["question"]] if "question" in case else [])]
    print("$", shlex.join(words), flush=True)
    command = [str(Path(sys.executable).with_name("omnie")), *words[1:]]
    done = subprocess.run(command, cwd=EXAMPLES, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    print(done.stdout, flush=True)
    return done.stdout.strip()


def right(case: dict, answer: str) -> bool:
    """Whether an answer is one of the expected ones."""
    return folded(answer) in {folded(text) for text in case["expected"]}


def folded(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")


def main() -> None:
    cases = tomllib.loads((EXAMPLES / "questions.toml").read_text("utf-8"))["question"]
    wrong = [case["expected"] for case in cases if not right(case, ask(case))]
    for expected in wrong:
        print("expected instead:", " or: ".join(expected), file=sys.stderr)
    print(f"{len(cases) - len(wrong)} of {len(cases)} answers are right.", file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
