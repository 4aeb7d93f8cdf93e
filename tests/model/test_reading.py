"""What encoders read reaches the decoder as words: letters put together, items apart, and copying before any training."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from omnie.errors import CheckpointError
from omnie.inputs import AUDIO, MEL_BINS, audio_tokens
from omnie.model import config as architecture
from omnie.model.omni import Omni
from omnie.model.reading import Reading, Told, ngrams
from omnie.model.reading.spelling import Speller, table
from omnie.model.reading.words import BLANK, GAP, LETTERS, REACH, places, word_slots
from omnie.processor import Encoder
from omnie.processor.tokens import COUNT
from omnie.train import circuits
from omnie.train.stream.source import BUILT_IN

TEXTS = [
    b"<special>",
    *(bytes([letter]) for letter in range(97, 123)),
    b" ",
    b"ab",
    b"abc",
    b" a",
    b"\xc3\xb6"[:1],
    b"\xc3\xb6"[1:],
]
WORDS, SPELLER = len(TEXTS), Speller.of(table(TEXTS, 1))


def reading(steps: int = 2, flat: bool = False) -> Reading:
    torch.manual_seed(0)
    return Reading(16, steps, flat)


def say(found: Reading, letters: str, monkeypatch) -> None:
    """Makes it read one letter a step; `_` is silence."""
    classes = torch.tensor([LETTERS if letter == "_" else ord(letter) for letter in letters])
    logits = F.one_hot(classes, LETTERS + 1).float().view(-1, found.steps, LETTERS + 1)
    monkeypatch.setattr(found, "logits", lambda tokens: logits)


def read(letters: str, sizes: list[tuple[int, int, int]], monkeypatch, flat: bool = False, told: Told | None = None):
    found = reading(flat=flat)
    say(found, letters, monkeypatch)
    return found.read(torch.zeros(len(letters) // 2, 16), sizes, SPELLER, told)


def test_letters_make_the_tokens_that_the_tokenizer_makes() -> None:
    tokenizer = Encoder.load(BUILT_IN).tokenizer
    speller = Speller.of(table(tokenizer.texts, COUNT).bfloat16())
    for text in ("Förund kostet 1,99 €.", "battery pencil: 17", " two blanks ", "<|user|> is a text", "Straße/Weg no. 5", ""):
        found = speller.words(text.encode())
        assert [word for word, _ in found] == tokenizer.encode(text)
        letters = text.encode()
        assert all(letters[at:].startswith(tokenizer.texts[word]) for word, at in found)


def test_a_letter_that_lasts_is_one_and_silence_parts_equal_ones(monkeypatch) -> None:
    found = read("_aab__bb_b", [(1, 1, 5)], monkeypatch)
    assert [TEXTS[word] for word in found.words] == [b"ab", b"b", b"b"]
    assert found.tokens.tolist() == [0, 3, 4]


def test_rows_and_wide_gaps_part_texts_in_pictures_and_not_in_sound(monkeypatch) -> None:
    wide = "a" + "_" * GAP + "b"
    wide += "_" * (len(wide) % 2)
    columns = len(wide) // 2
    assert len(read(wide, [(1, 1, columns)], monkeypatch, flat=True).words) == 2
    assert len(read(wide, [(1, 1, columns)], monkeypatch).words) == 1
    assert len(read("_ab_", [(1, 2, 1)], monkeypatch, flat=True).words) == 2  # one row ends between them
    assert len(read("_ab_", [(1, 1, 2)], monkeypatch, flat=True).words) == 1
    assert len(read("_ab_", [(1, 1, 1), (1, 1, 1)], monkeypatch).words) == 2  # two recordings


PARTED = Speller.of(table([*TEXTS, b"\n", b" |"], 1))
BREAK, BAR = WORDS, WORDS + 1


def parted(letters: str, sizes: list[tuple[int, int, int]], monkeypatch, flat: bool = True) -> tuple[list[str], list[int]]:
    """What is read with a vocabulary that has a line break and a bar, and the tokens of its words."""
    found = reading(flat=flat)
    say(found, letters, monkeypatch)
    words = found.read(torch.zeros(len(letters) // 2, 16), sizes, PARTED)
    assert len(words.slots) == len(words.last) == len(words.words)
    return [{BREAK: "\n", BAR: "|"}.get(int(word)) or TEXTS[word].decode() for word in words.words], words.tokens.tolist()


def test_texts_of_a_picture_are_parted_by_breaks_and_bars_and_recordings_by_none(monkeypatch) -> None:
    row = "c_" + "_" * GAP + "d___"
    assert len(row) % 4 == 2
    row += "__"
    columns = len(row) // 2
    assert parted(2 * row, [(1, 2, columns)], monkeypatch)[0] == ["c", "|", "d", "\n", "c", "|", "d"]
    assert parted(2 * row, [(1, 2, columns)], monkeypatch)[1] == [0, 7, 7, columns, columns, columns + 7, columns + 7]
    assert parted(2 * row, [(1, 2, columns)], monkeypatch, flat=False)[0] == ["c", "d", "c", "d"]


def test_a_tab_parts_texts_that_stand_close_in_pictures(monkeypatch) -> None:
    assert parted("cd\tef\t" + 6 * "_", [(1, 1, 6)], monkeypatch)[0] == ["c", "d", "|", "e", "f"]
    assert parted("cd______\te\tf____", [(1, 2, 4)], monkeypatch)[0] == ["c", "d", "\n", "e", "|", "f"]


def test_nothing_stands_before_the_first_text_of_a_frame(monkeypatch) -> None:
    assert parted("c___d_____", [(1, 1, 5)], monkeypatch)[0] == ["c", "d"]  # one text
    assert parted("c___d___", [(2, 1, 2)], monkeypatch)[0] == ["c", "d"]  # two frames
    assert parted("c___d___", [(1, 1, 2), (1, 1, 2)], monkeypatch)[0] == ["c", "d"]  # two pictures


def test_a_crowded_picture_does_without_bars_and_then_without_breaks(monkeypatch) -> None:
    def marks(left: str, right: str, rows: int) -> str:
        row = left + "_" * (GAP + 1) + right
        row += "_" * (len(row) % 2)
        said = parted(row * rows, [(1, rows, len(row) // 2)], monkeypatch)[0]
        assert [word for word in said if word not in "\n|"] == list(left + right) * rows
        return "".join(word for word in said if word in "\n|")

    def texts(words: int) -> tuple[str, str]:
        letters = ("cdefghi" * 6)[:words]
        return letters[: words // 2], letters[words // 2 :]

    assert marks(*texts(38), 1) == "|"  # 38 words in 26 tokens
    assert marks(*texts(39), 1) == ""  # half as many more than tokens
    assert marks(*texts(38), 2) == "\n"  # 76 words in 52: a break, but not two bars
    assert marks(*texts(36), 2) == "|\n|"  # 72 in 50
    assert parted("cdefghi_" * 2, [(1, 2, 4)], monkeypatch)[0] == list("cdefghi" * 2)  # 14 words in 8


def test_a_vocabulary_without_marks_parts_nothing(monkeypatch) -> None:
    assert [TEXTS[word] for word in read("c___d___", [(1, 2, 2)], monkeypatch, flat=True).words] == [b"c", b"d"]


def test_told_texts_are_parted_too(monkeypatch) -> None:
    found = reading(flat=True)
    say(found, "________", monkeypatch)
    words, first = torch.tensor([3, 4, 5]), torch.tensor([True, False, True])
    told = Told(torch.ones(8, dtype=torch.bool), torch.tensor([0, 2, 4]), words, first)
    assert found.read(torch.zeros(4, 16), [(1, 2, 2)], PARTED, told).words.tolist() == [3, 4, BREAK, 5]


def test_bytes_that_make_no_token_are_passed_over(monkeypatch) -> None:
    assert [TEXTS[word] for word in read("a!b_", [(1, 1, 2)], monkeypatch).words] == [b"a", b"b"]


def test_a_word_brings_the_two_before_it(monkeypatch) -> None:
    found = read("c_d_e_f_", [(1, 1, 2), (1, 1, 2)], monkeypatch)
    assert found.last.tolist() == [-1, 0, -1, 2] and found.last_but_one.tolist() == [-1, -1, -1, -1]
    found = read("c_d_e_f_", [(1, 1, 4)], monkeypatch)
    assert found.last.tolist() == [-1, 0, 1, 2] and found.last_but_one.tolist() == [-1, -1, 0, 1]


def test_a_word_is_forgotten_after_its_reach_and_not_before(monkeypatch) -> None:
    for gap, last in ((REACH, 0), (REACH + 2, -1)):
        letters = "c" + "_" * (gap - 1) + "d_"
        letters += "_" * (len(letters) % 2)
        assert read(letters, [(1, 1, len(letters) // 2)], monkeypatch).last.tolist() == [-1, last]


def test_what_is_read_is_added_as_its_embedding(monkeypatch) -> None:
    """The n-th word goes to the n-th token."""
    found, words = reading(), torch.randn(WORDS, 16)
    torch.nn.init.zeros_(found.before.weight)
    say(found, "_a__c_", monkeypatch)
    added = found(torch.zeros(3, 16), [(1, 1, 3)], words, SPELLER)
    assert torch.allclose(added, torch.stack([words[1], words[3], torch.zeros(16)]), atol=1e-6)


def test_words_and_what_came_before_them_get_gradients(monkeypatch) -> None:
    found, words = reading(flat=True), torch.randn(WORDS, 16, requires_grad=True)
    say(found, "c_d_", monkeypatch)
    found(torch.zeros(2, 16), [(1, 1, 2)], words, SPELLER).square().sum().backward()
    assert words.grad is not None and words.grad[[3, 4]].abs().min() > 0 and not words.grad[0].any()
    assert all(p.weight.grad.abs().max() > 0 for p in (found.recall, found.before, found.source, found.place))


def test_items_are_read_apart_and_in_pieces_alike(monkeypatch) -> None:
    found = reading(4, flat=True)
    torch.nn.init.normal_(found.letter_head.weight)
    torch.nn.init.zeros_(found.letter_head.bias)
    with torch.no_grad():
        found.letter_head.bias[97:123] = 8.0
    tokens, words = torch.randn(50, 16), torch.randn(WORDS, 16)
    counts = [7, 30, 13]
    sizes = [(1, 1, 7), (2, 3, 5), (1, 1, 13)]
    with torch.no_grad():
        whole = found(tokens, sizes, words, SPELLER)
        alone = [found(part, [size], words, SPELLER) for part, size in zip(tokens.split(counts), sizes, strict=True)]
        monkeypatch.setattr("omnie.model.reading.words.CHUNK", 8)
        pieces = found(tokens, sizes, words, SPELLER)
    assert torch.allclose(whole, torch.cat(alone), atol=1e-5)
    assert torch.allclose(whole, pieces, atol=1e-5)
    assert not torch.allclose(whole, tokens, atol=0.5)


def test_a_fresh_model_says_nothing() -> None:
    found, tokens = Reading(16, 2), torch.randn(5, 16)
    torch.nn.init.constant_(found.letter_head.bias[-1:], BLANK)
    assert torch.equal(found(tokens, [(1, 1, 5)], torch.randn(WORDS, 16), SPELLER), tokens)
    assert not len(found.read(tokens[:0], [], SPELLER).words)


def test_places_are_shares_of_the_picture() -> None:
    found = places([(2, 2, 3), (1, 4, 3)])
    assert found.shape == (24, 8)
    assert torch.equal(found[:6], found[6:12])  # the second frame is like the first
    down, across = torch.tensor([0.25, 0.75]), torch.tensor([1 / 6, 1 / 2, 5 / 6])
    assert torch.allclose(found[:6, 0].view(2, 3), torch.cos(torch.pi * down)[:, None].expand(2, 3), atol=1e-6)
    assert torch.allclose(found[:6, 4].view(2, 3), torch.cos(torch.pi * across).expand(2, 3), atol=1e-6)


def slots(tokens: list[int], spans: list[int]) -> list[int]:
    return word_slots(np.array(tokens), spans).tolist()


def test_the_nth_word_of_a_span_goes_to_its_nth_token() -> None:
    assert slots([1, 2, 3], [4]) == [0, 1, 2]
    assert slots([0, 2, 2], [1, 2]) == [0, 1, 2]  # spans are counted apart
    assert slots([], [3]) == []


def test_more_words_than_tokens_stand_together_with_their_neighbours() -> None:
    assert slots([0, 0, 0, 0, 1], [2]) == [0, 0, 0, 1, 1]
    assert slots([0, 0, 0, 0], [1]) == [0, 0, 0, 0]
    assert slots([0, 1, 1, 2, 3, 3, 3], [6]) == [0, 0, 1, 2, 3, 4, 5]  # only as many as must share


def test_long_sound_keeps_its_words_near_their_time(monkeypatch) -> None:
    monkeypatch.setattr("omnie.model.reading.words.SPAN", 2)
    assert Reading(16, 2)._spans([(1, 1, 5), (1, 1, 2)]) == [2, 2, 1, 2]
    assert Reading(16, 2, flat=True)._spans([(2, 3, 5), (1, 1, 2)]) == [15, 15, 2]


def test_told_words_are_read_whatever_the_tokens_say(monkeypatch) -> None:
    told = Told(
        torch.tensor([False, False, True, True, True, True, False, False]),
        torch.tensor([4]),
        torch.tensor([28]),
        torch.ones(1, dtype=torch.bool),
    )
    found = read("cdefghi_", [(1, 1, 4)], monkeypatch, told=told)
    assert [TEXTS[word] for word in found.words] == [b"c", b"d", TEXTS[28], b"i"] and found.tokens.tolist() == [0, 0, 2, 3]


@pytest.mark.parametrize("crowded", [False, True])
def test_a_fresh_decoder_copies_what_a_recording_says(crowded: bool) -> None:
    """With a reading that is right, the layers that copy text copy speech, before anything was learned; also where two words
    are read in one token and none in the next three."""
    torch.manual_seed(0)
    model = Omni(architecture.architecture("nano")).eval()
    circuits.install(model)
    passage = torch.randint(60, 1024, (40,), generator=torch.Generator().manual_seed(1))
    mel = 8 * 80
    tokens, steps = audio_tokens(mel), model.config.reading["audio"]
    at = torch.tensor([16 * (n // 2) + 2 * (n % 2) if crowded else 8 * n + 3 for n in range(40)])  # one word in two tokens
    told = Told(torch.ones(tokens * steps, dtype=torch.bool), at, passage, torch.arange(40) == 0)
    ids = torch.cat([torch.zeros(tokens, dtype=torch.long), passage])[None]
    with torch.no_grad():
        logits = model(
            ids,
            torch.arange(ids.shape[1])[None, :, None].expand(1, -1, 3),
            mm_token_type_ids=torch.tensor([[AUDIO] * tokens + [0] * 40]),
            input_features=torch.randn(mel, MEL_BINS),
            audio_lengths=torch.tensor([mel]),
            told={"audio": told},
        ).logits[0, tokens:-1]
    assert (logits.argmax(-1) == passage[1:]).float().mean() > 0.7
    assert F.cross_entropy(logits, passage[1:]) < 4.0  # 6.9 by chance


@pytest.mark.parametrize(
    "wrong",
    [
        *({"video": 2}, {"image": 0}, {"image": 65}, {"audio": 1.5}, ["image"], 3),
        *({"written": 9}, {"image": 8, "spoken": 9}, {"image": 8, "written": 0}, {"audio": 8, "spoken": 2**23}),
    ],
)
def test_readings_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(CheckpointError, match="reading"):
        architecture.Architecture(reading=wrong).check()


def test_what_is_usually_read_decides_where_letters_are_doubted(monkeypatch) -> None:
    steps = [{ord("a"): 1.0}, {LETTERS: 1.0}, {ord("b"): 0.45, ord("c"): 0.55}, {ord("c"): 1.0}]
    shares = torch.full((2, 2, LETTERS + 1), 1e-9)
    for row, known in zip(shares.flatten(0, 1), steps, strict=True):
        for letter, share in known.items():
            row[letter] = share
    plain, usual = reading(), Reading(16, 2, ngrams=20)
    usual.ngrams[:] = ngrams.table([b"abc"] * 9, 20)
    for found, said in ((plain, [b"a", b"c"]), (usual, [b"abc"]), (Reading(16, 2, ngrams=20), [b"a", b"c"])):
        monkeypatch.setattr(found, "logits", lambda tokens: shares.log())
        words = found.read(torch.zeros(2, 16), [(1, 1, 2)], SPELLER)
        assert [TEXTS[word] for word in words.words] == said
