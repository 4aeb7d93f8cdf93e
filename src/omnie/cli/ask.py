"""`omnie ask`: files and a question to a streamed answer. Decoding starts in a child process before torch is imported."""

import gc
import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnie import media
from omnie.engine.request import SamplingOptions
from omnie.errors import InputError, OptionError
from omnie.media.types import Audio, Video
from omnie.messages import Message, ToolCall, text, user

if TYPE_CHECKING:
    from omnie.runtime import Delta, Runtime

STDIN = "-"


def run(
    arguments: Sequence[str],
    options: SamplingOptions,
    *,
    model: str | None = None,
    as_json: bool = False,
    audio: bool = True,
    thinking: bool | None = None,
    attention: str | None = None,
    activations: str | None = None,
    looks: int | None = None,
    shape: Mapping[str, Any] | None = None,
) -> None:
    """Print the answer: as it comes, or as one JSON object.

    Args:
        shape: What the answer may be: `tools` or `schema` of `Runtime.stream`.

    Raises:
        OmnieError: a file, the question or the model cannot be used; nothing has been printed then.
    """
    started = time.perf_counter()
    files, question = split(arguments)
    pending = media.start_all([_reference(file) for file in files], audio=audio)
    runtime = load(model, thinking=thinking, attention=attention, activations=activations, looks=looks)
    imported = time.perf_counter() - started
    message = compose([item.result() for item in pending], question)
    waited = time.perf_counter() - started - imported
    deltas = runtime.stream([message], options, **(shape or {}))
    if as_json:
        print(json.dumps(report(runtime, list(deltas), start=imported, media_wait=waited), ensure_ascii=False))
    else:
        show(deltas)


def constraints(schema: Path | None, tools: Path | None) -> dict[str, Any]:
    """What the answer may be, from the files that say so.

    Raises:
        InputError: a file is not what it should be.
    """
    if schema is not None and tools is not None:
        raise OptionError("--schema and --tools exclude each other", allowed="one of them")
    if tools is not None:
        from omnie.processor.tools import read

        listed = _json(tools)
        if not isinstance(listed, list) or not listed:
            raise InputError("file holds no tools", value=tools, allowed='[{"type": "function", "function": {...}}, ...]')
        return {"tools": read(listed)}
    if schema is not None:
        found = _json(schema)
        if not isinstance(found, dict):
            raise InputError("file holds no JSON schema", value=schema, allowed='{"type": "object", "properties": {...}}')
        return {"schema": found}
    return {}


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError("file cannot be read as JSON", value=file, hint=str(error)) from None


def load(model: str | None, **options: Any) -> "Runtime":
    """The runtime; only here do torch and the model's code get imported."""
    gc.disable()  # the imports make a million objects that stay: collecting in between costs 0.3 s
    try:
        from omnie.runtime import Runtime

        return Runtime(model, **options)
    finally:
        gc.freeze()
        gc.enable()


def split(arguments: Sequence[str]) -> tuple[list[str], str | None]:
    """Files and the question. The question is last; it is None when the last argument is a file (a sound may ask)."""
    *files, last = arguments
    if last != STDIN and os.path.exists(last):
        return [*files, last], None
    question = _stdin_text() if last == STDIN else last
    if not question.strip():
        raise InputError(
            "the question is empty", allowed="some words", hint='for example: omnie ask chart.png "What is shown?"'
        )
    return files, question


def compose(values: Sequence[Any], question: str | None) -> Message:
    """The user's turn: media in the order given, then the question.

    Raises:
        InputError: there is no question, neither in words nor as a sound.
    """
    if question is None and not any(_speaks(value) for value in values):
        raise InputError(
            "the question is missing",
            allowed="FILES... QUESTION, or a sound file that asks",
            hint='put it last: omnie ask chart.png "What is shown?"',
        )
    parts = [media.as_part(value) for value in values]
    return user(*parts, *([text(question)] if question is not None else []))


def _speaks(value: Any) -> bool:
    return isinstance(value, Audio) or (isinstance(value, Video) and value.audio is not None)


def show(deltas: "Iterable[Delta]") -> None:
    """Write the answer to stdout as it comes, and end the line."""
    terminal = sys.stdout.isatty()
    calls: Sequence[ToolCall] = ()
    for delta in deltas:
        sys.stdout.write(harmless(delta.text) if terminal else delta.text)
        sys.stdout.flush()
        calls = delta.calls
    lines = "\n".join(json.dumps(asdict(call), ensure_ascii=False) for call in calls)
    print(harmless(lines) if terminal else lines, flush=True)


def harmless(answer: str) -> str:
    """Text without control characters but line breaks and tabs: an answer may quote a file that wants to steer the terminal."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in answer)


def report(runtime: "Runtime", deltas: "Sequence[Delta]", **before: float) -> dict[str, Any]:
    """What `--json` prints. `before`: seconds of what came before the runtime took over."""
    last = deltas[-1]
    assert last.usage and last.timings and last.confidence is not None
    return {
        "answer": "".join(delta.text for delta in deltas),
        "tool_calls": [asdict(call) for call in last.calls],
        "model": runtime.name,
        "finish_reason": last.finish,
        "confidence": float(f"{last.confidence:.4g}"),
        "looks": last.looks,
        "tokens": asdict(last.usage),
        "attention": last.attention,
        "timings": {name: round(value, 4) for name, value in (before | asdict(last.timings)).items()},
    }


def _reference(file: str) -> str | bytes:
    return sys.stdin.buffer.read() if file == STDIN else file


def _stdin_text() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InputError("the question on stdin is not text", allowed="UTF-8", hint=str(error)) from None
