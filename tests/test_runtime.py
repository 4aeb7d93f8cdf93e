"""The runtime on the toy model: deltas join to the answer, counts and timings are true, characters arrive whole."""

import time

import numpy as np
import pytest

from omnie.engine.request import SamplingOptions
from omnie.errors import InputError, OptionError
from omnie.media import Audio, Image, as_part
from omnie.messages import Part, Tool, ToolCall, user
from omnie.processor.tokens import CALL_END, CALL_START, ID
from omnie.quantise.convert import quantise
from omnie.runtime import Clock, Runtime, media_tokens


@pytest.fixture(scope="module")
def runtime(toy_folder) -> Runtime:
    return Runtime(toy_folder)


def picture() -> Part:
    return as_part(Image(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)))


def sound() -> Part:
    return as_part(Audio(np.sin(np.arange(16_000) / 20).astype(np.float32)))


MESSAGE = [user("Größe?")]
FEW = SamplingOptions(max_tokens=12)


def test_deltas_join_to_the_answer(runtime):
    deltas = list(runtime.stream(MESSAGE, FEW))
    assert "".join(delta.text for delta in deltas) == runtime.answer(MESSAGE, FEW).text != ""
    assert all(delta.text and delta.usage is None for delta in deltas[:-1])
    assert deltas[-1].usage and deltas[-1].timings and deltas[-1].finish
    assert 0 < deltas[-1].confidence < 1 and all(delta.confidence is None for delta in deltas[:-1])
    assert runtime.answer(MESSAGE, FEW).confidence == deltas[-1].confidence


def test_deltas_come_as_tokens_do(runtime):
    stream = runtime.stream(MESSAGE, SamplingOptions(max_tokens=4000))
    start = time.perf_counter()
    next(stream)
    assert time.perf_counter() - start < 5
    stream.close()


def test_usage_counts_each_modality(runtime):
    message = user(picture(), sound(), "What?")
    usage = runtime.answer([message], FEW).usage
    assert usage.media == {"image": 24, "audio": 13}
    assert usage.prompt == len(runtime.processor.encode([message])["input_ids"])
    assert usage.completion == 12


def test_the_answer_depends_on_each_part(runtime):
    answers = {
        runtime.answer([user(*parts)], FEW).text
        for parts in (["What?"], [picture(), "What?"], [sound(), "What?"], [picture(), sound(), "What?"], ["Why?"])
    }
    assert len(answers) == 5


def test_a_full_answer_says_length_and_a_stopped_one_stop(runtime, monkeypatch):
    assert runtime.answer(MESSAGE, FEW).finish == "length"
    ids = list(runtime.engine.generate(request(runtime, FEW)))
    monkeypatch.setattr(runtime.processor, "stop", frozenset({ids[5]}))
    stopped = runtime.answer(MESSAGE, FEW)
    assert stopped.finish == "stop" and stopped.usage.completion == ids.index(ids[5])


def request(runtime, options):
    from omnie.engine.request import Request

    return Request(runtime.processor.encode(MESSAGE), options)


def test_timings_add_up_to_the_time_that_passed(runtime):
    start = time.perf_counter()
    timings = runtime.answer(MESSAGE, FEW).timings
    passed = time.perf_counter() - start
    assert timings.encode + timings.prefill + timings.decode == pytest.approx(passed, rel=0.2, abs=0.02)
    assert timings.tokens_per_second == pytest.approx(11 / timings.decode)


def test_with_several_looks_all_time_is_before_the_first_token(toy_folder):
    looking = Runtime(toy_folder, looks=2)
    start = time.perf_counter()
    answer = looking.answer([user(picture(), "What?")], FEW)
    timings, passed = answer.timings, time.perf_counter() - start
    assert timings.decode == 0 < timings.prefill < passed and answer.looks == 2
    assert timings.tokens_per_second == pytest.approx(answer.usage.completion / timings.prefill)


@pytest.mark.parametrize(
    "ids", [[0xC3, 0xA4], [0xF0, 0x9F, 0x99, 0x82], [0xC3], [0xFF, 0x41]], ids=["ä", "emoji", "cut", "bad"]
)
def test_characters_arrive_whole(runtime, monkeypatch, ids):
    """Byte tokens, one at a time: never half a character, and together what `decode` says."""
    letters = {token: number for number in range(32, 288) for token in [runtime.processor.tokenizer._bytes[number]]}
    tokens = [letters[bytes([byte])] for byte in ids]
    monkeypatch.setattr(runtime.engine, "generate", lambda request, *_: iter(tokens))
    texts = [delta.text for delta in runtime.stream(MESSAGE, FEW)]
    assert "".join(texts) == runtime.processor.decode(tokens) == bytes(ids).decode("utf-8", "replace")
    assert all("\ufffd" not in text for text in texts) or b"\xff" in bytes(ids) or len(ids) == 1


def test_a_prompt_beyond_the_context_is_refused(runtime):
    with pytest.raises(InputError, match="too long"):
        runtime.answer([user("word " * 10_000)], FEW)


def test_media_tokens_name_only_what_occurs():
    assert media_tokens({"mm_token_type_ids": np.array([0, 0, 3, 1, 3])}) == {"image": 1, "audio": 2}


def test_the_clock_laps():
    clock = Clock()
    time.sleep(0.02)
    assert clock.lap() >= 0.02 and clock.lap() < 0.02


def test_activations_of_4_bit_products_are_chosen(toy_folder, tmp_path):
    """And refused, with what would help, where there are no such products, or no such activations."""
    quantise(toy_folder, tmp_path / "packed")
    for kind in ("int8", "float"):
        model = Runtime(tmp_path / "packed", activations=kind).model
        assert {module.activations for module in model.modules() if hasattr(module, "activations")} == {kind}
    with pytest.raises(OptionError, match="activations are for 4-bit matrices.*omnie quantize"):
        Runtime(toy_folder, activations="float")
    with pytest.raises(OptionError, match="unknown activations.*bf16.*int8"):
        Runtime(tmp_path / "packed", activations="bf16")


TAXI = Tool("taxi", "Orders a taxi", {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]})
CALL = '{"name": "taxi", "arguments": {"at": "Bonn"}}'


def says(monkeypatch, runtime, *pieces: str) -> None:
    """Lets the engine say these texts and special tokens."""
    ids = [n for piece in pieces for n in ([ID[piece]] if piece in ID else runtime.processor.tokenizer.encode(piece))]
    monkeypatch.setattr(runtime.engine, "generate", lambda request, *_: iter(ids))


def test_a_call_is_no_text(runtime, monkeypatch):
    says(monkeypatch, runtime, CALL_START, CALL, CALL_END)
    answer = runtime.answer(MESSAGE, FEW, tools=[TAXI])
    assert (answer.text, answer.calls) == ("", (ToolCall("taxi", {"at": "Bonn"}),))


def test_text_beside_offered_tools_stays_text(runtime, monkeypatch):
    says(monkeypatch, runtime, "Das kann keines.")
    answer = runtime.answer(MESSAGE, FEW, tools=[TAXI])
    assert (answer.text, answer.calls) == ("Das kann keines.", ())


def test_a_call_that_is_cut_off_is_shown_as_it_is(runtime, monkeypatch):
    says(monkeypatch, runtime, CALL_START, CALL[:20])
    answer = runtime.answer(MESSAGE, FEW, tools=[TAXI])
    assert (answer.text, answer.calls) == (CALL[:20], ())


def test_the_engine_is_guided(runtime):
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
    answer = runtime.answer(MESSAGE, SamplingOptions(max_tokens=40), schema=schema)
    assert answer.text in ('{"n": 1}', '{"n": 2}') and answer.finish == "stop"


def test_tools_and_a_schema_exclude_each_other(runtime):
    with pytest.raises(OptionError, match="exclude"):
        runtime.answer(MESSAGE, FEW, tools=[TAXI], schema={"type": "object"})


def test_offered_tools_are_read(runtime):
    more = runtime.answer(MESSAGE, FEW, tools=[TAXI]).usage.prompt - runtime.answer(MESSAGE, FEW).usage.prompt
    assert more == len(runtime.processor.tokenizer.encode("taxi(at): Orders a taxi")) + 2
