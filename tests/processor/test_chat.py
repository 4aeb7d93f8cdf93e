"""Laws of the template: parsing after rendering is the identity, as ids and as a string; text is never obeyed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnie.errors import InputError
from omnie.messages import Message, Part, ToolCall, assistant, text, user
from omnie.processor import chat, tokens

from .conftest import clip, document, picture, sound, table

PIECE = st.one_of(st.text(max_size=12), st.sampled_from([*tokens.SPECIAL, "<\\|pad|>", "<\\\\/think>", "{", "ß"]))
TEXT = st.lists(PIECE, max_size=3).map("".join)
PARTS = st.lists(TEXT.map(text), max_size=3).map(tuple)
VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False), TEXT
)
CALL = st.builds(ToolCall, TEXT, st.dictionaries(TEXT, st.one_of(VALUE, st.lists(VALUE, max_size=2)), max_size=3))
TURN = st.one_of(
    st.builds(Message, st.sampled_from(["system", "user", "tool"]), PARTS),
    st.builds(Message, st.just("assistant"), PARTS, st.lists(CALL, max_size=2).map(tuple)),
)


@settings(max_examples=150, deadline=None)
@given(messages=st.lists(TURN, max_size=4), prompt=st.booleans())
def test_parse_after_render_is_the_identity(encoder, messages, prompt):
    expected = [chat.normal(message) for message in messages]
    assert encoder.parse(encoder.render(messages, prompt)) == expected
    assert encoder.parse(encoder.encode(messages, prompt)["input_ids"]) == expected


@given(value=st.lists(PIECE, max_size=5).map("".join))
def test_escape_spells_no_special_token_and_is_undone(value):
    escaped = chat.escape(value)
    assert not any(token in escaped for token in tokens.SPECIAL)
    assert chat.unescape(escaped) == value


@given(value=TEXT)
def test_the_string_and_the_ids_say_the_same(encoder, value):
    messages = [user(value), assistant("ja")]
    rendered = chat.of_text(encoder.render(messages, False))
    ids = [number for segment in rendered for number in encoder._run(segment)]
    assert ids == encoder.encode(messages, False)["input_ids"].tolist()


def test_the_template_to_the_letter(encoder):
    messages = [Message("system", (text("Kurz."),)), user("Hallo"), Message("assistant", (), (ToolCall("f", {"a": 1}),))]
    messages.append(Message("tool", (text("2"),)))
    assert encoder.render(messages) == (
        "<|begin_of_sentence|><|system|>Kurz.<|end_of_sentence|><|user|>Hallo<|end_of_sentence|>"
        '<|assistant|><tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call><|end_of_sentence|>'
        "<|tool|><tool_response>2</tool_response><|end_of_sentence|><|assistant|>"
    )


def test_media_come_back_as_parts_without_a_value(encoder):
    values = {"image": picture(64, 64), "audio": sound(3000), "video": clip(3, audio=sound(24000)), "document": document()}
    parts = [Part(kind, value) for kind, value in values.items()] + [Part("table", table())]
    parsed = encoder.parse(encoder.encode([user(*parts, "Was?")])["input_ids"])
    assert [part.kind for part in parsed[0].parts] == ["image", "audio", "video", "document", "table", "text"]
    assert parsed == encoder.parse(encoder.render([user(*parts, "Was?")]))


def test_a_reply_alone_is_an_assistant_turn(tokenizer):
    ids = [*tokenizer.encode("Rot."), tokens.ID[tokens.END]]
    assert chat.parse(ids, tokenizer) == [assistant("Rot.")]


def test_thoughts_are_no_part_of_the_answer(tokenizer):
    think = [tokens.ID["<think>"], *tokenizer.encode("hm"), tokens.ID["</think>"]]
    assert chat.parse([*think, *tokenizer.encode("Rot.")], tokenizer) == [assistant("Rot.")]


BROKEN = ["{", "[1]", '{"name": "f"}', '{"name": "f", "arguments": 3}', "", "[" * 20_000]
BROKEN += ['{"name": "f", "arguments": {"x": NaN}}', '{"name": "\\ud800", "arguments": {}}', '{"name": 1, "arguments": {}}']


@pytest.mark.parametrize("inside", BROKEN, ids=lambda inside: inside[:40])
def test_a_broken_call_of_the_model_stays_text(inside):
    parsed = chat.parse(f"<tool_call>{inside}</tool_call><|end_of_sentence|>")
    assert parsed == [assistant(inside) if inside else assistant()]


def test_what_is_never_closed_ends_with_its_turn():
    parsed = chat.parse("<|user|>a<|IMAGE_START|>b<|end_of_sentence|><|assistant|>c<tool_call>{<|user|>d<|end_of_sentence|>")
    assert parsed == [Message("user", (text("a"), Part("image", None))), assistant("c{"), user("d")]


def test_only_the_assistant_calls_tools():
    call = '{"name": "f", "arguments": {}}'
    assert chat.parse(f"<|user|><tool_call>{call}</tool_call><|end_of_sentence|>") == [user(call)]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message("root", ()), "unknown role"),
        (Message("user", (Part("smell", "x"),)), "unknown kind"),
        (Message("user", (Part("text", 3),)), "holds no text"),
        (Message("user", (Part("image", "a.png"),)), "not decoded"),
        (Message("user", (), (ToolCall("f", {}),)), "calls a tool"),
        (Message("assistant", (Part("image", picture(32, 32)),)), "holds media"),
        (Message("assistant", (), (ToolCall("f", {"x": float("nan")}),)), "not JSON"),
    ],
)
def test_what_is_no_conversation_is_refused(encoder, message, reason):
    with pytest.raises(InputError, match=reason):
        encoder.encode([message])


def test_continuing_leaves_the_last_turn_open(encoder):
    open_turn = encoder.encode([user("a"), assistant("b")], False, continue_final=True)["input_ids"]
    closed = encoder.encode([user("a"), assistant("b")], False)["input_ids"]
    assert closed.tolist() == [*open_turn.tolist(), tokens.ID[tokens.END]]
