"""Byte-level BPE over the `tokenizers` library: training, loading, text to ids and ids to text. No chat structure here.

Every byte has a token, so every text can be written and comes back exactly; there is no normalisation. A text can never
produce a special id: `encode` runs with the special tokens switched off, and no merge can spell one because the merges are
learned inside the pieces that `PIECES` cuts.
"""

import codecs
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from omnie.errors import CheckpointError, InputError
from omnie.processor import tokens

PIECES = r"\p{N}| ?\p{L}[\p{L}\p{M}]*| ?[^\s\p{L}\p{N}]{1,3}|\r?\n| +(?=\S)|\s+"
"""Where merges may not cross, in order of preference: one digit; a word with the space before it; up to three signs (German
quotes, JSON's `":"`); a line break; spaces. Accents written apart stay with their letter."""


def _byte_letters() -> dict[str, int]:
    """The letter by which byte-level BPE writes each byte (printable Latin-1 as itself, the others from U+0100 on)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


class Tokenizer:
    """Text to ids and back. Build one with `load` or `train`."""

    def __init__(self, backend: Backend):
        for token, number in tokens.ID.items():
            if backend.token_to_id(token) != number:
                raise CheckpointError(
                    "tokenizer lacks a special token", value=f"{token} as id {number}", hint="train it with omnie.processor"
                )
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True  # "special tokens in a text are text" in that library's words
        self.backend = backend
        self._bytes = self._byte_table()

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """The tokenizer in a `tokenizer.json`, or in the folder that holds one."""
        path = Path(path)
        file = path / "tokenizer.json" if path.is_dir() else path
        if not file.is_file():
            raise CheckpointError("tokenizer is missing", value=file, hint="give a model folder that holds tokenizer.json")
        try:
            return cls(Backend.from_str(file.read_text(encoding="utf-8")))
        except CheckpointError:
            raise
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError("tokenizer cannot be read", value=f"{file}: {error}") from None

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary: int) -> "Tokenizer":
        """Learn merges from texts until there are exactly `vocabulary` tokens.

        Raises:
            InputError: The texts hold too few pairs for that many tokens.
        """
        backend = Backend(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[AddedToken(token, special=True, normalized=False) for token in tokens.SPECIAL],
            initial_alphabet=sorted(_byte_letters()),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        if backend.get_vocab_size() != vocabulary:
            raise InputError("too little text for the vocabulary", value=backend.get_vocab_size(), allowed=str(vocabulary))
        return cls(backend)

    def save(self, path: str | Path) -> None:
        """Write `tokenizer.json` (readable by `tokenizers` and Transformers)."""
        data = json.loads(self.backend.to_str())
        Path(path).write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def texts(self) -> Sequence[bytes]:
        """The bytes of every id; of a special token, its name's."""
        return self._bytes

    def encode(self, text: str) -> list[int]:
        """Ids of a text; never a special id, whatever the text says.

        Raises:
            InputError: The text is not valid Unicode (a lone surrogate).
        """
        try:
            return self.backend.encode(text, add_special_tokens=False).ids
        except (TypeError, UnicodeEncodeError):
            raise InputError("text is not valid Unicode", value=ascii(text[:40]), hint="remove lone surrogates") from None

    def decode(self, ids: Iterable[int], *, special: bool = False) -> str:
        """Text of ids. Bytes that are not UTF-8 become U+FFFD; special tokens are spelled out only if asked for."""
        return b"".join(self._pieces(ids, special)).decode("utf-8", errors="replace")

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """Text of ids as they come: one string an id, empty while a character is still incomplete."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for piece in self._pieces(ids, special=False):
            yield decoder.decode(piece)
        rest = decoder.decode(b"", final=True)
        if rest:
            yield rest

    def _pieces(self, ids: Iterable[int], special: bool) -> Iterator[bytes]:
        for number in ids:
            if special or number >= tokens.COUNT:
                yield self._bytes[number]
            else:
                yield b""

    def _byte_table(self) -> Sequence[bytes]:
        letters = _byte_letters()
        table = [token.encode() for token in tokens.SPECIAL]
        for number in range(tokens.COUNT, self.backend.get_vocab_size()):
            token = self.backend.id_to_token(number)
            if token is None or not letters.keys() >= set(token):
                raise CheckpointError("tokenizer holds a token that is no bytes", value=f"{token} as id {number}")
            table.append(bytes(letters[letter] for letter in token))
        return table
