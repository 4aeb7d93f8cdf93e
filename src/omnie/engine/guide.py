"""What an answer may be: JSON of a schema, or text and calls of tools. Masks over the vocabulary; no torch, no sampling here.

The grammar is followed by llguidance, which says before each token which ones keep the answer on its way. JSON is set as
training sets it: one blank behind a comma and a colon, keys in the schema's order.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer as Backend

from omnie.errors import OptionError
from omnie.messages import Tool
from omnie.processor.tokens import CALL_END, CALL_START

STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""How JSON is set."""


class Guide:
    """Follows one answer. `allowed` says which tokens may come next, `forced` which ones must, `take` which one came.

    Attributes:
        calls: Of an answer that may call one of several tools: for each of them the guide of a single call.
    """

    def __init__(self, matcher: Any, size: int, calls: Sequence["Guide"] = ()):
        from llguidance.numpy import allocate_token_bitmask

        self._matcher, self._size, self.calls = matcher, size, calls
        self._bits = allocate_token_bitmask(1, size)

    def allowed(self) -> np.ndarray:
        """bool [V]; once the answer is whole, the end token alone or what may still follow."""
        from llguidance.numpy import fill_next_token_bitmask

        fill_next_token_bitmask(self._matcher, self._bits, 0)
        return np.unpackbits(self._bits[0].view(np.uint8), count=self._size, bitorder="little").astype(bool)

    def forced(self) -> list[int]:
        """The tokens that come next whatever the model says: what a tool is called, or how a field's name goes on. Empty where
        it has a choice, and behind the answer."""
        return self._matcher.compute_ff_tokens()

    def take(self, token: int) -> None:
        """Go on behind a token."""
        self._matcher.consume_token(token)

    def copy(self) -> "Guide":
        """One that goes on from here by itself."""
        return Guide(self._matcher.deep_copy(), self._size, [guide.copy() for guide in self.calls])


class Guides:
    """Makes guides for a tokenizer."""

    def __init__(self, tokenizer: Backend, end: int):
        """`end`: id of the token that ends an answer."""
        from llguidance import LLTokenizer

        self._size = tokenizer.get_vocab_size()
        self._tokenizer = LLTokenizer(tokenizer.to_str(), n_vocab=self._size, eos_token=end)

    def json(self, schema: Mapping[str, Any]) -> Guide:
        """JSON of a JSON schema.

        Raises:
            OptionError: the schema is none, or has a keyword that cannot be obeyed.
        """
        return self._guide(f"start: %json {_styled(schema)}", "schema", schema)

    def calls(self, tools: Sequence[Tool]) -> Guide:
        """Text, or calls of these tools with arguments that fit.

        Raises:
            OptionError: a tool's parameters are no schema that can be obeyed.
        """
        single = f"start: {CALL_START} call {CALL_END}\ncall: %json "
        alone = [
            self._guide(single + _styled(_call(tool)), f"parameters of {tool.name}", tool.parameters)
            for tool in (tools if len(tools) > 1 else ())
        ]
        schema = {"anyOf": [_call(tool) for tool in tools]}
        grammar = f"start: TEXT? | ({CALL_START} call {CALL_END})+\nTEXT: /(.|\\n)+/\ncall: %json {_styled(schema)}"
        return self._guide(grammar, "parameters of " + ", ".join(tool.name for tool in tools), schema, alone)

    def _guide(self, grammar: str, what: str, value: Any, calls: Sequence[Guide] = ()) -> Guide:
        from llguidance import LLMatcher

        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if error := matcher.get_error():
            shown = json.dumps(value, ensure_ascii=False)[:80]
            raise OptionError(f"{what} cannot be obeyed", value=shown, hint=" ".join(error.split())[:200])
        return Guide(matcher, self._size, calls)


def _styled(schema: Mapping[str, Any]) -> str:
    return json.dumps({**schema, "x-guidance": STYLE}, ensure_ascii=True)


def _call(tool: Tool) -> dict[str, Any]:
    """The schema of a call: only parameters that the tool has, unless it says that it takes others."""
    arguments = {"type": "object", "properties": {}, "additionalProperties": False, **tool.parameters}
    properties = {"name": {"const": tool.name}, "arguments": arguments}
    return {"type": "object", "properties": properties, "required": ["name", "arguments"], "additionalProperties": False}
