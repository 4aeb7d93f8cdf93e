"""The errors a user can meet. Standard library only; nothing here formats for a terminal.

Every message has four beats: what happened, the value that caused it, what is allowed, and a hint. `str(error)` is one line,
so the command line can print it as it is and the server can put it into a JSON body.
"""


class OmnieError(Exception):
    """Base of everything omnie raises on purpose.

    Args:
        what: What happened, in a few words ("image is too large").
        value: The offending value, as the user would recognise it ("20000 x 20000 pixels").
        allowed: What would have been accepted ("at most 64 megapixels").
        hint: What to do next ("scale it down, or raise --max-megapixels").
    """

    def __init__(self, what: str, *, value: object = None, allowed: str | None = None, hint: str | None = None):
        self.what, self.value, self.allowed, self.hint = what, value, allowed, hint
        super().__init__(self._line())

    def _line(self) -> str:
        line = self.what
        if self.value is not None:
            line += f": {self.value}"
        if self.allowed:
            line += f" (allowed: {self.allowed})"
        if self.hint:
            line += f"; {self.hint}"
        return " ".join(line.split())


class InputError(OmnieError):
    """The user's input cannot be used: a file, a message or an option is wrong."""


class MediaError(InputError):
    """A file is missing, damaged, encrypted, mislabelled, too large or of a kind that is not read."""


class OptionError(InputError):
    """An option is unknown or its value is out of range."""


class CheckpointError(OmnieError):
    """A model folder is incomplete, damaged or of a kind that this version does not load."""
