"""Run by `test_team.py` in a process of its own (forking needs one that has not run a backward pass): prints what it finds.

`python team_law.py equal FOLDER`: four steps of two processes, then the same batches in one process with two batches a step;
prints the distance of the weights as a share of the way that they went, and the tokens of both.
`python team_law.py death FOLDER`: the second process is killed; prints the error.
"""

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from omnie.errors import OmnieError
from omnie.train.config import TrainConfig
from omnie.train.objective.routers import RouterSettings
from omnie.train.optim.team import STEP, STOP, Team
from omnie.train.stream.feed import Step, to_device
from omnie.train.stream.loader import LoaderSettings, batches
from omnie.train.trainer import Trainer
from train import fake

STEPS = 4


def stream(shard: tuple[int, int]) -> Iterator[Step]:
    settings = LoaderSettings(rows=2, length=256, workers=1, pool=8, shard=shard)
    made = batches(fake.source(), settings, {"next": shard[0], "pending": [], "dropped": 0}, lambda: 0.0)
    return (to_device(batch, torch.device("cpu"), torch.float32) for batch in made)


def trainer(folder: Path, **changes) -> Trainer:
    result = Trainer(TrainConfig(out=folder, size="toy", steps=STEPS, dtype="float32", **changes))
    result.routers = RouterSettings(speed=0.0)  # the leader corrects the biases by its own batches alone
    return result


def follow(member: Trainer, team: Team, pipe: object) -> None:
    own = stream((team.rank, 2))
    while team.await_order()[0] != STOP:
        member.step(own)


def die(team: Team, pipe: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])


def equal(folder: Path) -> None:
    both = trainer(folder, processes=2)
    before = weights(both.model)
    both.optimizer.share(both.model.buffers())
    own = stream((0, 2))
    with both.team.forked(partial(follow, both)):
        for _ in range(STEPS):
            both.team.order(STEP)
            both.step(own)
    alone = trainer(folder, accumulate=2)
    alternating = itertools.chain.from_iterable(zip(stream((0, 2)), stream((1, 2)), strict=False))
    for _ in range(STEPS):
        alone.step(alternating)
    after = weights(alone.model)
    print(float((weights(both.model) - after).norm() / (before - after).norm()), both.team.tokens, alone.team.tokens)


def death(folder: Path) -> None:
    both = trainer(folder, processes=2)
    both.optimizer.share(both.model.buffers())
    try:
        with both.team.forked(die):
            both.team.order(STEP)
    except OmnieError as error:
        print(error)


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"equal": equal, "death": death}[sys.argv[1]](Path(sys.argv[2]))
