"""The special tokens: their spelling and their ids. Standard library only; ordinary text never becomes one of them.

The order below is the order of the ids, from 0; the 256 byte tokens follow, then the merges of the byte-level BPE. Only the
chat template (`chat.py`) writes these tokens: text is encoded by an encoder that does not know them.
"""

PAD = "<|pad|>"
BEGIN = "<|begin_of_sentence|>"
END = "<|end_of_sentence|>"
SYSTEM, USER, ASSISTANT, TOOL = "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"
IMAGE_START, IMAGE, IMAGE_END = "<|IMAGE_START|>", "<|image@placeholder|>", "<|IMAGE_END|>"
VIDEO_START, VIDEO, VIDEO_END = "<|VIDEO_START|>", "<|video@placeholder|>", "<|VIDEO_END|>"
AUDIO_START, AUDIO, AUDIO_END = "<|AUDIO_START|>", "<|audio@placeholder|>", "<|AUDIO_END|>"
TIME_START, TIME_END = "<|TIME_START|>", "<|TIME_END|>"
PAGE_START, PAGE_END = "<|PAGE_START|>", "<|PAGE_END|>"
TABLE_START, TABLE_END = "<|TABLE_START|>", "<|TABLE_END|>"
CALL_START, CALL_END = "<tool_call>", "</tool_call>"
RESPONSE_START, RESPONSE_END = "<tool_response>", "</tool_response>"
THINK_START, THINK_END = "<think>", "</think>"

NAMED = (
    PAD, BEGIN, END, SYSTEM, USER, ASSISTANT, TOOL, IMAGE_START, IMAGE, IMAGE_END, VIDEO_START, VIDEO, VIDEO_END,
    AUDIO_START, AUDIO, AUDIO_END, TIME_START, TIME_END, PAGE_START, PAGE_END, TABLE_START, TABLE_END, CALL_START, CALL_END,
    RESPONSE_START, RESPONSE_END, THINK_START, THINK_END,
)  # fmt: skip
COUNT = 32
SPECIAL: tuple[str, ...] = NAMED + tuple(f"<|reserved_{n}|>" for n in range(COUNT - len(NAMED)))
"""Every special token; the index is the id."""

ID: dict[str, int] = {token: number for number, token in enumerate(SPECIAL)}
"""Special token -> id."""

ROLE: dict[str, str] = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT, "tool": TOOL}
"""Role of a message -> the token that opens it."""
