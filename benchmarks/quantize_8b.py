"""`make bench-quantize`: what 4 bits do to a model of `8b`'s size, with random weights, written to `results/quantize_8b.json`.

    python benchmarks/quantize_8b.py [SIZE] [--rounding search] [--resume] [--keep]

It writes SIZE (8b) in bfloat16 into `runs/quantize/` (16 GB for 8b), converts it with `omnie quantize`'s own code, compares the
answers of both models to the same input, loads both in processes of their own, and deletes the folders (`--keep` does not).
`--resume` goes on after the last step that was finished. Seconds depend on what else the machine does; bytes do not.

What is called memory: `memory.py`.

Random weights are those of a fresh model. Their errors are those of any normally distributed matrix; a trained one's differ.
"""

import argparse
import datetime
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from memory import Watch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from record import RESULTS, hardware  # noqa: E402

from omnie import checkpoint, inputs  # noqa: E402
from omnie.model import config as architectures  # noqa: E402
from omnie.model.omni import Omni  # noqa: E402
from omnie.quantise.convert import quantise  # noqa: E402
from omnie.quantise.files import Layout, size, write  # noqa: E402
from omnie.quantise.report import part_of_model, table  # noqa: E402
from omnie.quantise.source import Own  # noqa: E402

PLACE = ROOT / "runs" / "quantize"
SHARD = 2 << 30
PIECE = 1 << 24
CONTEXT = 32_768
CARD = 12 * 2**30
"""Bytes of the card that 8b is to fit: 12 GiB."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("size", nargs="?", default="8b")
    parser.add_argument("--rounding", default="search")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(globals()[f"step_{options.step}"](options)), flush=True)
        return
    if not options.resume:
        shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True, exist_ok=True)
    result = measure(options)
    if not options.keep:
        shutil.rmtree(PLACE)
    name = "quantize_8b" if options.size == "8b" else f"quantize_{options.size}"
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {"date": datetime.date.today().isoformat(), "hardware": hardware(), "size": options.size}
    result["written"] = run(options, "write")
    result["conversion"] = run(options, "convert")
    print(table(result["conversion"]["report"]))
    loads = ("omnie_int4", "transformers_int4", "transformers_bf16")
    result["loading"] = {name: run(options, f"load_{name}") for name in loads}
    result["answers"] = {kind: run(options, f"answer_{kind}") for kind in ("bf16", "int4")} | compare()
    return result | {"card": card(result["conversion"]["report"], options.size)}


def run(options: argparse.Namespace, step: str) -> Any:
    """One step in a process of its own, so that its memory is its own; a finished one is not taken again."""
    done_before = PLACE / f"{step}.json"
    if done_before.is_file():
        return json.loads(done_before.read_text("utf-8"))
    words = [sys.executable, __file__, options.size, "--rounding", options.rounding, "--step", step]
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    done_before.write_text(json.dumps(found), "utf-8")
    print(f"{step}: {json.dumps({k: v for k, v in found.items() if k != 'report'})}", file=sys.stderr, flush=True)
    return found


def meta(size_name: str) -> Omni:
    with torch.device("meta"):
        return Omni(architectures.architecture(size_name))


def step_write(options: argparse.Namespace) -> dict[str, Any]:
    """Random weights in bfloat16 (routers float32) as a model folder, shard by shard."""
    folder = PLACE / "bf16"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = meta(options.size)
    layouts: list[Layout] = [{}]
    for name, tensor in model.state_dict().items():
        if name not in checkpoint.tied(model):
            kind = torch.float32 if ".gate." in name else torch.bfloat16
            if sum(size(*entry) for entry in layouts[-1].values()) + size(list(tensor.shape), kind) > SHARD:
                layouts.append({})
            layouts[-1][name] = (list(tensor.shape), kind)
    with Watch() as watch:
        generator = torch.Generator().manual_seed(0)
        names = [f"model-{n + 1:05}-of-{len(layouts):05}.safetensors" for n in range(len(layouts))]
        for file, layout in zip(names, layouts):
            write(folder / file, layout, (piece for name, entry in layout.items() for piece in values(name, *entry, generator)))
    index = {name: file for file, layout in zip(names, layouts) for name in layout}
    (folder / checkpoint.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}), "utf-8")
    (folder / "config.json").write_text(architectures.to_json(model.config), "utf-8")
    return watch.facts() | {"bytes": disk(folder)}


def values(name: str, shape: list[int], kind: torch.dtype, generator: torch.Generator) -> Iterator[Tensor]:
    """A fresh model's values, some at a time: norms 1, biases 0, embeddings of length 1, else a deviation of 0.02."""
    count = math.prod(shape)
    for begin in range(0, count, PIECE):
        piece = torch.empty(min(PIECE, count - begin))
        if len(shape) == 1:
            piece.fill_(0.0 if name.endswith("bias") else 1.0)
        else:
            piece.normal_(std=shape[-1] ** -0.5 if "embed_tokens" in name else 0.02, generator=generator)
        yield piece.to(kind)


def disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def step_convert(options: argparse.Namespace) -> dict[str, Any]:
    began = [0]

    def progress(name: str, done: int, total: int) -> None:
        if done * 20 // total > began[0]:
            began[0] = done * 20 // total
            print(f"{done / total:4.0%} {name}", file=sys.stderr, flush=True)

    with Watch() as watch:
        report = quantise(PLACE / "bf16", PLACE / "int4", rounding=options.rounding, force=True, progress=progress)
    report["model"] = options.size
    del report["modules"]  # hundreds of lines; `omnie quantize --json` has them
    sizes = {kind: disk(PLACE / kind) for kind in ("bf16", "int4")}
    return watch.facts() | {"disk_bytes": sizes, "report": report}


def question(config: Any) -> dict[str, Tensor]:
    """40 words, a picture of 8 x 8 patches (16 tokens), 96 frames of sound (12 tokens), and 28 words more."""
    types = torch.tensor([inputs.TEXT] * 40 + [inputs.IMAGE] * 16 + [inputs.AUDIO] * 12 + [inputs.TEXT] * 28)
    random = torch.Generator().manual_seed(1)
    where = inputs.positions(types.numpy(), [[1, 8, 8]], [])
    return {
        "input_ids": torch.randint(32, config.vocab_size, (1, len(types)), generator=random),
        "position_ids": torch.from_numpy(where)[None],
        "mm_token_type_ids": types[None],
        "pixel_values": torch.randn(64, 768, generator=random),
        "image_grid_thw": torch.tensor([[1, 8, 8]]),
        "input_features": torch.randn(96, inputs.MEL_BINS, generator=random),
        "audio_lengths": torch.tensor([96]),
    }


def answer(options: argparse.Namespace, kind: str) -> dict[str, Any]:
    """Logits and the last hidden states of a model for the question, kept in a file for `compare`."""
    model = streamed(options.size) if kind == "bf16" else checkpoint.load_model(PLACE / kind, dtype=torch.bfloat16)
    batch = question(model.config)
    batch |= {name: value.bfloat16() for name, value in batch.items() if value.is_floating_point()}
    with Watch() as watch, torch.inference_mode():
        output = model(**batch)
    kept = {"logits": output.logits.float(), "hidden": output.hidden.float(), "types": batch["mm_token_type_ids"]}
    torch.save(kept, PLACE / f"answer_{kind}.pt")
    return watch.facts()


def streamed(size_name: str) -> Omni:
    """The bfloat16 model, each block's weights in memory only while it computes: it need not fit."""
    source, model = Own(PLACE / "bf16"), meta(size_name).eval()
    layers = [*model.model.language_model.layers, *model.model.visual.blocks, *model.model.audio.blocks]
    names = {layer: name for name, layer in model.named_modules() if layer in set(layers)}

    def fetch(module: nn.Module, prefix: str, skip: tuple[str, ...] = ()) -> None:
        wanted = [name for name in module.state_dict() if not name.startswith(skip)]
        module.load_state_dict({name: source.tensor(prefix + name) for name in wanted}, strict=False, assign=True)

    for layer, name in names.items():
        layer.register_forward_pre_hook(lambda layer, _, name=name: fetch(layer, f"{name}."))
        layer.register_forward_hook(lambda layer, *_: layer.to("meta") and None)
    fetch(model, "", (*(f"{name}." for name in names.values()), "lm_head."))
    model.lm_head.weight = model.model.language_model.embed_tokens.weight
    return model


def step_answer_bf16(options: argparse.Namespace) -> dict[str, Any]:
    return answer(options, "bf16")


def step_answer_int4(options: argparse.Namespace) -> dict[str, Any]:
    return answer(options, "int4")


def compare() -> dict[str, Any]:
    """Relative RMS errors of the 4-bit model's output against bfloat16's, in all and by the tokens' modality."""
    want, got = (torch.load(PLACE / f"answer_{kind}.pt", weights_only=True) for kind in ("bf16", "int4"))

    def error(name: str, rows: Tensor) -> float:
        a, b = got[name][rows].double(), want[name][rows].double()
        return round(float((a - b).square().mean().sqrt() / b.square().mean().sqrt()), 4)

    every = torch.ones_like(want["types"], dtype=torch.bool)
    kinds = {"all": every} | {name: want["types"] == n for n, name in enumerate(inputs.MODALITIES) if n in want["types"]}
    return {
        "relative_error": {name: {what: error(what, rows) for what in ("logits", "hidden")} for name, rows in kinds.items()}
    }


def step_load_omnie_int4(options: argparse.Namespace) -> dict[str, Any]:
    return loaded(lambda: checkpoint.load_model(PLACE / "int4"))


def step_load_transformers_int4(options: argparse.Namespace) -> dict[str, Any]:
    return loaded(lambda: from_pretrained("int4"))


def step_load_transformers_bf16(options: argparse.Namespace) -> dict[str, Any]:
    """Left out where the weights would push others out of memory: they may be copied, not mapped."""
    needed, free = disk(PLACE / "bf16") + (2 << 30), available()
    if free < needed:
        return {"left_out": f"{free:,} bytes of memory are available, {needed:,} may be needed"}
    return loaded(lambda: from_pretrained("bf16"))


def available() -> int:
    """Bytes that may be taken before others suffer."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))


def from_pretrained(kind: str, **options: Any) -> Any:
    from transformers import AutoModelForCausalLM

    import omnie

    omnie.register()
    return AutoModelForCausalLM.from_pretrained(PLACE / kind, dtype=torch.bfloat16, **options)


def loaded(load: Any) -> dict[str, Any]:
    """Loading, then one token through the model, which touches what a token needs."""
    with Watch() as watch:
        model = load()
    config = model.config
    token = {"input_ids": torch.tensor([[100]]), "position_ids": torch.zeros(1, 1, 3, dtype=torch.long)}
    with Watch() as after, torch.inference_mode():
        model(**token)
    state = {tensor.data_ptr(): tensor.nbytes for tensor in model.state_dict().values()}
    facts = watch.facts() | {"weights_bytes": sum(state.values()), "first_token": after.facts()}
    return facts | {"layers": config.num_hidden_layers}


def card(report: dict[str, Any], size_name: str) -> dict[str, Any]:
    """Why 8b in 4 bits and a context of 32K fit a card of 12 GiB, in bytes."""
    c = architectures.architecture(size_name)
    cache = 2 * c.num_hidden_layers * c.num_key_value_heads * c.head_dim * 2 * CONTEXT
    prefill = 2048
    widest = max(c.intermediate_size, c.hidden_size, c.num_attention_heads * c.head_dim)
    parts = {
        "weights": report["bytes"],
        "keys and values: 2 x layers x kv heads x head size x 2 bytes x 32,768 tokens": cache,
        "prefill in pieces of 2,048 tokens: 8 activations as wide as the widest layer, 2 bytes": 8 * prefill * widest * 2,
        "attention scores of a piece, all heads, in tiles of 2,048 keys, 4 bytes": c.num_attention_heads * prefill * 2048 * 4,
        "one matrix unpacked: the largest linear map, float32 and bfloat16": 6 * largest_linear(size_name),
        "last token's logits, 4 bytes": 4 * c.vocab_size,
        "CUDA's context and kernels, about": 600 << 20,
    }
    needed = sum(parts.values())
    return {"parts": parts, "needed": needed, "card": CARD, "left": CARD - needed}


def largest_linear(size_name: str) -> int:
    shapes = (
        tensor.shape for name, tensor in meta(size_name).state_dict().items() if part_of_model(name) != "embedding and head"
    )
    return max(math.prod(shape[-2:]) for shape in shapes)


if __name__ == "__main__":
    main()
