"""How much a file may cost, and the sentences in which it is refused. Standard library only; nothing is decoded here."""

from dataclasses import asdict, dataclass, fields

from omnie.errors import MediaError, OptionError

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a single file may cost. The upper bounds are checked on headers, before anything is decoded.

    Attributes:
        bytes: Size of a file (bytes).
        text_bytes: Size of a text or CSV file, and of a document's text layer (bytes).
        megapixels: Size of a picture or of a clip's frame (millions of pixels).
        image_pixels: A larger picture is scaled down to this many pixels while it is decoded.
        seconds: Length of a sound or clip.
        frame_rate: Frames of a clip that are kept per second ...
        frames: ... and at most in all: the rate falls for longer clips, so that the whole clip is covered.
        frame_pixels: A larger frame is scaled down to this many pixels.
        pages: Pages of a document.
        page_metres: Longest side of a page on paper (m); the PDF standard ends at 5.08 m.
        page_side: Longest side of a rendered page (pixels).
        cells: Cells of a table.
        zip_bytes: What a workbook may unpack to (bytes) ...
        zip_ratio: ... and how many times its packed size that may be.
        decode_seconds: Time that decoding may take.
        memory_bytes: Address space of the process that decodes (bytes).
    """

    bytes: int = 1024 * MIB
    text_bytes: int = 4 * MIB
    megapixels: float = 64
    image_pixels: int = 4 * MIB
    seconds: float = 600
    frame_rate: float = 2
    frames: int = 240
    frame_pixels: int = 640 * 360
    pages: int = 100
    page_metres: float = 5.1
    page_side: int = 1000
    cells: int = 100_000
    zip_bytes: int = 256 * MIB
    zip_ratio: float = 200
    decode_seconds: float = 60
    memory_bytes: int = 1536 * MIB

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise OptionError(
                    f"the limit {field.name} is out of range",
                    value=getattr(self, field.name),
                    allowed="a number above 0",
                    hint="leave it out for the default",
                )

    def as_dict(self) -> dict[str, float]:
        """The limits as plain numbers; `Limits(**limits.as_dict())` equals `limits`."""
        return asdict(self)


def too_large(what: str, value: str, allowed: str, limit: str) -> MediaError:
    """The error for a file that goes over `Limits.<limit>`."""
    return MediaError(what, value=value, allowed=allowed, hint=f"make it smaller, or raise the limit '{limit}'")


def damaged(what: str, value: str) -> MediaError:
    """The error for a file that is of a known kind but does not hold together; `what` names the kind ("the PDF")."""
    return MediaError(
        f"{what} is damaged or cut off", value=value, allowed="a complete file", hint="export or download it again"
    )


def not_numbers(what: str, values: str) -> MediaError:
    """The error for a file with NaN or infinite values."""
    return MediaError(
        f"{what} holds {values} that are not numbers",
        value="NaN or infinity",
        allowed=f"finite {values}",
        hint="export it again",
    )


def encrypted(what: str) -> MediaError:
    """The error for a file that asks for a password."""
    return MediaError(
        f"{what} is encrypted", value="it asks for a password", allowed="files without one", hint="save it without"
    )


def empty(what: str, value: str) -> MediaError:
    """The error for a file that holds nothing of its kind; `what` says what is missing ("the clip has no frames")."""
    return MediaError(what, value=value, allowed="a file with content", hint="check that it was written to the end")
