"""Laws of the tokenizer: every text comes back, no text is obeyed, every byte has a token."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnie.errors import CheckpointError, InputError
from omnie.processor import Tokenizer, tokens

TRICKY = st.lists(st.one_of(st.text(), st.sampled_from([*tokens.SPECIAL, "\\", "<", "|>", "é", "日本", "👩‍🚀", "\r\n", "   "])))


@given(pieces=TRICKY)
def test_text_round_trips_and_never_becomes_a_special_token(tokenizer, pieces):
    value = "".join(pieces)
    ids = tokenizer.encode(value)
    assert tokenizer.decode(ids) == value
    assert all(number >= tokens.COUNT for number in ids)


def test_every_byte_is_a_token_of_its_own(tokenizer):
    single = {piece for piece in map(tokenizer._bytes.__getitem__, range(tokens.COUNT, tokens.COUNT + 256))}
    assert single == {bytes([byte]) for byte in range(256)}


def test_digits_stand_alone(tokenizer):
    assert len(tokenizer.encode("20251231")) == 8


def test_special_tokens_have_the_agreed_ids():
    assert tokens.SPECIAL[:4] == ("<|pad|>", "<|begin_of_sentence|>", "<|end_of_sentence|>", "<|system|>")
    assert (tokens.ID["<|image@placeholder|>"], tokens.ID["</think>"], len(tokens.SPECIAL)) == (8, 27, 32)


@given(value=st.text())
def test_streamed_pieces_are_the_whole(tokenizer, value):
    assert "".join(tokenizer.stream(tokenizer.encode(value))) == value


def test_a_broken_character_becomes_a_replacement_mark(tokenizer):
    assert (
        tokenizer.decode(tokenizer.encode("é")[:1] if len(tokenizer.encode("日")) == 1 else tokenizer.encode("日")[:1])
        == "\ufffd"
    )


def test_a_lone_surrogate_is_refused(tokenizer):
    with pytest.raises(InputError, match="not valid Unicode"):
        tokenizer.encode("a\ud800b")


def test_save_and_load_is_the_identity(tokenizer, tmp_path: Path):
    tokenizer.save(tmp_path / "tokenizer.json")
    again = Tokenizer.load(tmp_path)
    assert again.encode("Straße <|pad|> 12") == tokenizer.encode("Straße <|pad|> 12")
    again.save(tmp_path / "twice.json")
    assert (tmp_path / "twice.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": {"type": "BPE", "vocab": {}, "merges": []}}'])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, content: str):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError) as caught:
        Tokenizer.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_file_is_readable_by_the_library_with_special_tokens(tokenizer, tmp_path: Path):
    tokenizer.save(tmp_path / "tokenizer.json")
    added = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    assert [entry["content"] for entry in added] == list(tokens.SPECIAL)


def test_too_little_text_for_the_vocabulary_is_an_error():
    with pytest.raises(InputError, match="too little text"):
        Tokenizer.train(["ab"], 400)
