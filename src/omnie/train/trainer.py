"""The training loop, whole before part: `train` sets a run up, `Trainer.run` loops, `Trainer.step` is one optimiser step."""

import dataclasses
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from omnie.errors import OmnieError
from omnie.inputs import audio_tokens, image_tokens, video_tokens
from omnie.model.experts import Router, RouterTrace
from omnie.model.int4 import targets
from omnie.model.reading import Told, Words
from omnie.ops.precision import fast_dtype
from omnie.processor import Encoder
from omnie.train.config import TrainConfig, TrainResult
from omnie.train.model import build, export, seed_of, shorten
from omnie.train.objective.losses import cross_entropy, marks_loss, plain, reading_loss, things_loss
from omnie.train.objective.pointing import Pointers, breaks, told_heads, told_places
from omnie.train.objective.routers import RouterSettings, correct_biases, router_loss
from omnie.train.objective.telling import told, told_marks
from omnie.train.optim.optimizer import Optimizer, OptimizerSettings
from omnie.train.optim.peers import Peers
from omnie.train.optim.process import prepare
from omnie.train.optim.schedule import Schedule
from omnie.train.optim.team import STATE, STEP, STOP, Team
from omnie.train.record import state
from omnie.train.record.log import RunLog
from omnie.train.record.meter import Meter
from omnie.train.revival import revive
from omnie.train.stream.feed import Batches, Feed, Known, Step
from omnie.train.stream.loader import Loader, LoaderSettings, Source, resume
from omnie.train.stream.source import BUILT_IN, default_source
from omnie.train.validate import validate

PARTS = ("things", "found", "placed")
"""What is told of a thing: its name, where it is shown, and its box."""
NAMES = 0.5
"""Factor on the losses of things, beside that of what is read."""
SPOTS = 2.0
"""Factor on how far off charts' marks are said to lie, beside that of whether they are found."""
PATIENCE = 5
"""Steps in a row without a finite gradient after which the run gives up."""


class TrainingError(OmnieError):
    """The run cannot go on; its checkpoints are whole."""


def train(config: TrainConfig, source: Callable[[], Source] | None = None) -> TrainResult:
    """Trains until the schedule ends or SIGTERM or SIGINT asks to stop; goes on from `config.out` when that holds a run.

    Args:
        config: The run.
        source: Builds the stream in each data worker (a picklable function); None for the stream of `omnie.data`.

    Returns:
        What was done. The weights are in `config.out / "model"`, the training state in `config.out / "step-*"`.

    Raises:
        TrainingError: gradients stay infinite. LoaderError: a data worker failed. OmnieError: see the message.
    """
    began = time.monotonic()
    prepare()
    if config.threads:
        torch.set_num_threads(config.threads)
    trainer = Trainer(config, began)
    found = state.checkpoints(config.out)
    places = trainer.restore(found[-1]) if found else []
    spelled = (config.encoders, config.spelling, config.repeats)
    source = source or partial(default_source, config.processor, config.mix, seed_of(config), *spelled)
    make = partial(_loader, config, source, places)
    trainer.optimizer.share(trainer.model.buffers())
    team, follow = trainer.team, partial(_follow, trainer, make)
    peers = trainer.peers or nullcontext()
    with _stop_on_signal(trainer), team.forked(follow), RunLog(config.out) as log, make(team) as loader, peers:
        return trainer.run(trainer.feed(loader), log)


def _loader(config: TrainConfig, source: Callable[[], Source], places: list[dict], team: Team) -> Loader:
    settings = LoaderSettings(config.rows, config.row, config.workers, nice=config.nice, shard=(team.rank, team.size))
    return Loader(source, *resume(settings, places))


def _follow(trainer: "Trainer", make: Callable[[Team], Loader], team: Team, pipe: Any) -> None:
    """What a process does that does not lead: steps as ordered."""
    with make(team) as loader:
        feed = trainer.feed(loader)
        while (order := team.await_order())[0] != STOP:
            if order[0] == STATE:
                pipe.send(feed.state)
            else:
                feed.progress(trainer.progress)
                feed.spares = trainer.reads_once
                trainer.step(feed, order[1])


class Trainer:
    """A run's model, optimiser and clock.

    Args:
        config: The run.
        began: `time.monotonic()` at which the budget's clock started.
    """

    def __init__(self, config: TrainConfig, began: float | None = None):
        self.config = config
        self.device = torch.device(config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = fast_dtype(self.device.type) if config.dtype == "auto" else getattr(torch, config.dtype)
        if self.device.type == "cuda":
            torch.backends.cuda.enable_cudnn_sdp(False)  # it plans anew for every shape: 6 ms a call where 50 us are computed
        self.model = build(config, self.device, self.dtype)
        self.revived = revive(self.model, config.processor) if config.revive else {}
        self.forward_model = torch.compile(self.model, dynamic=True) if config.compile else self.model
        rates = OptimizerSettings(
            muon=config.lr,
            adamw=config.lr * config.lr_other,
            embedding=config.lr * config.lr_embedding,
            encoders=config.lr_encoders,
            convolutions=config.lr_convolutions,
            circuits=config.lr_circuits,
            decay=config.weight_decay,
            clip=config.clip,
        )
        self.breaks = breaks(Encoder.load(config.processor or BUILT_IN).tokenizer)
        self.team = Team(config.processes)
        self.peers = Peers(config.peers, config.peer, config.meet_seconds) if config.peers else None
        coarse = targets(self.model) if config.coarse else ()
        self.optimizer = Optimizer(self.model.named_parameters(), rates, self.team, coarse)
        self.schedule = Schedule(config.steps, config.minutes, config.warmup, config.decay)
        self.routers = RouterSettings()
        self.steps, self.before, self.failures = 0, 0.0, 0
        self.began = began or time.monotonic()
        self.stopping = False
        self.answering = config.encoders == 0.0
        self.meter = Meter()

    @property
    def seconds(self) -> float:
        """Wall-clock time of the run, over all resumes."""
        return self.before + time.monotonic() - self.began

    @property
    def progress(self) -> float:
        return self.schedule.progress(self.steps, self.seconds)

    def feed(self, batches: Batches) -> Feed:
        """What the steps come from."""
        return Feed(batches, self.device, self.dtype, self.config.reuse, self.looks_ahead)

    def run(self, feed: Feed, log: RunLog) -> TrainResult:
        """Steps until the end; saves, validates and logs on the way."""
        config, saved, validated, scores = self.config, time.monotonic(), time.monotonic(), {}
        if self.revived and not self.steps:
            log.say("experts that start anew: " + ", ".join(f"{count} of {name}" for name, count in self.revived.items()))
        while not self.schedule.done(self.steps, self.seconds) and not self.stopping:
            self._begin_answers()
            rate = self.schedule.rate(self.steps, self.seconds)
            self.team.order(STEP, rate)
            feed.spares = self.reads_once
            self.step(feed, rate, log)
            self._meet()
            feed.progress(self.progress)
            self._report(feed, log)
            if time.monotonic() - saved >= 60 * config.save_minutes:
                self.save(feed)
                saved = time.monotonic()
            if config.eval_minutes and time.monotonic() - validated >= 60 * config.eval_minutes:
                scores = self._validate(log)
                validated = time.monotonic()
        self.save(feed)
        finished = not self.stopping
        if finished and config.eval_minutes:
            scores = self._validate(log)
        return TrainResult(self.steps, self.team.tokens, self.seconds, finished, self.meter.skill_losses(), scores)

    def _begin_answers(self) -> None:
        """Once, when the encoders' own time is over: the decoder, fresh until then, gets tokens of a length that it can use."""
        if self.answering or self.progress < self.config.encoders:
            return
        self.answering = True
        if not self.config.init:
            for weight in shorten(self.model):
                self.optimizer.adopt(weight)

    def _begin_rounding(self) -> None:
        """Once, when the last share of the run begins: matrices become what 4 bits leave of them."""
        optimizer = self.optimizer
        if optimizer.rounds or not self.config.coarse or self.progress < 1 - self.config.coarse:
            return
        optimizer.rounds = True
        optimizer.show(n for n in optimizer.coarse if self.team.mine(n))

    def step(self, feed: Iterator[Step], rate: float = 1.0, log: RunLog | None = None) -> None:
        """One optimiser step over `accumulate` batches of every process, at the schedule's `rate`."""
        self._begin_rounding()
        traces = []
        for _ in range(self.config.accumulate):
            with self.meter.time("wait"):
                step = next(feed)
            with self.meter.time("forward"):
                loss, trace = self.loss(step, rate)
            with self.meter.time("backward"):
                (loss / self.config.accumulate).backward()
            self.meter.batch(step)
            self.team.count(step.tokens)
            traces.append(trace)
        with self.meter.time("optimizer"):
            norm = self.optimizer.step(rate)
            self.optimizer.zero_grad()
            for trace in (trace for trace in traces if trace.load) if self.team.rank == 0 else ():
                correct_biases(self.model, trace, self.routers)
        self.steps += 1
        self.meter.note(norm=norm, rate=rate)
        self._guard(norm, log)

    @property
    def _resting(self) -> bool:
        return self.progress < self.config.encoders + self.config.rest

    @property
    def looks_ahead(self) -> bool:
        """Whether tokens of a prompt see what stands behind them."""
        return self.model.config.lookahead is not None

    @property
    def reads_once(self) -> bool:
        """Whether a batch that comes again is shown as it was read the first time, by encoders that do not change."""
        settled = self.progress >= self.config.encoders and not self.optimizer.rounds
        return self._resting and settled and self.config.reuse > 1

    def loss(self, step: Step, rate: float = 1.0) -> tuple[Tensor, RouterTrace]:
        """The sum of all losses of one batch, and the routers' trace."""
        if self.progress < self.config.encoders and (step.alignments or step.named):
            return self._encoder_loss(step), RouterTrace()
        resting = self._resting
        self._rest(resting)
        trace = RouterTrace()
        said: dict[int, Words] = {}
        pointers = Pointers(step.inputs["segment_ids"], told_heads(self.model.config)) if self.config.pointing else None
        known = step.known if self.reads_once else Known()
        shown = plain(step.inputs["segment_ids"]) if self.looks_ahead and self.config.prompt else None
        seen = {"told": None if known.seen else self._told(step), "said": said, "kept": known.seen}
        # One logit a row: the head is applied below, to labelled positions only.
        output = self.forward_model(**step.inputs, trace=trace, logits_to_keep=1, attend=pointers, plain=shown, **seen)
        hidden_ND = output.hidden.flatten(0, 1).index_select(0, step.targets.positions)
        logits_NV = F.linear(hidden_ND, self.model.lm_head.weight)
        loss, by_skill = cross_entropy(logits_NV, step.targets, len(step.skills))
        self.meter.skills(step.skills, by_skill)
        total = loss + router_loss(trace, self.routers)
        if pointers:
            known.places = known.places or told_places(step.inputs, step.labels, said, self.breaks)
            for name, pointing in pointers.losses(known.places).items():
                self.meter.add(f"pointing/{name}", pointing.detach())
                total = total + self.config.pointing * pointing
        if self.config.prompt and len(step.prompt.positions):
            hidden_ND = output.hidden.flatten(0, 1).index_select(0, step.prompt.positions)
            prompt = F.cross_entropy(F.linear(hidden_ND, self.model.lm_head.weight).float(), step.prompt.labels)
            self.meter.add("prompt", prompt.detach())
            total = total + self.config.prompt * prompt
        if self.config.alignment and not resting:
            total = total + self.config.alignment * rate * self._reading({n: m.tokens for n, m in output.media.items()}, step)
        self.meter.trace = trace
        return total, trace

    def _encoder_loss(self, step: Step) -> Tensor:
        """What the encoders learn before there is a decoder worth asking: to spell what they see and hear."""
        tokens = {}
        for name, pixels in (("image", "pixel_values"), ("video", "pixel_values_videos")):
            if name in step.alignments or ((step.named or step.marked) and name == "image"):
                tokens[name] = self.model.model.visual(step.inputs[pixels], step.inputs[f"{name}_grid_thw"]).tokens
        if "audio" in step.alignments:
            sounds = (step.inputs["input_features"], step.inputs["audio_lengths"])
            tokens["audio"] = self.model.model.audio.encode_batch(*sounds).tokens
        return self._reading(tokens, step)

    def _reading(self, tokens: dict[str, Tensor], step: Step) -> Tensor | float:
        """What is lost where encoders' tokens do not tell what is written, said or seen."""
        reading = self.model.model.reading
        losses = [self._alignment(name, tokens[name], step) for name in (step.alignments if reading is not None else ())]
        if step.named and reading is not None and reading["image"].things is not None:
            of_things = dict(zip(PARTS, things_loss(reading["image"].things, tokens["image"], step.named), strict=True))
            losses.append(NAMES * torch.stack(list(of_things.values())).sum())
            for name, loss in of_things.items():
                self.meter.add(f"alignment/{name}", loss.detach())
        if step.marked and reading is not None and reading["image"].marks is not None:
            found, placed = marks_loss(reading["image"].marks, tokens["image"], step.marked)
            losses.append(found + SPOTS * placed)
            self.meter.add("alignment/marks", found.detach())
            self.meter.add("alignment/spots", placed.detach())
        return torch.stack(losses).sum() if losses else 0.0

    def _rest(self, resting: bool) -> None:
        """Encoders that rest are not differentiated: a third of their cost, and what they can do is kept."""
        body = self.model.model
        readings = (body.reading or {}).values()
        heads = [head for part in readings for head in (part.step_head, part.letter_head, part.things, part.marks)]
        for part in (body.visual, body.audio, *heads):
            if part is not None:
                part.requires_grad_(not resting)

    def _told(self, step: Step) -> dict[str, Told] | None:
        """Some of the texts as they should be read, or None where nothing is told."""
        reading, found = self.model.model.reading, {}
        for name, texts in step.alignments.items() if reading is not None and self.config.teach else ():
            if name == "audio":
                counts = torch.tensor([audio_tokens(length) for length in step.inputs["audio_lengths"].tolist()])
                longest, tokens = int(counts.max()), int(counts.sum())
                starts = counts.cumsum(0) - counts
                rows = (starts[:, None] + torch.arange(longest)).flatten().clamp(max=tokens - 1).to(self.device)
            else:
                count = image_tokens if name == "image" else video_tokens
                rows, tokens = None, sum(count(grid) for grid in step.inputs[f"{name}_grid_thw"].tolist())
            steps = reading["audio" if name == "audio" else "image"].steps
            found[name] = told(texts, steps, self.config.teach, tokens, rows)
            if name == "image" and step.marked:
                spots = told_marks(step.marked, step.inputs["image_grid_thw"].tolist(), self.config.teach)
                found[name] = dataclasses.replace(found[name], spots=spots)
        return found or None

    def _alignment(self, name: str, tokens: Tensor, step: Step) -> Tensor:
        """How well an encoder's tokens spell what is written or said."""
        texts, reading = step.alignments[name], self.model.model.reading["image" if name == "video" else name]
        loss = reading_loss(reading.logits, tokens.flatten(0, -2), texts, texts.letters, texts.letters_of)
        self.meter.add(f"alignment/{name}", loss.detach())
        return loss

    def _meet(self) -> None:
        """Goes on from the mean of what the runs beside this one have learned, when it is time to."""
        if self.peers is None:
            return
        learning = [n for n, parameter in enumerate(self.optimizer.parameters) if parameter.requires_grad]
        biases = [router.bias for router in self.model.modules() if isinstance(router, Router)]
        with self.meter.time("meeting"):
            if self.peers.meet([*map(self.optimizer.master, learning), *biases]):
                self.optimizer.show(learning)

    def _guard(self, norm: float, log: RunLog | None) -> None:
        """A step whose gradient is not finite has changed nothing; say so, and stop when it happens again and again."""
        self.failures = 0 if math.isfinite(norm) else self.failures + 1
        if self.failures and log:
            log.say(f"step {self.steps}: gradient is not finite, step skipped")
        if self.failures >= PATIENCE:
            hint = "lower --lr, or resume with another --seed"
            raise TrainingError("gradients stay infinite", value=f"{PATIENCE} steps", hint=hint)

    def save(self, feed: Feed) -> Path:
        """A resumable checkpoint and the weights as a model folder."""
        tensors = {f"optimizer/{name}": tensor for name, tensor in self.optimizer.state_dict().items()}
        tensors |= {f"buffer/{name}": tensor for name, tensor in self.model.named_buffers()}
        facts = {"step": self.steps, "tokens": self.team.tokens, "seconds": self.seconds}
        facts["answering"] = self.answering
        facts["loaders"] = [feed.state, *self.team.states()]
        facts["config"] = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(self.config).items()}
        folder = state.save(self.config.out, self.steps, tensors, facts)
        masters = {self.optimizer.names[n]: self.optimizer.master(n) for n in self.optimizer.coarse}
        export(self.model, self.config.out / "model", self.config.processor, masters)
        return folder

    def restore(self, folder: Path) -> list[dict[str, Any]]:
        """Goes back to a checkpoint; returns the states of the processes' loaders."""
        tensors, facts = state.load(folder)
        prefix = "optimizer/"
        self.optimizer.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        for name, buffer in self.model.named_buffers():
            buffer.copy_(tensors[f"buffer/{name}"])
        self.steps, self.before = facts["step"], facts["seconds"]
        self.answering = facts.get("answering", True)
        self.team.count(facts["tokens"])
        return facts["loaders"]

    def _validate(self, log: RunLog) -> dict[str, float]:
        scores = validate(self.model, self.config.processor, self.config.eval_cases)
        log.scalars(self.steps, {f"validation/{name}": score for name, score in scores.items()})
        log.say(f"step {self.steps}: " + "  ".join(f"{name} {score:.2f}" for name, score in scores.items()))
        return scores

    def _report(self, feed: Feed, log: RunLog) -> None:
        if self.meter.age < log.every:
            return
        values = self.meter.flush() | {"data/waiting": feed.waiting, "data/dropped": feed.dropped}
        values["data/fresh"] = feed.fresh
        values["tokens"] = self.team.tokens
        values["tokens/s"] *= self.team.size  # the meter has this process's batches only
        log.scalars(self.steps, values | {"progress": self.progress, "seconds": self.seconds})
        shares = " ".join(f"{name[6:]} {value:.0%}" for name, value in values.items() if name.startswith("share/"))
        spelled = " ".join(f"{name[10:]} {value:.3f}" for name, value in values.items() if name.startswith("alignment/"))
        text = f"step {self.steps}  loss {values['loss']:.3f}  {spelled}  {values['tokens/s']:.0f} tokens/s  {shares}"
        log.line(self.progress, text + f"  rate {values['rate']:.2f}  norm {values['norm']:.2f}")


class _stop_on_signal:
    """Within it, SIGTERM and SIGINT let the trainer finish its step and save."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    def __enter__(self) -> None:
        self.before = {s: signal.signal(s, self._stop) for s in (signal.SIGTERM, signal.SIGINT)}

    def _stop(self, *_: object) -> None:
        self.trainer.stopping = True

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
