"""The stream: the same on every machine, the same after a resume, and an error when a worker fails or dies."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from omnie.data.example import Example
from omnie.errors import OptionError
from omnie.messages import text
from omnie.train.stream import loader as loader_module
from omnie.train.stream.feed import KEPT, Feed
from omnie.train.stream.loader import Loader, LoaderError, LoaderSettings, batches
from omnie.train.stream.source import STRIDE, Encoding, Stream, factor, read_mix

from . import fake
from .test_run import Made

SETTINGS = LoaderSettings(rows=2, length=256, workers=1, pool=8)
START = {"next": 0, "pending": [], "dropped": 0}


def fresh(state: dict = START, settings: LoaderSettings = SETTINGS):
    return batches(fake.source(), settings, state, lambda: 0.0)


def same(first, second) -> bool:
    names = first.inputs.keys()
    return names == second.inputs.keys() and all(np.array_equal(first.inputs[n], second.inputs[n]) for n in names)


def test_equal_arguments_give_equal_batches() -> None:
    assert all(same(a, b) for a, b in itertools.islice(zip(fresh(), fresh(), strict=False), 2))


def test_an_example_longer_than_the_context_is_left_out_like_any_that_fits_no_row() -> None:
    def example(skill: str, index: int) -> Example:
        words = "one two three " * (3000 if index % 2 else 1)
        return Example(skill, (text(words), text("how many?")), "three")

    source = Stream({"words": 1.0}, example, Encoding(None), {}, 0)
    batch = next(batches(source, SETTINGS, START, lambda: 0.0))
    assert batch.state["dropped"] > 0 and batch.examples > 0


def test_a_resumed_stream_goes_on_with_the_same_batches() -> None:
    stream = fresh()
    second = [next(stream), next(stream)][1]
    third = next(stream)
    assert same(next(fresh(second.state)), third)
    assert not same(second, third)


def test_workers_share_the_stream_without_overlap() -> None:
    settings = LoaderSettings(rows=2, length=256, workers=2, pool=8)
    seen = []
    for worker in range(2):
        state = next(fresh(START | {"next": worker}, settings)).state
        seen.append({key[1] for key in state["pending"]})
    assert all(index % 2 == 0 for index in seen[0])
    assert all(index % 2 == 1 for index in seen[1])


def test_processes_deliver_what_the_stream_makes_and_resume() -> None:
    expected = list(itertools.islice(fresh(), 2))
    with Loader(fake.source, SETTINGS) as loader:
        assert same(next(loader), expected[0])
        state = loader.state
    with Loader(fake.source, SETTINGS, state) as loader:
        assert same(next(loader), expected[1])


def test_a_failing_worker_is_an_error_with_its_cause() -> None:
    with Loader(fake.broken, SETTINGS) as loader, pytest.raises(LoaderError, match="cannot make words"):
        next(loader)


def test_a_killed_worker_is_an_error_and_no_hang() -> None:
    with Loader(fake.dying, SETTINGS) as loader, pytest.raises(LoaderError, match="exit code -9"):
        next(loader)


def test_a_mix_may_change_with_progress() -> None:
    mix = {"text_qa": ((0.0, 0.0), (1.0, 2.0)), "text.unknown": 5.0}
    assert factor(mix, "text.qa", 0.25) == pytest.approx(0.5)
    assert factor(mix, "text.unknown", 0.25) == 5.0
    assert factor(mix, "charts.value", 0.25) == 1.0


def test_an_unknown_skill_in_the_mix_is_an_error(tmp_path) -> None:
    (tmp_path / "mix.toml").write_text("chrats = 2.0\n")
    with pytest.raises(OptionError, match="chrats"):
        read_mix(tmp_path / "mix.toml", {"charts.value": 1.0})


def test_a_batch_larger_than_its_slot_takes_the_pipe(monkeypatch) -> None:
    monkeypatch.setattr(loader_module, "BYTES", 8)
    with Loader(fake.source, SETTINGS) as loader:
        assert same(next(loader), next(fresh()))


def test_what_is_spelled_comes_again_to_the_worker_that_remembers_it() -> None:
    stream = replace(fake.source(), weights={"lines.read": 1.0, "speech.transcribe": 1.0}, encoders=1.0)
    keys = [stream.pick(index, 0.0) for index in range(60_000)]
    assert 2.5 < len(keys) / len(set(keys)) <= 4
    assert all((index - number) % STRIDE == 0 for index, (_, number) in enumerate(keys))
    assert len({name for name, _ in keys}) == 2


def test_what_is_spelled_once_never_comes_again() -> None:
    stream = replace(fake.source(), weights={"lines.read": 1.0, "speech.transcribe": 1.0}, encoders=1.0, repeats=1)
    keys = [stream.pick(index, 0.0) for index in range(2000)]
    assert [number for _, number in keys] == list(range(2000)) and len({name for name, _ in keys}) == 2
    stream.make(keys[0])
    assert not stream.made


def test_batches_come_again_only_when_none_is_ready() -> None:
    made = Made()
    feed = Feed(made, torch.device("cpu"), torch.float32, reuse=3)
    steps = [next(feed) for _ in range(3 * KEPT[0])]
    assert feed.fresh == KEPT[0]
    assert all(torch.equal(steps[n].inputs["input_ids"], steps[n % KEPT[0]].inputs["input_ids"]) for n in range(len(steps)))
    made.waiting = 1
    next(feed)
    assert feed.fresh == KEPT[0] + 1


def test_batches_whose_return_spares_work_come_again_whether_others_are_ready_or_not() -> None:
    made = Made()
    made.waiting = 1
    feed = Feed(made, torch.device("cpu"), torch.float32, reuse=3)
    feed.spares = True
    seen = [next(feed).known for _ in range(40 * KEPT[0])]
    places = {}
    for place, known in enumerate(seen):
        places.setdefault(id(known), []).append(place)
    assert feed.fresh == len(places) and 2.7 < len(seen) / len(places) <= 3
    assert max(map(len, places.values())) == 3
    assert min(b - a for own in places.values() for a, b in zip(own, own[1:])) > KEPT[0]
