"""The chat template, both ways: messages to segments, and ids or a rendered string back to messages. No pixels, no ids' values.

    <|begin_of_sentence|>  then for each message:  <role>  content  <|end_of_sentence|>
    <|assistant|>          once more at the end, when the model is to speak

There is no glue between the pieces: no blanks, no line breaks. An assistant's tool calls follow its text, each as
`<tool_call>{"name": ..., "arguments": ...}</tool_call>`; a tool's turn is wrapped in `<tool_response>`.

A text that spells a special token stays text. As ids this needs nothing (`Tokenizer.encode` knows no special token); as a
string, `escape` sets a backslash behind the `<`, and `unescape` takes it away.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from omnie.errors import InputError
from omnie.messages import KINDS, ROLES, Kind, Message, Part, Role, ToolCall, text
from omnie.processor import tokens
from omnie.processor.tokenizer import Tokenizer

SPEAKERS: dict[str, Role] = {tokens.ROLE[role]: role for role in ROLES}
MEDIA: dict[str, tuple[Kind, str]] = {
    tokens.IMAGE_START: ("image", tokens.IMAGE_END),
    tokens.AUDIO_START: ("audio", tokens.AUDIO_END),
    tokens.VIDEO_START: ("video", tokens.VIDEO_END),
    tokens.PAGE_START: ("document", tokens.PAGE_END),
    tokens.TABLE_START: ("table", tokens.TABLE_END),
}
"""Opening token -> what it opens, and the token that closes it."""


@dataclass(frozen=True)
class Segment:
    """A stretch of the prompt.

    Attributes:
        value: Text, or the name of a special token.
        special: Which of the two.
        count: How often a special token stands here (a run of placeholders).
        learn: Does the model learn to write it (assistant content and the token that ends it)?
        source: The part that it comes from ("image 2"), for messages to the user.
    """

    value: str
    special: bool = False
    count: int = 1
    learn: bool = False
    source: str = "template"


def mark(token: str, count: int = 1) -> Segment:
    """A special token, `count` times."""
    return Segment(token, special=True, count=count)


LayOut = Callable[[Part], Sequence[Segment]]
"""Says which segments a part that is not text becomes (`encode.Layout.add`)."""


def render(
    messages: Iterable[Message], lay_out: LayOut, *, generation_prompt: bool = False, continue_final: bool = False
) -> list[Segment]:
    """Messages as segments; at the end the assistant's role token, or the last turn left open, if asked for.

    Raises:
        InputError: A role, a kind or the place of a part is not one that a conversation has.
    """
    counter = _Counter(lay_out)
    segments = [mark(tokens.BEGIN)]
    for message in messages:
        segments += _turn(message, counter)
    if generation_prompt:
        segments.append(mark(tokens.ASSISTANT))
    elif continue_final and segments[-1].value == tokens.END:
        segments.pop()
    return segments


def parse(source: str | Sequence[int], tokenizer: Tokenizer | None = None) -> list[Message]:
    """Messages of a rendered string, or of ids (which need the tokenizer). After `render` this is the identity.

    Media come back as parts of their kind without a value. What stands before the first role is the assistant's: so the ids
    that a model generated can be parsed as they are. Thoughts (`<think>`) are not part of a message. Text that the model
    meant as a tool call but that is none stays text.
    """
    if isinstance(source, str):
        return _Parser(_items_of_text(source)).messages()
    if tokenizer is None:
        raise TypeError("parse() of ids needs the tokenizer")
    return _Parser(_items_of_ids(source, tokenizer)).messages()


def normal(message: Message) -> Message:
    """The same turn with neighbouring texts joined and empty ones left out: the form that `parse` returns."""
    parts: list[Part] = []
    for part in message.parts:
        if part.kind != "text":
            parts.append(part)
        elif part.value and parts and parts[-1].kind == "text":
            parts[-1] = text(parts[-1].value + part.value)
        elif part.value:
            parts.append(part)
    return replace(message, parts=tuple(parts))


# --- rendering


class _Counter:
    """Lays parts out and names them: the second image is "image 2"."""

    def __init__(self, lay_out: LayOut):
        self._lay_out = lay_out
        self._seen = dict.fromkeys(KINDS, 0)

    def segments(self, part: Part) -> list[Segment]:
        if part.kind not in KINDS:
            raise InputError("unknown kind of part", value=part.kind, allowed=", ".join(KINDS))
        if part.kind == "text" and not isinstance(part.value, str):
            raise InputError("text part holds no text", value=type(part.value).__name__, allowed="str")
        self._seen[part.kind] += 1
        made = [Segment(part.value)] if part.kind == "text" else self._lay_out(part)
        return [replace(segment, source=f"{part.kind} {self._seen[part.kind]}") for segment in made]


def _turn(message: Message, counter: _Counter) -> list[Segment]:
    if message.role not in ROLES:
        raise InputError("unknown role", value=message.role, allowed=", ".join(ROLES))
    speaks = message.role == "assistant"
    if message.tool_calls and not speaks:
        raise InputError(f"a {message.role} turn calls a tool", allowed="tool calls in assistant turns only")
    if speaks and any(part.kind != "text" for part in message.parts):
        raise InputError("an assistant turn holds media", allowed="text and tool calls")
    body = [segment for part in normal(message).parts for segment in counter.segments(part)]
    if message.role == "tool":
        body = [mark(tokens.RESPONSE_START), *body, mark(tokens.RESPONSE_END)]
    for call in message.tool_calls:
        body += [mark(tokens.CALL_START), Segment(_call_text(call)), mark(tokens.CALL_END)]
    body.append(mark(tokens.END))
    if speaks:
        body = [replace(segment, learn=True) for segment in body]
    return [mark(tokens.ROLE[message.role]), *body]


def _call_text(call: ToolCall) -> str:
    try:
        return json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError("tool call is not JSON", value=f"{call.name}: {error}") from None


# --- the string form

_TAILS = "|".join(re.escape(token[1:]) for token in sorted(tokens.SPECIAL, key=len, reverse=True))
_LOOKS_SPECIAL = re.compile(rf"<(\\*)(?={_TAILS})")
_ESCAPED = re.compile(rf"<\\(\\*)(?={_TAILS})")
_SPECIAL = re.compile(f"(<(?:{_TAILS}))")


def escape(value: str) -> str:
    """Text that spells no special token: `<|pad|>` becomes `<\\|pad|>`, and that `<\\\\|pad|>`."""
    return _LOOKS_SPECIAL.sub(r"<\\\1", value)


def unescape(value: str) -> str:
    """The text that `escape` was given."""
    return _ESCAPED.sub(r"<\1", value)


def to_text(segments: Iterable[Segment]) -> str:
    """Segments as one string, text escaped."""
    return "".join(segment.value * segment.count if segment.special else escape(segment.value) for segment in segments)


def of_text(value: str) -> list[Segment]:
    """A rendered string as segments; runs of a placeholder stay single tokens."""
    pieces = _SPECIAL.split(value)  # text and special tokens by turns
    return [mark(piece) if n % 2 else Segment(unescape(piece)) for n, piece in enumerate(pieces) if piece]


# --- parsing

_Item = tuple[str, bool]
"""A text, or a special token's name and True."""


def _items_of_text(source: str) -> Iterator[_Item]:
    return ((segment.value, segment.special) for segment in of_text(source))


def _items_of_ids(ids: Sequence[int], tokenizer: Tokenizer) -> Iterator[_Item]:
    start = 0
    numbers = [int(number) for number in ids]
    for place, number in enumerate([*numbers, tokens.ID[tokens.END]]):
        if number < tokens.COUNT:
            if place > start:
                yield tokenizer.decode(numbers[start:place]), False
            if place < len(numbers):
                yield tokens.SPECIAL[number], True
            start = place + 1


class _Parser:
    """Reads items one by one; a turn collects parts and calls until a role or the end of the turn closes it."""

    def __init__(self, items: Iterable[_Item]):
        self._items = list(items)
        self._at = 0
        self._done: list[Message] = []
        self._page = 0
        self._open("assistant")

    def messages(self) -> list[Message]:
        while self._at < len(self._items):
            value, special = self._items[self._at]
            self._at += 1
            if special:
                self._special(value)
            else:
                self._parts.append(text(value))
        self._close(ended=False)
        return self._done

    def _open(self, role: Role) -> None:
        self._role: Role = role
        self._parts: list[Part] = []
        self._calls: list[ToolCall] = []

    def _close(self, *, ended: bool) -> None:
        if ended or self._parts or self._calls:
            self._done.append(normal(Message(self._role, tuple(self._parts), tuple(self._calls))))
        self._open("assistant")

    def _special(self, token: str) -> None:
        if token in SPEAKERS:
            self._close(ended=False)
            self._open(SPEAKERS[token])
        elif token == tokens.END:
            self._close(ended=True)
        elif token in MEDIA:
            self._media(token)
        elif token == tokens.CALL_START:
            self._call("".join(self._until(tokens.CALL_END)))
        elif token == tokens.THINK_START:
            self._until(tokens.THINK_END)

    def _until(self, closing: str) -> list[str]:
        """The texts before a closing token, or before the end of the turn; special tokens on the way are left out."""
        found = []
        while self._at < len(self._items):
            value, special = self._items[self._at]
            if special and (value == tokens.END or value in SPEAKERS):
                break  # never closed: the turn's end is still to be read
            self._at += 1
            if special and value == closing:
                break
            if not special:
                found.append(value)
        return found

    def _media(self, token: str) -> None:
        kind, closing = MEDIA[token]
        inside = self._until(closing)
        number = inside[0] if kind == "document" and inside else ""
        page = int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else 0
        follows = kind == "document" and self._parts and self._parts[-1].kind == kind and page > self._page
        self._page = page
        if not follows:
            self._parts.append(Part(kind, None))

    def _call(self, inside: str) -> None:
        call = read_call(inside) if self._role == "assistant" else None
        if call is None:
            self._parts.append(text(inside))
        else:
            self._calls.append(call)


def read_call(inside: str) -> ToolCall | None:
    """The call that a text spells; None where it is none, or could not be written down again as JSON in UTF-8."""
    try:
        value = json.loads(inside)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    fits = isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(value.get("arguments"), dict)
    return ToolCall(value["name"], value["arguments"]) if fits else None
