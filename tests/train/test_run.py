"""A toy run from start to finish: it learns, stops, resumes where it was, and survives a kill while it saves."""

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from omnie.errors import CheckpointError
from omnie.model.reading.things import Things
from omnie.train.config import TrainConfig
from omnie.train.model import seed_of
from omnie.train.objective.losses import AlignmentTensors, NamedTensors, reading_loss, things_loss
from omnie.train.record import state
from omnie.train.record.log import RunLog
from omnie.train.stream.feed import Feed
from omnie.train.stream.loader import LoaderSettings, batches
from omnie.train.trainer import PATIENCE, Trainer, TrainingError

from . import fake


class Made:
    """The loader's face on a stream in this process."""

    def __init__(self, place: dict | None = None):
        self.settings = LoaderSettings(rows=2, length=256, workers=1, pool=8)
        self.state = place or {"next": 0, "pending": [], "dropped": 0}
        self.batches = batches(fake.source(), self.settings, self.state, lambda: 0.0)
        self.waiting = self.dropped = 0

    def __next__(self):
        batch = next(self.batches)
        self.state = batch.state
        return batch

    def progress(self, value: float) -> None:
        self.seen = value


def feed(place: dict | None = None, reuse: int = 1) -> Feed:
    """The stream as steps on the CPU."""
    return Feed(Made(place), torch.device("cpu"), torch.float32, reuse)


def config(out: Path, **changes) -> TrainConfig:
    settings = {"size": "toy", "steps": 6, "eval_minutes": 0.0, "warmup": 2, "lr": 0.01, "dtype": "float32"} | changes
    return TrainConfig(out=out, **settings)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)  # barriers between threads on shared cores take longer than a toy's work


def run(trainer: Trainer, stream: Feed) -> float:
    with RunLog(trainer.config.out) as log:
        trainer.run(stream, log)
    return float(sum(p.detach().double().abs().sum() for p in trainer.model.parameters()))


def test_a_run_learns(tmp_path) -> None:
    trainer = Trainer(config(tmp_path, steps=25))
    stream, losses = feed(), []
    for _ in range(25):
        trainer.step(stream)
        losses.append(trainer.meter.flush()["loss"])
    assert losses[-1] < 0.6 * losses[0]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path) -> None:
    whole = run(Trainer(config(tmp_path / "whole")), feed())
    first = Trainer(config(tmp_path / "split"))
    stream = feed()
    for _ in range(3):
        first.step(stream, first.schedule.rate(first.steps, 0.0))
    first.save(stream)
    second = Trainer(config(tmp_path / "split"))
    (place,) = second.restore(state.checkpoints(tmp_path / "split")[-1])
    assert second.steps == 3
    assert run(second, feed(place)) == pytest.approx(whole, rel=1e-6)


def test_a_stopped_run_saves_and_says_so(tmp_path) -> None:
    trainer = Trainer(config(tmp_path, steps=1000))
    trainer.stopping = True
    with RunLog(tmp_path) as log:
        result = trainer.run(feed(), log)
    assert not result.finished
    assert len(state.checkpoints(tmp_path)) == 1


def test_exported_weights_start_another_run(tmp_path) -> None:
    trainer = Trainer(config(tmp_path, steps=1))
    run(trainer, feed())
    again = Trainer(config(tmp_path / "next", init=tmp_path / "model"))
    expected = dict(trainer.model.named_parameters())
    assert all(torch.equal(p, expected[name]) for name, p in again.model.named_parameters())


def test_a_run_that_goes_on_sees_what_is_new(tmp_path) -> None:
    first = config(tmp_path / "first", steps=1, seed=None)
    run(Trainer(first), feed())
    onwards = dataclasses.replace(first, out=tmp_path / "next", init=tmp_path / "first" / "model")
    assert seed_of(first) == 0 != seed_of(onwards) == seed_of(dataclasses.replace(onwards, out=tmp_path / "other"))
    assert seed_of(dataclasses.replace(onwards, seed=5)) == 5


def test_infinite_gradients_are_skipped_and_then_end_the_run(tmp_path) -> None:
    trainer, stream = Trainer(config(tmp_path)), feed()
    with torch.no_grad():
        trainer.model.lm_head.weight[5, 0] = float("nan")
    with RunLog(tmp_path) as log:
        for _ in range(PATIENCE - 1):
            trainer.step(stream, log=log)
        with pytest.raises(TrainingError):
            trainer.step(stream, log=log)


def test_every_parameter_of_the_used_modalities_gets_a_gradient(tmp_path) -> None:
    trainer = Trainer(config(tmp_path, alignment=0.2))
    seen: set[str] = set()
    trainer.optimizer.zero_grad = lambda: None  # type: ignore[method-assign]
    trainer.step(feed())
    seen = {name for name, p in trainer.model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    silent = {name for name, _ in trainer.model.named_parameters()} - seen
    # A fresh encoder reads nothing that could be recalled, and a fresh model lets nothing through of what it sees ahead.
    used = re.compile(r"experts|reading\.\w+\.(recall|before|source|things|marks)|lookahead\.convolution")
    assert all("temporal" not in name and used.search(name) for name in silent), silent


def test_a_killed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch) -> None:
    state.save(tmp_path, 1, {"x": torch.ones(2)}, {"step": 1})

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(state, "_sync", killed)
    with pytest.raises(KeyboardInterrupt):
        state.save(tmp_path, 2, {"x": torch.zeros(2)}, {"step": 2})
    monkeypatch.undo()
    assert [folder.name for folder in state.checkpoints(tmp_path)] == ["step-00000001"]
    assert state.load(state.checkpoints(tmp_path)[-1])[1] == {"step": 1}


def test_only_the_newest_checkpoints_stay(tmp_path) -> None:
    for step in (1, 2, 3, 10):
        state.save(tmp_path, step, {"x": torch.ones(1)}, {"step": step})
    assert [folder.name for folder in state.checkpoints(tmp_path)] == ["step-00000003", "step-00000010"]


def test_a_damaged_checkpoint_is_named(tmp_path) -> None:
    folder = state.save(tmp_path, 1, {"x": torch.ones(64)}, {"step": 1})
    (folder / state.TENSORS).write_bytes(b"short")
    with pytest.raises(CheckpointError, match="step-00000001"):
        state.load(folder)


def where(cells_of: list[int], silent: list[int] = ()) -> AlignmentTensors:
    """Texts whose tokens stand one after the other; only the places are filled in."""
    width = max(cells_of, default=0)
    cells = [line * width + n for line, count in enumerate(cells_of) for n in range(count)]
    none = torch.empty(0, dtype=torch.long)
    places = (torch.arange(sum(cells_of)), torch.tensor(cells, dtype=torch.long), torch.tensor(cells_of, dtype=torch.long))
    return AlignmentTensors(*places, none, none, none, none, silent=torch.tensor(silent, dtype=torch.long), width=width)


class Head(torch.nn.Module):
    """Six letters and the blank at each of a token's steps."""

    def __init__(self, steps: int):
        super().__init__()
        self.steps, self.linear = steps, torch.nn.Linear(8, steps * 7)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.linear(tokens).unflatten(-1, (self.steps, 7))


def test_things_are_found_and_told_apart_by_the_tokens_that_show_them() -> None:
    torch.manual_seed(0)
    known, tokens = Things(8, 5), torch.randn(6, 8)
    rows, boxes = torch.tensor([0, 1, 4, 5, 3]), torch.randn(5, 3)
    shown = NamedTensors(rows, torch.tensor([0, 0, 1, 1, 2]), torch.tensor([2, 0, 4]), boxes)
    optimizer = torch.optim.Adam(known.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        sum(things_loss(known, tokens, shown)).backward()
        optimizer.step()
    names, found, placed = things_loss(known, tokens, shown)
    assert names < 0.05 and found < 0.1 and placed < 0.3
    one = NamedTensors(torch.tensor([3]), torch.tensor([0]), torch.tensor([4]), boxes[4:])
    wrong = NamedTensors(one.rows, one.of, torch.tensor([0]), boxes[4:] + 1)
    assert things_loss(known, tokens, one)[0] < 0.1 < 1.0 < things_loss(known, tokens, wrong)[0]
    assert things_loss(known, tokens, one)[2] < 0.3 < 1.0 < things_loss(known, tokens, wrong)[2]


def test_reading_loss_learns_a_transcript_and_where_nothing_is_written() -> None:
    torch.manual_seed(0)
    head = Head(2)
    places, targets, targets_of = where([3, 2], silent=[5]), torch.tensor([3, 3, 1, 4]), torch.tensor([3, 1])
    tokens = torch.randn(6, 8)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        loss = reading_loss(head, tokens, places, targets, targets_of)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    best = head(tokens).argmax(-1)
    merged = lambda steps: [c for n, c in enumerate(steps) if (n == 0 or steps[n - 1] != c) and c != 6]  # noqa: E731
    assert [merged(best[a:b].flatten().tolist()) for a, b in ((0, 3), (3, 5), (5, 6))] == [[3, 3, 1], [4], []]


def test_a_transcript_that_does_not_fit_counts_nothing() -> None:
    head = Head(2)
    tensor = torch.tensor
    loss = reading_loss(head, torch.randn(1, 8), where([1]), tensor([1, 2, 3]), tensor([3]))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(head.linear.weight.grad).all()
