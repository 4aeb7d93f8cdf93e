"""Everything a run can be told, in one frozen record. No torch here: the command line imports it for its help."""

from dataclasses import dataclass, field
from pathlib import Path

from omnie.errors import OptionError


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `train`.

    Attributes:
        out: Folder of the run; when it holds checkpoints the run goes on from the newest.
        size: Model size ("nano", "toy", "8b").
        init: Model folder to take the weights from instead of random ones.
        processor: Folder with `tokenizer.json` and `processor_config.json`; None for the built-in model's.
        minutes, steps: Total over all resumes; at least one. With both, whichever is reached first ends the run.
        rows, row: A step is `rows` packed rows of `row` tokens.
        accumulate: Batches whose gradients are summed for one step.
        lr: Peak learning rate of Muon's matrices and of everything else, relative to it, `lr_other`.
        warmup: Steps. decay: share of the run at its end in which the rate falls to zero.
        weight_decay, clip: Decoupled weight decay; global gradient norm.
        alignment: Factor on the two auxiliary alignment losses at the start; it falls to zero with the learning rate.
        mix: TOML file with factors on the skills' weights (see `source.read_mix`).
        workers: Processes that make data; nice: by how much their priority is lowered.
        threads: Threads of the trainer on a CPU; None for PyTorch's choice.
        device, dtype: Where and in what the forward and backward passes run ("auto": GPU if there is one, bfloat16).
        checkpointing: Recompute activations in the backward pass instead of keeping them.
        compile: Compile the model (GPU).
        save_minutes, eval_minutes: Between checkpoints; between small validations (0: none).
        eval_cases: Validation cases a family.
        seed: Of weights and of the stream.
    """

    out: Path
    size: str = "nano"
    init: Path | None = None
    processor: Path | None = None
    minutes: float | None = None
    steps: int | None = None
    rows: int = 8
    row: int = 512
    accumulate: int = 1
    lr: float = 3e-3
    lr_other: float = 1.0
    warmup: int = 50
    decay: float = 0.3
    weight_decay: float = 0.05
    clip: float = 1.0
    alignment: float = 0.2
    mix: Path | None = None
    workers: int = 1
    nice: int = 0
    threads: int | None = None
    device: str = "auto"
    dtype: str = "bfloat16"
    checkpointing: bool = False
    compile: bool = False
    save_minutes: float = 5.0
    eval_minutes: float = 10.0
    eval_cases: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.minutes and not self.steps:
            raise OptionError("the run has no end", allowed="minutes or steps", hint="give --minutes 60")
        for name in ("rows", "row", "accumulate", "workers"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is out of range", value=getattr(self, name), allowed="1 or more")
        if self.dtype not in ("bfloat16", "float32"):
            raise OptionError("unknown dtype", value=self.dtype, allowed="bfloat16, float32")


@dataclass(frozen=True)
class TrainResult:
    """What a run did. `losses`: skill -> mean cross-entropy over the last steps; `scores`: family -> validation score."""

    steps: int
    tokens: int
    seconds: float
    finished: bool
    losses: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
