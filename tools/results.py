"""What the documents say in numbers, as Markdown: scores, training, speed, sizes. Read from result files and from the code.

A missing result file gives a sentence that says so; nothing here measures anything.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
LEVELS = ((0.8, "yes"), (0.4, "often"), (0.0, "not yet"))
"""Score from which on a skill is called so."""

ABILITIES = {
    "charts": "title, values, trend, kind of a chart",
    "charts.title": "the title of a chart",
    "charts.value": "a value in a chart, within 5 %",
    "charts.extreme": "the largest or smallest in a chart",
    "charts.trend": "the trend of a chart",
    "charts.kind": "the kind of a chart",
    "charts.describe": "what a chart shows, in a sentence",
    "charts.count": "how many bars, slices or lines",
    "charts.unknown": "saying that a chart does not show what is asked",
    "lines": "reading text in pictures",
    "lines.read": "one line of text in a picture",
    "lines.block": "two to four lines of text in a picture",
    "tables": "a cell of a table",
    "tables.lookup": "a cell of a table in a picture",
    "tables.text_lookup": "a cell of a CSV or XLSX table",
    "objects": "things and shapes in pictures",
    "objects.name": "the name of a thing in a picture",
    "objects.count": "how many things in a picture",
    "objects.which": "which thing is where in a picture",
    "objects.colour": "colour, shape and side of shapes",
    "speech": "writing down speech, spoken questions",
    "speech.transcribe": "writing down a spoken sentence",
    "speech.answer": "answering a spoken question about numbers",
    "speech.language": "the language of a spoken sentence",
    "speech.keyword": "whether a word was spoken",
    "sounds": "naming and counting sounds",
    "sounds.name": "the name of a sound",
    "sounds.count": "how many beeps",
    "scenes": "movement and sounds in clips",
    "scenes.motion": "how something moves in a clip",
    "scenes.sound": "which sound a clip has",
    "scenes.when": "when a sound begins in a clip",
    "scenes.object": "what moves in a clip",
    "scenes.both": "what moves and what is heard in a clip",
    "pages": "questions about PDF pages",
    "pages.qa": "questions about a PDF page",
    "pages.form": "a field of a form, by its label",
    "pages.unknown": "saying that a page does not answer the question",
    "scans": "questions about scanned pages",
    "scans.qa": "questions about a scanned page",
    "scans.form": "a field of a scanned form, by its label",
    "text_qa": "questions about a passage of text",
    "text.qa": "questions about a passage of text",
    "text.unknown": "saying that a passage does not answer the question",
    "text_find": "finding values in lists, repeating text",
    "text.find": "the value of a key in a list",
    "text.form": "a field of a form in text, by its label",
    "text.copy": "repeating text",
    "needle": "a value that one sentence of a long text tells",
    "text.needle": "a value that one sentence of a long text tells",
    "text.needles": "one of many such values, all told in one wording",
    "text_extract": "fields of a text as JSON",
    "text.extract": "JSON with the wanted fields of a text",
    "text_sentiment": "the mood of a review",
    "text.sentiment": "the mood of a review",
    "text_logic": "small sums, sorting, trends of numbers",
    "text.math": "small sums",
    "text.spoken": "small sums in words",
    "text.sort": "sorting numbers and words",
    "text.trend": "the trend of a list of numbers",
    "tools": "calling tools",
    "tools.call": "the right tool, called with the right arguments",
    "tools.none": "saying that no tool fits",
    "sums": "sums in pictures, and of three digits",
    "lines.sum": "a sum in a picture",
    "text.digits": "sums of up to three digits",
    "smalltalk": "small talk",
    "text.smalltalk": "who are you, what can you do",
}
"""Skill or group -> what it is, in words."""


def read(name: str) -> dict[str, Any] | None:
    """A result file of `benchmarks/results/`, or None where it is not committed."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else None


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def skills(part: str = "skills") -> str:
    """What the model can do, best first: by group ("skills") or by single skill ("detail")."""
    found, exchanged = read("skills"), (read("skills_shuffled") or {}).get(part, {})
    if not found:
        return "No result is committed yet: `make eval` writes `benchmarks/results/skills.json`.\n"
    sure = any("confidence" in row for row in found[part].values())
    head = [
        "what",
        "can it?",
        "score",
        "95 % interval",
        "cases",
        *(["surest 80 %"] * sure),
        *(["files exchanged"] if exchanged else []),
    ]
    ranked = sorted(found[part].items(), key=lambda item: -item[1]["score"])
    rows = [
        [*_skill(name, row), *([_surest(row)] * sure), *([_control(exchanged.get(name))] if exchanged else [])]
        for name, row in ranked
    ]
    return table(head, rows) + f"\n{_origin(found, bool(exchanged))}\n"


def state() -> str:
    """How far the shipped weights are, in a sentence."""
    found, made = read("skills"), read("training")
    if not found:
        return "How well the shipped weights do has not been measured yet (`make eval`).\n"
    levels = [level(row["score"]) for row in found["skills"].values()]
    good = levels.count("yes")
    after = f" after {made['seconds'] / 60:.0f} minutes of training on {made['device']}" if made else ""
    return (
        f"Where it stands{after}: of {len(levels)} groups of skills, {good} reach{'es' * (good == 1)} a score of 80 % on "
        f"held-out material and {levels.count('often')} more one of 40 %; the [table](#what-nano-can-do) says which.\n"
    )


def level(score: float) -> str:
    return next(word for least, word in LEVELS if round(score, 2) >= least)


def _skill(name: str, row: dict[str, Any]) -> list[str]:
    rates = "".join(f", {rate.upper()} {row[rate]:.0%}" for rate in ("cer", "wer") if rate in row)
    return [
        ABILITIES.get(name, name) + rates,
        level(row["score"]),
        _share(row),
        f"{row['low']:.0%} to {row['high']:.0%}",
        str(row["n"]),
    ]


def _surest(row: dict[str, Any]) -> str:
    return f"{row['confidence']['surest']:.0%}" if "confidence" in row else ""


def _share(row: dict[str, Any] | None) -> str:
    return f"{row['score']:.0%}" if row else ""


def _control(row: dict[str, Any] | None) -> str:
    return _share(row) + (f" (chance {row['chance']:.0%})" if row and "chance" in row else "")


def _origin(found: dict[str, Any], exchanged: bool) -> str:
    control = (
        ' "files exchanged": the same questions with another case\'s picture or sound; chance: the best single answer to all.'
    )
    control = control if exchanged else ""
    origin = f"`omnie eval skills`, {found['date'][:10]}, weights {found['model']['sha256'][:8]}.{control}"
    origin += " Calls are held to the tools on offer, as everywhere." if "tools" in found["skills"] else ""
    return origin + guided(found["model"]["sha256"]) + typed(found)


def guided(weights: str) -> str:
    """What the same weights do when answers are held to their form; nothing where that was not measured of them."""
    found = read("skills_guided")
    if not found or found["model"]["sha256"] != weights:
        return ""
    rows = found["detail"]
    said = ", ".join(f"{ABILITIES[name]} {row['score']:.0%} ({row['n']} cases)" for name, row in rows.items())
    return f" With answers held to their form, as `--schema` does (`omnie eval skills --guided`): {said}."


def typed(found: dict[str, Any]) -> str:
    """What the same weights do when they are asked as people type; nothing where that was not measured of them."""
    other = read("skills_typed")
    if not other or other["model"]["sha256"] != found["model"]["sha256"]:
        return ""
    said = ", ".join(
        f"{ABILITIES[name]} {row['score']:.0%} ({found['skills'][name]['score']:.0%} above)"
        for name, row in other["skills"].items()
    )
    return f" Asked as people type, in a hurry (`omnie eval skills --typed`): {said}."


def reading() -> str:
    """How well the encoders read by themselves."""
    found = read("reading")
    if not found:
        return "No result is committed yet: `python benchmarks/reading.py` writes `benchmarks/results/reading.json`.\n"
    head = ["what is read in", "words wrong", "letters wrong", "without n-grams", "texts right", "texts"]
    keys = ("word_error", "letter_error", "letter_error_without_ngrams", "whole")
    rows = [
        [ABILITIES.get(name, name), *(f"{row[key]:.0%}" for key in keys), str(row["texts"])]
        for name, row in found["skills"].items()
    ]
    return (
        table(head, rows)
        + f"\n`python benchmarks/reading.py`, {found['date'][:10]}. Words are the vocabulary's, half a word of prose.\n"
    )


def experts() -> str:
    """How evenly the experts are used."""
    found = read("experts")
    if not found:
        return "No result is committed yet: `python benchmarks/experts.py` writes `benchmarks/results/experts.json`.\n"
    head = ["experts", "how many", "entropy, least of all layers", "most used, in even shares", "dead"]
    rows = []
    for name, row in found["groups"].items():
        layers = row["layers"]
        worst, most, dead = min(x["entropy"] for x in layers), max(x["largest"] for x in layers), sum(x["dead"] for x in layers)
        rows.append([name, str(row["experts"]), f"{worst:.3f}", f"{most:.1f}", str(dead)])
    note = f"`python benchmarks/experts.py`, {found['date'][:10]}, {found['cases']} held-out cases; entropy 1 is equal use."
    return table(head, rows) + f"\n{note}\n"


def training() -> str:
    """How the shipped weights were made."""
    found = read("training")
    if not found:
        return "No record is committed yet: `python tools/record.py RUN` writes `benchmarks/results/training.json`.\n"
    rows = [
        ["hardware", found["device"]],
        ["time", f"{found['seconds'] / 60:.0f} minutes, {found['date']}"],
        ["steps", f"{found['steps']:,}"],
        ["tokens", f"{found['tokens'] / 1e6:.1f} million (text, picture and sound tokens together)"],
        ["speed", f"{found['tokens'] / found['seconds']:,.0f} tokens a second"],
        ["training loss at the end", f"{found['loss']:.2f} a token of the answers"],
        ["energy, estimated", energy(found)],
    ]
    several = (
        "\nSeveral runs: each began with the weights of the one before, as far as they fitted. What is shipped is a mean of "
        "late weights of the last ones (`tools/average.py`, `docs/lab.md`).\n"
    )
    return table(["", ""], rows) + (several if len(found["settings"]) > 1 else "")


WATTS = {"core": 12, "GPU": 700}
"""A server's core at full load (350 W for 60 of them, and as much again for memory, fans and the power supply), and the board
power of an H100 or H200, of which the small kernels of nano use less."""


def energy(found: dict[str, Any]) -> str:
    """What training took, from its time on two cores and on a GPU; nothing here measures power."""
    found_there = [read(name) or {"runs": []} for name in ("train_nano_gpu", "train_beside_gpu")]
    on_gpu = sum(run["seconds"] for there in found_there for run in there["runs"])
    hours = {"core": 2 * (found["seconds"] - on_gpu) / 3600, "GPU": on_gpu / 3600}
    used = sum(WATTS[name] * hours[name] for name in WATTS) / 1000
    shares = f"{hours['core']:.0f} core hours at {WATTS['core']} W, {60 * on_gpu / 3600:.0f} GPU minutes at {WATTS['GPU']} W"
    return f"{used:.1f} kWh: {shares} (rated, not measured)"


def command() -> str:
    """The command that spends as much time with the settings of the last run."""
    found = read("training")
    settings = {"minutes": 60} if not found else found["settings"][-1] | {"minutes": math.ceil(found["seconds"] / 60)}
    return f".venv/bin/omnie train --out runs/again{options(settings)}"


def options(settings: dict[str, Any]) -> str:
    """Settings of a run as options, without those that are as they always are or are no more."""
    from omnie.train.config import TrainConfig

    defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    told = {name: value for name, value in settings.items() if name in defaults and value != defaults[name]}
    words = {name.replace("_", "-"): value for name, value in told.items()}
    return "".join(f" --{name}" if value is True else f" --{name} {value}" for name, value in words.items())


def speed() -> str:
    """What `make bench` measured."""
    found = read("startup")
    if not found:
        return "No result is committed yet: `make bench` writes `benchmarks/results/startup.json`.\n"
    rows = [
        [case["what"], f"{case['first']:.1f} s", f"{case['exit']:.1f} s", f"{case['peak_mib']:.0f} MiB"]
        for case in found["cases"]
    ]
    head = ["question about", "first token", "whole answer", "memory, all processes"]
    return table(head, rows) + f"\nFrom process start; {found['hardware']}, {found['date']}; `make bench` measures again.\n"


def sizes() -> str:
    """Layers and parameters of the shipped model, counted on what its config makes."""
    import torch

    from omnie.model.config import of, parameter_counts
    from omnie.model.omni import Omni

    config = of(json.loads((ROOT / "src" / "omnie" / "nano" / "config.json").read_text()))
    with torch.device("meta"):
        counts = parameter_counts(Omni(config))
    total, active = f"{counts['total'] / 1e6:.1f} million", f"{counts['text'] / 1e6:.1f} million"
    groups = ", ".join(f"{g['experts']} {n} experts (top {g['top_k']})" for n, g in config.expert_groups.items())
    rows = [
        ["decoder", f"{config.num_hidden_layers} layers of {config.hidden_size}, the first {config.num_dense_layers} dense"],
        ["experts a layer", f"{groups}, one shared of {config.shared_expert_width}"],
        ["parameters", f"{total}, of which {active} work on a text token"],
        ["vocabulary", f"{config.vocab_size:,} tokens of German and English"],
        ["context", f"{config.max_position_embeddings:,} tokens"],
    ]
    return table(["", ""], rows)


def kinds() -> str:
    """The kinds of files that are read."""
    from omnie.media.kinds import READ

    return f"{READ}.\n"


def credits() -> str:
    """Whom the licences of the fonts and emoji want named, from `assets.toml`."""
    from omnie.data.assets import assets

    named = [asset for asset in assets("emoji") if asset.credit]
    return "".join(f"- {asset.family}: {asset.credit}, {asset.licence} (npm `{asset.package}`)\n" for asset in named)
