"""SentencePiece's `tokenizer.model` gives the ids of Transformers' own conversion, and odd files are refused."""

from importlib import import_module

import pytest

from omnie.errors import CheckpointError
from omnie.processor.ernie import sentencepiece
from omnie.processor.ernie.tokenizer import ErnieTokenizer

NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6
TEXTS = [
    "the cat sat", " two  blanks ", "caf\u00e9 \u4f60\u597d \U0001f697", "line\nbreak\ttab", "0123 4", "", "cats<mask:1>at",
    "<|begin_of_sentence|>the cat", "thethe the",
]  # fmt: skip


def proto(algorithm: int = 2, prefix: bool = False) -> bytes:
    """A model as SentencePiece writes it, by its own message classes (they come with Transformers)."""
    from transformers.utils import sentencepiece_model_pb2_new as pb

    model = pb.ModelProto()
    special = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL), ("<|begin_of_sentence|>", CONTROL), ("<mask:1>", USER)]
    pieces = special + [(digit, USER) for digit in "0123456789"] + [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    words = [
        "th",
        "the",
        "at",
        "\u2581c",
        "\u2581cat",
        "\u2581the",
        "\u2581\u2581",
        "sat",
        "\u2581sat",
        "he",
        "cat",
        "caf\u00e9",
        "ts",
    ]
    pieces += [(word, NORMAL) for word in words]
    pieces += [(letter, NORMAL) for letter in ["\u2581", *"abcefghinorstwlk", "\u00e9", "\u4f60", "\n"]]
    for number, (piece, kind) in enumerate(pieces):
        model.pieces.add(piece=piece, score=-float(number), type=kind)
    model.trainer_spec.model_type = algorithm
    model.normalizer_spec.add_dummy_prefix = prefix
    return model.SerializeToString()


@pytest.mark.parametrize("prefix", [False, True], ids=["no-blank", "blank-first"])
def test_ids_are_those_of_transformers_conversion(tmp_path, monkeypatch, prefix):
    from transformers import LlamaTokenizer

    conversion = import_module("transformers.convert_slow_tokenizer")
    monkeypatch.setattr(conversion, "requires_backends", lambda *_: None)  # it reads the file without the library
    (tmp_path / "tokenizer.model").write_bytes(proto(prefix=prefix))
    theirs = LlamaTokenizer.from_pretrained(tmp_path, add_bos_token=False, add_prefix_space=prefix)
    ours = ErnieTokenizer.load(tmp_path)
    for text in TEXTS:
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False), text
    for text in ("the cat sat", "caf\u00e9 \u4f60"):
        assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize("text", ["caf\u00e9 \U0001f697 x", "\u4f60\u597d", "the cat \u20ac"])
def test_text_comes_back_as_it_streams(tmp_path, text):
    (tmp_path / "tokenizer.model").write_bytes(proto())
    tokenizer = ErnieTokenizer.load(tmp_path)
    pieces = list(tokenizer.stream(tokenizer.encode(text)))
    assert "".join(pieces) == text and "\ufffd" not in "".join(pieces)


def test_what_a_user_spells_is_never_special(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(proto())
    tokenizer = ErnieTokenizer.load(tmp_path)
    spelled = "<|begin_of_sentence|> <mask:1> </s>"
    ids = tokenizer.encode("<s>" + tokenizer.shield(spelled))
    assert ids[0] == tokenizer.id("<s>") and not set(ids[1:]) & {tokenizer.id("<|begin_of_sentence|>"), tokenizer.id("</s>")}
    assert tokenizer.decode(ids, special=True) == "<s>" + spelled


@pytest.mark.parametrize("name", ["empty", "text", "cut", "unigram"])
def test_an_odd_file_is_an_error_that_names_it(tmp_path, name):
    data = {"empty": b"", "text": b"no model at all", "cut": proto()[:200], "unigram": proto(algorithm=1)}[name]
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(CheckpointError, match="tokenizer.model"):
        sentencepiece.load(tmp_path / "tokenizer.model")
