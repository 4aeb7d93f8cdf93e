"""The tokenizer of a published folder: `tokenizer.json`, or SentencePiece's `tokenizer.model`. Text to ids and back.

Special tokens are those that the file marks so, and those that the model's config names. A prompt is given with its special
tokens spelled out; texts from users are `shield`ed first, and what stands behind a shield is text, whatever it spells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers.decoders import DecodeStream

from omnie.errors import CheckpointError, InputError, OptionError
from omnie.processor.ernie import sentencepiece

FILE, SENTENCEPIECE = "tokenizer.json", "tokenizer.model"
SHIELD = "\U0010fffe"
"""Set behind the first letter of a special token that a user's text spells. A noncharacter: no text has one."""
UNUSED = re.compile(r"unused?\b|unuse:|reserved", re.IGNORECASE)
KEPT = ("<think>", "</think>")
"""Special tokens that an answer shows: they part thoughts from the answer."""


class ErnieTokenizer:
    """Text to ids and back. Build one with `load`."""

    def __init__(self, backend: Backend, special: Iterable[str] = ()):
        backend.no_padding()
        backend.no_truncation()
        backend.add_special_tokens([token for token in special if backend.token_to_id(token) is not None])
        self.backend = backend
        self._find_special()

    def _find_special(self) -> None:
        added = self.backend.get_added_tokens_decoder()
        self.special = {token.content: number for number, token in added.items() if token.special}
        spellings = sorted(map(re.escape, self.special), key=len, reverse=True)
        self._special = re.compile("|".join(spellings) or r"(?!)")

    @classmethod
    def load(cls, folder: Path, prefix_space: bool | None = None, special: Iterable[str] = ()) -> ErnieTokenizer:
        """The tokenizer in a folder.

        Args:
            special: Tokens that are special even where the file does not mark them so.
            prefix_space: Whether a blank is set before a text; None: as a SentencePiece model says.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        file = folder / FILE
        if file.is_file():
            try:
                return cls(Backend.from_str(file.read_text("utf-8")), special)
            except Exception as error:  # the library raises bare Exception
                raise CheckpointError("tokenizer cannot be read", value=f"{file}: {error}") from None
        if (folder / SENTENCEPIECE).is_file():
            return cls(_with_added(sentencepiece.load(folder / SENTENCEPIECE, prefix_space), folder), special)
        raise CheckpointError(
            "tokenizer is missing", value=folder, allowed=f"{FILE} or {SENTENCEPIECE}", hint="copy it from where the model is"
        )

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json`."""
        self.backend.save(str(folder / FILE))

    def add(self, token: str, number: int) -> None:
        """Makes a token special; a new one gets the next free id.

        Raises:
            OptionError: it is, or would be, another id than `number`.
        """
        self.backend.add_special_tokens([token])
        if self.backend.token_to_id(token) != number:
            raise OptionError("token has another id", value=f"{token} {self.backend.token_to_id(token)}", allowed=f"{number}")
        self._find_special()

    def unused(self) -> Iterator[tuple[str, int]]:
        """Tokens that the published models keep for later, by their names; the last ones first."""
        names = self.backend.get_vocab()
        yield from sorted(((token, n) for token, n in names.items() if UNUSED.search(token)), key=lambda item: -item[1])

    def __len__(self) -> int:
        return self.backend.get_vocab_size()

    def id(self, token: str) -> int:
        """Id of a token.

        Raises:
            CheckpointError: the tokenizer has no such token.
        """
        number = self.backend.token_to_id(token)
        if number is None:
            raise CheckpointError("tokenizer lacks a special token", value=token, hint="copy the tokenizer's files again")
        return number

    def shield(self, text: str) -> str:
        """A user's text for a prompt: it spells no special token any more, and `encode` gives its letters back.

        Raises:
            InputError: the text is not valid Unicode.
        """
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise InputError("text is not valid Unicode", value=ascii(text[:40]), hint="remove lone surrogates") from None
        return self._special.sub(lambda found: found[0][0] + SHIELD + found[0][1:], text.replace(SHIELD, ""))

    def encode(self, prompt: str) -> list[int]:
        """Ids of a prompt, in which special tokens count unless they are shielded."""
        if SHIELD not in prompt:
            return self._encode(prompt, special=True)
        ids, at = [], 0
        for found in self._special.finditer(prompt):
            ids += self._encode(prompt[at : found.start()].replace(SHIELD, ""), special=False)
            ids.append(self.special[found[0]])
            at = found.end()
        return ids + self._encode(prompt[at:].replace(SHIELD, ""), special=False)

    def _encode(self, text: str, special: bool) -> list[int]:
        self.backend.encode_special_tokens = not special  # in that library's words: whether special tokens are text
        return self.backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int], *, special: bool = False) -> str:
        """Text of ids; special tokens are spelled out only if asked for."""
        return self.backend.decode(list(ids), skip_special_tokens=not special)

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Text of ids as they come: one string an id, empty while a character is still incomplete."""
        kept = {self.special[token]: token for token in KEPT if token in self.special}
        decoder, pending = DecodeStream(skip_special_tokens=True), list[int]()
        for number in ids:
            if number in kept:
                decoder, pending = DecodeStream(skip_special_tokens=True), []
                yield kept[number]
                continue
            piece = decoder.step(self.backend, number)
            pending = [] if piece else [*pending, number]
            yield piece or ""
        if pending and (rest := self.decode(pending)):
            yield rest


def _with_added(backend: Backend, folder: Path) -> Backend:
    """The encoder with the tokens that `added_tokens.json` and `tokenizer_config.json` put on top."""
    from tokenizers import AddedToken

    file = folder / "tokenizer_config.json"
    try:
        values = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        names = [values.get(f"{name}_token") for name in ("pad", "unk", "bos", "eos", "cls", "sep", "mask")]
        names += [*(values.get("additional_special_tokens") or []), *(values.get("extra_special_tokens") or [])]
        added = [AddedToken(content(name), normalized=False, special=True) for name in names if name]
        known = sorted((values.get("added_tokens_decoder") or {}).items(), key=lambda item: int(item[0]))
        added += [AddedToken(token["content"], normalized=False, special=token.get("special", True)) for _, token in known]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError("tokenizer settings cannot be read", value=f"{file}: {error}") from None
    backend.add_tokens(added)
    return backend


def content(token: object) -> str:
    """The spelling of a token in `tokenizer_config.json`: a string, or an object that has it."""
    return token["content"] if isinstance(token, dict) else str(token)
