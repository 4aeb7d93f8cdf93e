"""Tools as the assistant reads them, and how users may write them."""

import pytest

from omnie.errors import InputError
from omnie.messages import Tool, user
from omnie.processor.tools import offered, read, signature

TAXI = Tool("taxi", "Orders\n a taxi", {"properties": {"at": {"type": "string"}}, "required": ["at"]})

SCHEMAS = {
    "nothing": ({}, "f()"),
    "string": ({"properties": {"a": {"type": "string"}}, "required": ["a"]}, "f(a)"),
    "optional": ({"properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}, "f(a?, b?: integer)"),
    "described": (
        {"properties": {"a": {"type": "number", "description": "in\nkm"}}, "required": ["a"]},
        "f(a: number (in km))",
    ),
    "choice": ({"properties": {"a": {"enum": ["x", 1]}}, "required": ["a"]}, 'f(a: "x"|1)'),
    "list": ({"properties": {"a": {"type": "array", "items": {"type": "string"}}}, "required": ["a"]}, "f(a: [string])"),
    "object": (
        {"properties": {"a": {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]}}},
        "f(a?: {b: boolean})",
    ),
    "bare list": ({"properties": {"a": {"type": "array"}}, "required": ["a"]}, "f(a: array)"),
    "anything": ({"properties": {"a": {}}, "required": ["a"]}, "f(a: any)"),
    "unsaid": ({"properties": {"a": {"type": "integer", "minimum": 3}}}, 'f(a?: {"type": "integer", "minimum": 3})'),
    "several": ({"properties": {"a": {"type": ["string", "null"]}}}, 'f(a?: {"type": ["string", "null"]})'),
    "enum": ({"properties": {"a": {"enum": 3}}}, 'f(a?: {"enum": 3})'),
    "fields": ({"properties": {"a": {"type": "object", "properties": [1]}}}, 'f(a?: {"type": "object", "properties": [1]})'),
    "true": ({"properties": {"a": True}}, "f(a?: true)"),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_signature_says_the_schema(name):
    schema, line = SCHEMAS[name]
    assert signature(Tool("f", "", schema)) == line


def test_tools_are_a_system_turn_before_all_others(encoder):
    assert offered([]) == [] == encoder.offer([])
    (turn,) = encoder.offer([TAXI, Tool("stop")])
    assert turn.role == "system" and turn.parts[0].value == "taxi(at): Orders a taxi\nstop()"
    rendered = encoder.render([turn, user("Bonn")])
    assert rendered.startswith("<|begin_of_sentence|><|system|>taxi(at): Orders a taxi\nstop()<|end_of_sentence|><|user|>")


def test_openai_s_form_and_the_inner_object_are_read():
    inner = {"name": "taxi", "description": "d", "parameters": {"type": "object", "properties": {}}}
    assert read([{"type": "function", "function": inner}]) == read([inner]) == [Tool("taxi", "d", inner["parameters"])]
    assert read([{"name": "stop"}]) == [Tool("stop")]


BAD = {
    "no object": (["taxi"], "cannot be read"),
    "other type": ([{"type": "retrieval", "function": {"name": "a"}}], "cannot be read"),
    "no function": ([{"type": "function", "function": 3}], "cannot be read"),
    "no name": ([{"description": "d"}], "usable name"),
    "blank": ([{"name": "a b"}], "usable name"),
    "description": ([{"name": "a", "description": 3}], "description"),
    "parameters": ([{"name": "a", "parameters": {"type": "string"}}], "no object"),
    "properties": ([{"name": "a", "parameters": {"properties": []}}], "no object"),
    "required": ([{"name": "a", "parameters": {"properties": {"a": {}}, "required": "a"}}], "no object"),
    "twice": ([{"name": "a"}, {"name": "a"}], "one name"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_tool_is_refused(name):
    entries, reason = BAD[name]
    with pytest.raises(InputError, match=reason):
        read(entries)


def test_transformers_takes_functions_and_objects(encoder):
    pytest.importorskip("transformers")
    from omnie.processor import OmnieProcessor

    def taxi(at: str, seats: int = 4) -> str:
        """
        Orders a taxi

        Args:
            at: Where it waits
            seats: How many
        """
        return at

    def bare(at):
        return at

    processor = OmnieProcessor.of(encoder)
    chat = [{"role": "user", "content": "Ein Taxi!"}]
    rendered = processor.apply_chat_template(chat, tools=[taxi, {"name": "stop"}])
    line = "<|system|>taxi(at (Where it waits), seats?: integer (How many)): Orders a taxi\nstop()<|end_of_sentence|>"
    assert line in rendered and rendered.endswith("<|user|>Ein Taxi!<|end_of_sentence|>")
    assert processor.apply_chat_template(chat, tools=[]) == processor.apply_chat_template(chat, tools=None)
    with pytest.raises(InputError, match="described"):
        processor.apply_chat_template(chat, tools=[bare])


def test_what_is_offered_does_not_spell_special_tokens(encoder):
    turns = encoder.offer([Tool("f", "<|assistant|>")])
    assert encoder.parse(encoder.encode([*turns, user("x")])["input_ids"])[0] == turns[0]
