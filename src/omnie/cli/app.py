"""The verbs and their options, as typer shows them. What a verb does lives in the file of its name."""

from pathlib import Path
from typing import Annotated, Any

import typer

from omnie import __version__
from omnie.cli import eval, train

app = typer.Typer(
    name="omnie",
    help="One model for text, images, sound, video and documents: files and a question in, an answer out.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"omnie {__version__}")
        raise typer.Exit


@app.callback()
def omnie(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """One model for text, images, sound, video and documents: files and a question in, an answer out."""


@app.command()
def ask(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[FILES]... QUESTION",
            show_default=False,
            help="Pictures, sounds, clips, PDF, CSV, XLSX or text files, known by their content, and last the question. "
            "'-' as the question reads it from stdin, '-' as a file reads the file from stdin. "
            "The question may be left out when a sound file asks it.",
        ),
    ],
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object: answer, tokens, timings (s), attention, model.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="A built-in model or a model folder.", show_default="nano")] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="Sample from the likeliest tokens that reach this probability.")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1 makes tokens that occurred less likely.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Makes sampling reproducible.", show_default="random")] = None,
    thinking: Annotated[
        bool | None,
        typer.Option(
            "--thinking/--no-thinking", help="Let a model that can think do so before it answers.", show_default="the model's"
        ),
    ] = None,
    attention: Annotated[
        str | None,
        typer.Option(
            help="exact; certified[:EPS] leaves out what provably weighs less than EPS of each row; "
            "fast[:BUDGET] computes that share of the tiles.",
            show_default="the model's",
        ),
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option(
            help="What 4-bit matrices are multiplied with on a processor: int8, or float: more exact and slower.",
            show_default="int8",
        ),
    ] = None,
    looks: Annotated[
        int | None,
        typer.Option(
            help="How often pictures and sounds (not clips) are looked at, 1 to 4 times at most, while the answer is not sure.",
            show_default="the model's",
        ),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="JSON schema in a file: the answer is JSON that fits it.", show_default="free text")
    ] = None,
    tools: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with a list of functions, as OpenAI's interface has them: the answer may call them, one JSON "
            "object a line.",
            show_default="none",
        ),
    ] = None,
    no_audio: Annotated[bool, typer.Option("--no-audio", help="Ignore the sound tracks of clips.")] = False,
) -> None:
    """Answer a question about files."""
    from omnie.cli.ask import constraints, run
    from omnie.engine.request import SamplingOptions
    from omnie.ops.levels import Level, check_activations
    from omnie.processor.settings import check_looks

    options = SamplingOptions(max_tokens, temperature, top_p, repetition_penalty, seed)
    if attention is not None:
        Level.parse(attention)  # a wrong one fails before torch is imported
    if activations is not None:
        check_activations(activations)
    if looks is not None:
        check_looks(looks)
    exactness: dict[str, Any] = {"attention": attention, "activations": activations, "looks": looks}
    shape = constraints(schema, tools)
    run(arguments, options, model=model, as_json=json, audio=not no_audio, thinking=thinking, shape=shape, **exactness)


@app.command()
def models() -> None:
    """List the built-in models."""
    from omnie import checkpoint

    for name in checkpoint.models():
        print(name)


@app.command()
def quantize(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A built-in model or a model folder.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder to write.", show_default=False)],
    group_size: Annotated[int, typer.Option(help="Inputs that share a scale: 32, 64 or 128.")] = 32,
    rounding: Annotated[
        str, typer.Option(help="search looks for each group's best scale; plain is faster and less exact.")
    ] = "search",
    calibrate: Annotated[
        int | None,
        typer.Option(
            help="Fit the rounding to what the layers see in so many generated examples (60 will do).", show_default="none"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the model in DST.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The report as one JSON object, each module in it.")] = False,
) -> None:
    """Write a model in 4 bits and report its bytes."""
    from omnie.cli.quantize import run

    run(source, target, group=group_size, rounding=rounding, calibrate=calibrate, force=force, as_json=json)


@app.command()
def extend(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A model folder that takes no sound.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder to write.", show_default=False)],
    audio: Annotated[bool, typer.Option("--audio", help="Add an audio encoder and audio experts.")] = False,
    audio_token: Annotated[
        str | None, typer.Option(help="The token that stands for sound.", show_default="a new or an unused one")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the new weights.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the model in DST.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Write a model that can learn to hear; what it says about text, images and video stays the same."""
    from omnie.cli.extend import run

    run(source, target, audio=audio, token=audio_token, seed=seed, force=force, as_json=json)


app.command()(train.command())
app.add_typer(eval.app, name="eval")
