"""Draws `docs/attention_speed.svg` (twelve kinds of masks) and `docs/attention_curve.svg` (what saving costs)."""

import io
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
COLOURS = {"flashmask": "#2563eb", "sdpa": "#94a3b8", "flex": "#f59e0b"}


def _figure(width: float, height: float, columns: int = 1):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "omnie", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    from matplotlib import pyplot

    return pyplot.subplots(1, columns, figsize=(width, height), constrained_layout=True)


def _save(figure: Any, name: str) -> None:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    text = re.sub(r" *<metadata>.*?</metadata>\n", "", drawn.getvalue(), flags=re.S)  # addresses that nothing reads
    (DOCS / name).write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", "utf-8")


def speed(result: dict[str, Any]) -> None:
    """Time of torch's kernel over that of FlashMask, for each kind and length; and what a mask takes up."""
    figure, (left, right) = _figure(10, 4, 2)
    rows = result["types"]
    names = list(dict.fromkeys(row["type"] for row in rows))
    lengths = sorted({row["length"] for row in rows})
    for i, n in enumerate(lengths):
        times = {row["type"]: row["sdpa"] / row["flashmask"] for row in rows if row["length"] == n}
        places = [y + 0.26 * (i - 1) for y in range(len(names))]
        left.barh(
            places, [times[name] for name in names], 0.24, label=f"{n:,} tokens", color=["#bfdbfe", "#60a5fa", "#1d4ed8"][i]
        )
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.set_xscale("log")
    left.axvline(1, color="#475569", lw=0.8)
    left.set_xlabel("times as fast as a dense mask (log scale)")
    left.legend(frameon=False)
    memory = result["memory"]
    sizes = [row["length"] for row in memory]
    right.loglog(sizes, [row["dense_mask"] / 2**20 for row in memory], "o-", color=COLOURS["sdpa"], label="a dense mask alone")
    right.loglog(
        sizes,
        [max(row["grown"], 1) / 2**20 for row in memory],
        "o-",
        color=COLOURS["flashmask"],
        label="FlashMask, all it needs",
    )
    right.loglog(sizes, [row["mask"] / 2**20 for row in memory], "o--", color=COLOURS["flashmask"], label="its column mask")
    right.set_xlabel("tokens")
    right.set_ylabel("MiB")
    right.legend(frameon=False)
    _save(figure, "attention_speed.svg")


def curve(result: dict[str, Any]) -> None:
    """Share of attention FLOPs saved against the needles found, and against what right answers cost, for each length."""
    figure, (left, right) = _figure(10, 4, 2)
    colours = ("#94a3b8", "#f59e0b", "#60a5fa", "#1d4ed8")
    for text, colour in zip(result["texts"], colours, strict=False):
        exact = next(row["nats"] for row in text["levels"] if row["level"] == "exact")
        for family, marker in (("certified", "o-"), ("fast", "s--")):
            rows = [row for row in text["levels"] if row["level"].startswith(("exact", family))]
            points = [(100 * row["saved"], row["needles"], row["nats"] - exact) for row in rows]
            saved, needles, worse = zip(*points, strict=True)
            left.plot(saved, needles, marker, color=colour, label=f"{text['tokens']:,} tokens, {family}")
            right.plot(saved, worse, marker, color=colour)
    left.set_ylabel("needles found, %")
    left.set_ylim(-2, 102)
    left.legend(frameon=False, fontsize=7)
    right.set_ylabel("nats a token of right answers, added")
    right.set_yscale("symlog", linthresh=0.1)
    for axes in (left, right):
        axes.set_xlabel("attention FLOPs of the text saved, % (bounds included)")
    _save(figure, "attention_curve.svg")
