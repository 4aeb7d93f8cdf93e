"""Draws `docs/progress.svg`, scores against training tokens: `python tools/progress.py`, in a clone with its history.

Each shipped version of nano is a point: its committed held-out scores (`benchmarks/results/skills.json`), and the tokens of all
runs that led to it (`training.json` as it was before the next version came). What is drawn is also written to
`benchmarks/results/progress.json`. Two groups have grown by a skill since the fourth version: lists and pages by their forms.
From 28 November 2026 on calls are held to the tools on offer, as outside evaluation, and are the likeliest whole ones: 6 points
and 1 for tools, of the same weights; and pictures and sounds are looked at up to three times: 1.2 points of the mean of all 18
groups, 0.3 more since scanned pages are looked at larger.
"""

import io
import json
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SKILLS, TRAINING = "benchmarks/results/skills.json", "benchmarks/results/training.json"
NAMES = {
    "text_qa": "passages",
    "text_find": "lists",
    "needle": "long texts",
    "text_extract": "JSON",
    "text_logic": "sums and sorting",
    "text_sentiment": "moods",
    "smalltalk": "small talk",
    "objects": "things",
}


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the history cannot be read: {done.stderr.strip()}; allowed: a clone with its history")
    return done.stdout


def versions() -> list[dict[str, Any]]:
    """The committed versions, oldest first, and the one that lies here if it is another."""
    commits = git("log", "--reverse", "--format=%H", "--", SKILLS).split()
    texts = [git("show", f"{commit}:{SKILLS}") for commit in commits]
    records = [training(f"{commit}~") for commit in commits[1:]] + [training("HEAD")]
    here = (ROOT / SKILLS).read_text("utf-8")
    if here != texts[-1]:
        texts, records = [*texts, here], [*records, json.loads((ROOT / TRAINING).read_text("utf-8"))]
    found: dict[str, dict[str, Any]] = {}
    for text, record in zip(texts, records):
        report = json.loads(text)
        weights, skills = report["model"]["sha256"], report["skills"]
        found[weights] = {
            "weights": weights[:8],
            "tokens": record.get("tokens", 0),
            "minutes": round(record.get("seconds", 0) / 60),
            "mean": round(sum(row["score"] for row in skills.values()) / len(skills), 4),
            "skills": {name: row["score"] for name, row in skills.items()},
        }
    return [version for version in found.values() if version["tokens"]]


def training(commit: str) -> dict[str, Any]:
    """The record as it was at a commit; empty where there was none."""
    if not git("ls-tree", "--name-only", commit, "--", TRAINING).strip():
        return {}
    return json.loads(git("show", f"{commit}:{TRAINING}"))


def draw(points: list[dict[str, Any]]) -> str:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "omnie", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4.2), constrained_layout=True, sharex=True)
    tokens = [point["tokens"] / 1e6 for point in points]
    left.plot(tokens, [100 * point["mean"] for point in points], "o-", color="#2563eb")
    left.set_ylim(0, 100)
    left.set_ylabel("mean of the held-out groups, %")
    names = sorted(points[-1]["skills"], key=lambda name: -points[-1]["skills"][name])
    colours = pyplot.get_cmap("viridis").resampled(len(names))
    for i, name in enumerate(names):
        scores = [100 * point["skills"].get(name, float("nan")) for point in points]
        right.plot(tokens, scores, "o-", ms=3, color=colours(i), label=NAMES.get(name, name))
    right.set_ylim(0, 100)
    right.set_ylabel("score of a group, %")
    right.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    for axis in (left, right):
        axis.set_xlabel("million training tokens")
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    text = re.sub(r" *<metadata>.*?</metadata>\n", "", drawn.getvalue(), flags=re.S)  # addresses that nothing reads
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def main() -> None:
    points = versions()
    (ROOT / "benchmarks/results/progress.json").write_text(json.dumps(points, indent=1) + "\n", "utf-8")
    (ROOT / "docs/progress.svg").write_text(draw(points), "utf-8")


if __name__ == "__main__":
    main()
