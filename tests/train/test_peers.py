"""Runs side by side: they meet at the clock's times, go on from their mean, and wait for nobody twice."""

import threading
from pathlib import Path

import pytest
import torch

from omnie.errors import OptionError
from omnie.train.config import TrainConfig
from omnie.train.optim import peers
from omnie.train.optim.peers import Peers
from omnie.train.record.log import RunLog
from omnie.train.trainer import Trainer

from .test_run import config, feed


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_runs_go_on_from_their_mean(tmp_path: Path) -> None:
    clock, weights = Clock(), [[torch.tensor([1.0, 2.0]), torch.zeros(2, 2)], [torch.tensor([3.0, 6.0]), torch.ones(2, 2)]]
    with Peers(tmp_path, 0, 10.0, clock) as one, Peers(tmp_path, 1, 10.0, clock) as other:
        assert not one.meet(weights[0])  # not yet
        clock.now = 12.0
        threads = [threading.Thread(target=run.meet, args=(own,)) for run, own in zip((one, other), weights, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not one.meet(weights[0])  # once a meeting
    for own in weights:
        assert torch.equal(own[0], torch.tensor([2.0, 4.0]))
        assert torch.equal(own[1], torch.full((2, 2), 0.5))
    assert not list(tmp_path.iterdir())


def test_who_does_not_come_is_waited_for_once(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(peers, "PATIENCE", 0.0)
    clock, weights = Clock(), [torch.tensor([5.0])]
    with Peers(tmp_path, 0, 10.0, clock) as one, Peers(tmp_path, 1, 10.0, clock) as other:
        clock.now = 10.0
        assert one.meet(weights)
        assert weights[0].item() == 5.0
        monkeypatch.setattr(peers, "PATIENCE", 1e9)
        clock.now = 20.0
        assert one.meet(weights)  # would wait for ever
        clock.now = 30.0
        thread = threading.Thread(target=other.meet, args=([torch.tensor([7.0])],), daemon=True)
        thread.start()
        while not list(tmp_path.glob("weights-3-1")):
            pass
        assert one.meet(weights)
        assert weights[0].item() == 6.0  # it has come again
        thread.join()


def test_who_trains_something_else_does_not_count(tmp_path: Path) -> None:
    clock, weights = Clock(), [torch.tensor([5.0])]
    with Peers(tmp_path, 0, 10.0, clock) as one:
        (tmp_path / "weights-1-7").write_bytes(b"\0" * 40)
        clock.now = 10.0
        assert one.meet(weights)
    assert weights[0].item() == 5.0


def test_a_run_meets_its_peers(tmp_path: Path) -> None:
    trainer = Trainer(config(tmp_path / "run", peers=tmp_path / "meeting", meet_seconds=1e-3, dtype="bfloat16"))
    assert trainer.peers is not None
    with trainer.peers, RunLog(trainer.config.out) as log:
        trainer.run(feed(), log)
    assert trainer.peers.meetings == trainer.steps == 6
    master, weight = trainer.optimizer.master(0), trainer.optimizer.parameters[0]
    assert torch.equal(master.to(weight.dtype), weight)


@pytest.mark.parametrize("given", [{"processes": 2}, {"meet_seconds": 0.0}])
def test_settings_that_do_not_go_together_are_named(tmp_path: Path, given: dict) -> None:
    with pytest.raises(OptionError):
        TrainConfig(out=tmp_path, steps=1, peers=tmp_path, **given)
