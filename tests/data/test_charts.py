"""Charts: equal seeds give equal examples, splits share nothing, answers follow from the numbers, pixels show the numbers."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from omnie.data import fonts, turns
from omnie.data.charts import GENERATORS, axes, draw, examples, questions, spec, styles, templates
from omnie.data.charts.content import RESERVED_TITLES
from omnie.data.charts.questions import Subject
from omnie.data.example import SPLITS, Example, generator_for
from omnie.data.scoring import score
from omnie.errors import InputError

PLAIN = fonts.Face("DejaVu Sans", "regular", "sans", Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


@pytest.fixture(autouse=True)
def drawable(monkeypatch):
    """Drawing works in a fresh clone too: without fetched fonts every face is Matplotlib's own. True if fonts were fetched."""
    try:
        fonts.faces("train", "sans")
    except InputError:
        monkeypatch.setattr(fonts, "pick", lambda *_, **__: PLAIN)
        return False
    return True


def example(skill: str, split: str, index: int = 0) -> Example:
    return GENERATORS[skill](generator_for(skill, split, index), split)


def pixels(example: Example) -> np.ndarray:
    return example.parts[0].value.pixels


@pytest.mark.parametrize("skill", GENERATORS)
@pytest.mark.parametrize("split", SPLITS)
def test_equal_seeds_give_equal_examples(skill, split):
    first, second, other = example(skill, split), example(skill, split), example(skill, split, 1)
    assert (pixels(first) == pixels(second)).all()
    assert (first.parts[1], first.answer, first.families) == (second.parts[1], second.answer, second.families)
    assert first.more == second.more and bool(first.more) == (split == "train")
    assert pixels(other).shape != pixels(first).shape or (pixels(other) != pixels(first)).any()


@pytest.mark.parametrize("skill", GENERATORS)
def test_pictures_are_of_a_usual_size_and_the_answer_scores_full(skill):
    for index in range(12):
        made = example(skill, "train", index)
        height, width, _ = pixels(made).shape
        assert pixels(made).dtype == np.uint8 and 150 <= height <= 520 and 200 <= width <= 780
        assert score(made, made.answer) == 1.0


@pytest.mark.slow
def test_splits_share_no_family(drawable):
    used: dict[str, dict[str, set[str]]] = {}
    for split, count in (("train", 40), ("validation", 40), ("heldout", 4)):
        for skill in GENERATORS:
            for index in range(count):
                for kind, name in example(skill, split, index).families.items():
                    used.setdefault(kind, {}).setdefault(split, set()).update(name.split("+") if kind == "template" else [name])
    kinds = {"template", "palette", "layout"} | ({"font", "title font"} if drawable else set())
    for kind in kinds:
        pools = [used[kind][split] for split in SPLITS]
        assert not (pools[0] & pools[1] or pools[0] & pools[2] or pools[1] & pools[2]), kind
        assert len(pools[0]) > 8, kind
    assert used["renderer"] == {"train": {"pillow"}, "validation": {"pillow"}, "heldout": {"matplotlib"}}


def test_no_wording_belongs_to_two_splits():
    for name in templates.names():
        pools = [set(templates.wordings(name, split)) for split in SPLITS]
        assert len(set.union(*pools)) == sum(map(len, pools)), name
        if "/" in name:
            assert len(pools[0]) >= 26 and [len(pool) for pool in pools[1:]] == [4, 4], name


def test_training_never_imports_the_heldout_renderer():
    """In a fresh interpreter, for this one has imported it already."""
    code = """
import sys, numpy as np
from omnie.data import fonts
from omnie.data.charts import GENERATORS
from omnie.errors import InputError
for skill, generator in GENERATORS.items():
    try:
        generator(np.random.default_rng(0), "train")
    except InputError:
        break
assert "matplotlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_titles_of_the_shipped_examples_are_never_drawn():
    rng = np.random.default_rng(0)
    drawn = {spec.make(rng, "bar", language).title for language in ("de", "en") for _ in range(3000)}
    assert not drawn & RESERVED_TITLES
    assert len(drawn) > 3500


# Facts


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ((1, 2, 3, 4), "rising"),
        ((9, 8, 8, 3), "falling"),
        ((5, 5, 5), "constant"),
        ((100, 101, 99, 100), "constant"),
        ((2, 9, 1, 8, 2), "fluctuating"),
        ((10, 30, 20, 40), None),
        ((100, 110, 112), None),
    ],
)
def test_trend(values, word):
    assert spec.trend(values) == word


@pytest.mark.parametrize(
    ("value", "text"), [(42.0, "42"), (3.50, "3.5"), (1200.0, "1200"), (-0.25, "-0.25"), (0.0025, "0.0025")]
)
def test_plain_numbers(value, text):
    assert spec.plain(value) == text


@pytest.mark.parametrize(
    ("convention", "text"),
    [("plain", "12345.5"), ("dot", "12.345,5"), ("comma", "12,345.5"), ("space", "12 345,5"), ("comma-decimal", "12345,5")],
)
def test_conventions_of_writing_numbers(convention, text):
    assert axes.number(12345.5, 1, convention) == text


def test_kilo():
    assert [axes.number(value, 0, "kilo") for value in (0, 500, 2500, 10000)] == ["0", "500", "2.5k", "10k"]


@pytest.mark.parametrize(("low", "high", "count"), [(0, 97, 5), (0, 0.04, 4), (-30, 80, 6), (1200, 1900, 5), (0, 1e5, 7)])
def test_an_axis_has_round_ticks_that_span_the_values(low, high, count):
    axis = axes.axis(low, high, count, tight=False)
    assert axis.low <= low and axis.high >= high and 3 <= len(axis.ticks) <= count + 2
    assert np.allclose(np.diff(axis.ticks), axis.step)
    assert f"{axis.step:e}".split("e")[0].rstrip("0").rstrip(".") in ("1", "2", "2.5", "5")


def answers(name: str, count: int = 30):
    """(chart, question, answer) of a maker, without drawing."""
    rng = np.random.default_rng(3)
    for _ in range(count):
        chart, subject = examples.MAKERS[name](rng, "en")
        turn = questions.ask(rng, "train", chart, subject, "en")
        if turn is not None:
            yield chart, turn.question, turn.answer


def test_value_answers_are_the_chart_s_number():
    for chart, question, answer in answers("value"):
        named = [series for series in chart.series if series.name and series.name in question] or [chart.series[0]]
        held = {spec.plain(v) for s in named for c, v in zip(chart.categories, s.values, strict=True) if c in question}
        assert answer in held


def test_values_are_quoted_as_marks_are_read():
    """A category's values up to the one that is asked for, which alone is judged."""
    chart = chart_of("bar", (1.0, 20.0, 3.0))
    turn = questions.ask(np.random.default_rng(0), "train", chart, Subject("value", 0, 1), "en")
    assert turn.quote == f"{chart.categories[1]}: 20" and turn.answer == "20"
    two = replace(chart, series=(spec.Series("A", (1.0, 2.0, 3.0)), spec.Series("B", (4.0, 5.0, 6.0))))
    turn = questions.ask(np.random.default_rng(0), "train", two, Subject("value", 1, 2), "en")
    assert turn.quote == f"{chart.categories[2]} | A: 3 | B = 6"
    made = Example("s", (), turn.answer, turn.scoring)
    assert score(made, turn.quote) == 1.0 and score(made, turn.quote.replace("6", "3")) == 0.0


def test_extreme_answers_are_the_largest_or_smallest():
    for chart, _, answer in answers("extreme"):
        place = chart.categories.index(answer)
        assert any(series.values[place] in (max(series.values), min(series.values)) for series in chart.series)


def test_title_trend_and_count_answers():
    assert all(chart.title == answer for chart, _, answer in answers("title"))
    assert all(spec.trend(chart.series[0].values) == answer for chart, _, answer in answers("trend"))
    assert all(len(chart.categories) == int(answer) for chart, _, answer in answers("count"))


def test_descriptions_name_kind_title_and_finding():
    for chart, _, answer in answers("describe"):
        finding = questions.MOVES["en"].get(spec.trend(chart.series[0].values) or "", "")
        assert questions.KIND_WORDS["en"][chart.kind] in answer and chart.title in answer
        assert finding and finding in answer or (spec.extreme(chart, True) or "?") in answer


def test_unknown_names_stand_nowhere_in_the_chart():
    for chart, question, answer in answers("unknown", 60):
        assert answer == questions.UNKNOWN["en"]
        if chart.title:
            assert not any(question.endswith(f" {name}?") for name in chart.categories)


def undrawn(skill: str, split: str, index: int) -> tuple[spec.Chart, Example]:
    """An example and its chart, with a blank picture."""
    charts = []

    def blank(rng, split, chart):
        charts.append(chart)
        return examples.Picture(np.zeros((1, 1, 3), np.uint8), {})

    made = examples.example(skill, blank, generator_for(skill, split, index), split)
    return charts[0], made


def truths(chart: spec.Chart, split: str) -> dict[str, set[tuple]]:
    """Question -> what it is about and its true answer, for every wording of a split; read off the chart here, not there."""
    found: dict[str, set[tuple]] = {}

    def add(name: str, about: tuple, answer: str | None, series: str = "", end: int = 1, **fields: str) -> None:
        for wording in templates.wordings(name, split) if answer is not None else ():
            question = templates.ALTERNATIVES.sub(lambda match: match[end], wording).format(**fields)
            frames = templates.wordings("within", split) if series else ("{q}",)
            for text in (frame.format(q=question, s=series) for frame in frames):
                found.setdefault(text, set()).add((*about, answer))

    for language in ("de", "en"):
        add(f"title/{language}", ("title",), chart.title or questions.UNKNOWN[language])
        add(f"kind/{language}", ("kind",), questions.KIND_WORDS[language][chart.kind])
        add(f"describe/{language}", ("describe",), questions.describe(chart, language))
        add(f"count/{language}", ("count",), str(len(chart.categories)))
        for series in chart.series:
            trend, values = spec.trend(series.values), sorted(series.values)
            add(f"trend/{language}", ("trend", series.name), trend and questions.TRENDS[language][trend], series.name)
            for end, value in ((1, values[-1]), (2, values[0])):
                answer = chart.categories[series.values.index(value)]
                add(f"extreme/{language}", ("extreme", series.name, end), answer, series.name, end)
            for category, value in zip(chart.categories, series.values, strict=True):
                places = templates.wordings("address", split) if series.name else ("{c}",)
                for place in (place.format(c=category, s=series.name) for place in places):
                    add(f"value/{language}", ("value", series.name, category), f"{value:g}", x=place)
    return found


@pytest.mark.parametrize("skill", GENERATORS)
def test_further_answers_are_true_and_nothing_is_asked_twice(skill):
    """Every question is a training wording on something else, and its answer is what the chart says."""
    asked = 0
    for index in range(30):
        chart, made = undrawn(skill, "train", index)
        known, seen = truths(chart, "train"), []
        for question, answer in ((made.parts[1].value, made.answer), *made.more):
            if question in known:
                bare = re.split(": | = ", answer)[-1]  # a value stands in its row, the highest behind "max"
                said = {"value": bare, "extreme": bare, "count": bare}
                matching = [about for *about, truth in known[question] if truth == said.get(about[0], answer)]
                assert matching, (question, answer, known[question])
                seen.append(min(matching))
            else:
                assert answer in questions.UNKNOWN.values(), (question, answer)
                assert not any(f" {name}?" in question for name in chart.categories)
                seen.append("unknown")
        assert len({str(about) for about in seen}) == len(seen), seen
        assert ["title"] not in seen or ["describe"] not in seen, "a description tells the title"
        asked += len(made.more)
    assert 1.5 * 30 <= asked <= 5 * 30


def test_further_questions_keep_within_their_room():
    sizes = []
    for skill in GENERATORS:
        for index in range(40):
            _, made = undrawn(skill, "train", index)
            sizes.append(sum(len(question) + len(answer) for question, answer in made.more))
            assert all(score(replace(made, answer=answer, scoring="contains"), answer) == 1 for _, answer in made.more)
    assert np.mean(sizes) > 60 and max(sizes) <= turns.ROOM


@pytest.mark.parametrize("split", ["validation", "heldout"])
def test_only_training_asks_on(split):
    assert not any(undrawn(skill, split, index)[1].more for skill in GENERATORS for index in range(5))


def test_no_question_is_asked_of_a_chart_that_does_not_answer_it():
    rng = np.random.default_rng(0)
    unordered = spec.make(rng, "bar", "en", ordered=False)
    bare = spec.make(rng, "pie", "en", labelled=False, titled=False)
    points = spec.make(rng, "scatter", "en")
    for chart, kinds in ((unordered, {"trend"}), (bare, {"value", "trend", "unknown", "describe"}),
                         (points, {"value", "extreme", "count", "unknown"})):  # fmt: skip
        for subject in questions.subjects(chart):
            if subject.kind in kinds:
                assert questions.ask(rng, "train", chart, subject, "en") is None, (chart.kind, subject)


def test_wedges_sum_to_a_hundred():
    rng = np.random.default_rng(1)
    for _ in range(200):
        values = spec.make(rng, "pie", "de").values
        assert sum(values) == 100 and min(values) >= 5


# Geometry


def plain_style(chart: spec.Chart, **changes) -> styles.Style:
    """A style without anything that hides marks."""
    style = styles.draw_style(np.random.default_rng(5), "train", chart)
    white, black = (255, 255, 255), (0, 0, 0)
    plain = {
        "size": (448, 320), "background": white, "panel": white, "ink": black, "axis": black, "grid": "none", "frame": "box",
        "colours": ((200, 0, 0), (0, 0, 200), (0, 150, 0)) * 3, "ticks": "out", "title": "centre", "legend": "right", "pad": 6,
        "hatched": False, "bar_edge": False, "by_category": False, "scale": 2, "tight": False, "border": False, "markers": (),
        "line_px": 2, "dashed": False, "edge_to_edge": False, "text_scaled": False, "face": PLAIN, "title_face": PLAIN,
        "legend_box": False,
    }  # fmt: skip
    return replace(style, **(plain | changes))


def chart_of(kind: str, *rows: tuple[float, ...], **changes) -> spec.Chart:
    series = tuple(spec.Series(f"s{i}" if len(rows) > 1 else "", row) for i, row in enumerate(rows))
    names = tuple("ABCDEFG"[: len(rows[0])])
    chart = spec.Chart(kind, "en", "A title", names, series, True, False, "", "", 0, 10)
    return replace(chart, **changes)


def is_colour(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(pixels.astype(int) - colour).sum(-1) < 60


def test_bars_end_at_their_value():
    """Heights of bars in pixels are proportional to the values, within a pixel and a half."""
    values = (10.0, 35.0, 80.0, 55.0)
    chart = chart_of("bar", values)
    drawn = draw.render(chart, plain_style(chart))
    red = is_colour(drawn.pixels, (200, 0, 0))
    heights = [red[:, round(drawn.anchors[0, i][0])].sum() for i in range(4)]
    per_unit = heights[2] / 80
    assert np.abs(np.array(heights) - np.array(values) * per_unit).max() <= 1.5
    for i, height in enumerate(heights):
        top = np.flatnonzero(red[:, round(drawn.anchors[0, i][0])])[0]
        assert abs(top - drawn.anchors[0, i][1]) <= 1.5 and height > 0


def test_horizontal_bars_end_at_their_value():
    values = (20.0, 50.0, 100.0)
    chart = chart_of("barh", values)
    drawn = draw.render(chart, plain_style(chart))
    lengths = [is_colour(drawn.pixels[round(drawn.anchors[0, i][1])], (200, 0, 0)).sum() for i in range(3)]
    assert np.abs(np.array(lengths) / lengths[2] * 100 - values).max() < 1.5


def test_grouped_bars_use_one_colour_a_series():
    chart = chart_of("bar", (10.0, 30.0), (25.0, 15.0))
    drawn = draw.render(chart, plain_style(chart))
    for (series, category), (x, y) in drawn.anchors.items():
        colour = ((200, 0, 0), (0, 0, 200))[series]
        assert is_colour(drawn.pixels[round(y) + 4, round(x)], colour), (series, category)


@pytest.mark.parametrize(
    "values", [(10.0, 30.0, 20.0), (-20.0, 40.0, 10.0), (980.0, 1040.0, 1020.0)], ids=["zero", "negative", "far"]
)
def test_lines_pass_through_their_values(values):
    chart = chart_of("line", values)
    drawn = draw.render(chart, plain_style(chart))
    for i in range(3):
        x, y = drawn.anchors[0, i]
        assert is_colour(drawn.pixels[round(y) - 2 : round(y) + 3, round(x) - 1 : round(x) + 2], (200, 0, 0)).any()
    ys = np.array([drawn.anchors[0, i][1] for i in range(3)])
    assert np.allclose((ys - ys[0]) / (ys[1] - ys[0]), (np.array(values) - values[0]) / (values[1] - values[0]))


def test_wedges_cover_their_share():
    chart = chart_of("pie", (20.0, 30.0, 50.0))
    drawn = draw.render(chart, plain_style(chart, frame="box", pie_labels="outside"))
    left, top, right, bottom = (round(v) for v in drawn.plot)
    disc = drawn.pixels[top:bottom, left:right]
    areas = np.array([is_colour(disc, colour).sum() for colour in ((200, 0, 0), (0, 0, 200), (0, 150, 0))])
    assert np.abs(areas / areas.sum() * 100 - (20, 30, 50)).max() < 2


def test_value_labels_and_ticks_do_not_leave_the_picture():
    """The outermost pixels stay background whatever is drawn."""
    rng = np.random.default_rng(11)
    for kind in ("bar", "barh", "line", "pie", "donut", "scatter") * 4:
        chart = spec.make(rng, kind, "de")
        style = replace(
            styles.draw_style(rng, "train", chart), border=False, face=PLAIN, title_face=PLAIN, label_px=11, title_px=13
        )
        drawn = draw.render(chart, replace(style, size=(448, 320))).pixels
        rim = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
        assert (rim == style.background).all(), chart


def test_a_long_title_widens_the_picture():
    chart = chart_of("bar", (1.0, 2.0), title="An unusually long title that has no place in so narrow a picture")
    assert draw.render(chart, plain_style(chart, size=(224, 192))).pixels.shape[1] > 300


def test_styles_of_a_split_keep_to_their_palettes_and_layouts():
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for _ in range(60):
            style = styles.draw_style(rng, split, chart_of("bar", (1.0, 2.0)))
            assert (style.names["palette"] in styles.VALIDATION_PALETTES) == (split == "validation")
            assert styles.owner(style.names["layout"].removeprefix("pillow ")) == split
