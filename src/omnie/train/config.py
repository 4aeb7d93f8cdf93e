"""Everything a run can be told, in one frozen record. No torch here: the command line makes its options and help from it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from omnie.errors import OptionError


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `train`; each field's annotation says what it means."""

    out: Annotated[Path, "Folder of the run; when it holds checkpoints the run goes on from the newest."]
    size: Annotated[str, "Model size: nano, toy or 8b."] = "nano"
    init: Annotated[Path | None, "Model folder to take the weights from instead of random ones."] = None
    encoders_from: Annotated[Path | None, "Model folder whose encoders a model with random weights takes over."] = None
    revive: Annotated[bool, "Let experts without work start anew as copies of those that have it."] = False
    marks: Annotated[int, "Series of charts that a model of --init learns to tell apart if it cannot read charts yet."] = 0
    lookahead: Annotated[int, "Tokens that a prompt's tokens of a model of --init learn to see ahead if they see none yet."] = 0
    processor: Annotated[Path | None, "Folder with tokenizer.json and processor_config.json; else the built-in ones."] = None
    minutes: Annotated[float | None, "Total time over all resumes; the rate has decayed when it is up."] = None
    steps: Annotated[int | None, "Total steps over all resumes; with both, whichever is reached first ends the run."] = None
    rows: Annotated[int, "Packed rows in a batch."] = 8
    row: Annotated[int, "Tokens in a row; longer examples are left out and counted."] = 512
    accumulate: Annotated[int, "Batches whose gradients are summed for one step."] = 1
    lr: Annotated[float, "Peak learning rate of the matrices (Muon)."] = 3e-3
    lr_other: Annotated[float, "Peak learning rate of everything else (AdamW), as a factor on lr."] = 1.0
    lr_embedding: Annotated[float, "Peak learning rate of the token embeddings (AdamW), as a factor on lr."] = 0.1
    lr_encoders: Annotated[float, "Further factor on the encoders' peak learning rates."] = 1.0
    lr_convolutions: Annotated[float, "Further factor on those of the decoder's convolutions, which begin at zero."] = 5.0
    lr_circuits: Annotated[float, "Further factor on those of the layers that copy, which a fresh model begins with."] = 0.1
    warmup: Annotated[int, "Steps from zero to the peak."] = 50
    decay: Annotated[float, "Share of the run, at its end, in which the rate falls to zero."] = 0.3
    weight_decay: Annotated[float, "Decoupled weight decay."] = 0.05
    clip: Annotated[float, "Largest global gradient norm."] = 1.0
    alignment: Annotated[float, "Factor on the two auxiliary alignment losses; it falls with the learning rate."] = 0.2
    encoders: Annotated[float, "Share of the run, at its beginning, in which only the encoders learn, by spelling."] = 0.0
    rest: Annotated[float, "Share of the run, after that, in which the encoders rest and the decoder learns to read."] = 0.0
    spelling: Annotated[float, "Share of the later examples that are spelled only: media without a question."] = 0.0
    repeats: Annotated[int, "Times that each medium comes which is only spelled; fewer are more to make."] = 4
    teach: Annotated[
        float, "Share of the texts in media that the decoder is told, so that it need not rely on the encoders."
    ] = 0.0
    coarse: Annotated[float, "Share of the run, at its end, in which matrices are rounded to 4 bits in every step."] = 0.0
    pointing: Annotated[float, "Factor on the loss of heads told where answers stand and what the question has of them."] = 0.0
    prompt: Annotated[float, "Factor on the loss of the user's own words."] = 0.3
    mix: Annotated[Path | None, "TOML file: skill or group = factor, or = [[progress, factor], ...]."] = None
    workers: Annotated[int, "Processes that make data, for each training process."] = 1
    reuse: Annotated[
        int,
        "Times that a batch may come: again when no new one is ready, so that a fast device never waits; while encoders rest, "
        "always, as what they read in it is kept.",
    ] = 1
    nice: Annotated[int, "By how much the data processes' priority is lowered."] = 0
    processes: Annotated[int, "Training processes on a CPU, each with its own batches, sharing the optimiser's work."] = 1
    peers: Annotated[Path | None, "Folder in which runs side by side meet, to go on from the mean of their weights."] = None
    peer: Annotated[int, "Number of this run among them; each needs a --seed of its own too."] = 0
    meet_seconds: Annotated[float, "Between their meetings, by the clock."] = 20.0
    threads: Annotated[int | None, "Threads of each training process on a CPU; else PyTorch's choice."] = None
    device: Annotated[str, "auto takes a GPU if there is one."] = "auto"
    dtype: Annotated[str, "Of weights and activations: bfloat16, float32, or auto: the faster one on the device."] = "auto"
    checkpointing: Annotated[bool, "Recompute activations in the backward pass instead of keeping them."] = False
    compile: Annotated[bool, "Compile the model (GPU)."] = False
    save_minutes: Annotated[float, "Between checkpoints."] = 5.0
    eval_minutes: Annotated[float, "Between small validations; 0 for none."] = 10.0
    eval_cases: Annotated[int, "Validation cases a group of skills."] = 8
    seed: Annotated[
        int | None,
        "Of the weights and of the stream; else one that follows from --init's weights, so that these see what is new.",
    ] = None

    def __post_init__(self) -> None:
        if not self.minutes and not self.steps:
            raise OptionError("the run has no end", allowed="minutes or steps", hint="give --minutes 60")
        if self.init and self.encoders_from:
            raise OptionError("two sources of encoders", allowed="--init or --encoders-from", hint="--init brings its own")
        for name in ("rows", "row", "accumulate", "workers", "processes", "reuse", "repeats"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is out of range", value=getattr(self, name), allowed="1 or more")
        if self.marks < 0 or (self.marks and not self.init):
            raise OptionError("marks is out of range", value=self.marks, allowed="1 or more, with --init; else 0")
        if not 0 <= self.lookahead <= 64 or (self.lookahead and not self.init):
            raise OptionError("lookahead is out of range", value=self.lookahead, allowed="1 to 64, with --init; else 0")
        if self.peers and self.processes > 1:
            raise OptionError("peers with several processes", value=self.processes, allowed="processes 1 beside --peers")
        if self.meet_seconds <= 0:
            raise OptionError("meet_seconds is out of range", value=self.meet_seconds, allowed="above 0")
        for name in ("encoders", "rest", "spelling", "teach", "coarse"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is out of range", value=getattr(self, name), allowed="a share, 0 to 1")
        if self.dtype not in ("auto", "bfloat16", "float32"):
            raise OptionError("unknown dtype", value=self.dtype, allowed="auto, bfloat16, float32")


@dataclass(frozen=True)
class TrainResult:
    """What a run did. `losses`: skill -> mean cross-entropy over the last steps; `scores`: group -> validation score."""

    steps: int
    tokens: int
    seconds: float
    finished: bool
    losses: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
