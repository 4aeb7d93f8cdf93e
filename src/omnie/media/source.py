"""The only place that opens a path, a data URL or bytes. Nothing is fetched from a network, and nothing is decoded.

Whatever the reference is, the decoders get an open regular file: memory becomes an anonymous file that vanishes with its last
descriptor, so nothing is left behind even when a process is killed.
"""

import binascii
import errno
import os
import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from omnie.errors import MediaError
from omnie.media.limits import Limits, damaged, empty, too_large

Reference = str | os.PathLike[str] | bytes | bytearray | memoryview

ACCEPTED = "a file, a data: URL or bytes"
_REMOTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


@dataclass(frozen=True)
class Source:
    """An open regular file. `descriptor` belongs to the receiver, who closes it; `name` is how errors call it."""

    descriptor: int
    name: str
    size: int

    @property
    def stem(self) -> str:
        """The file's name without folder and suffix; empty for memory."""
        return Path(self.name).stem


def open_source(reference: Reference, limits: Limits) -> Source:
    """Open a reference for reading.

    Raises:
        MediaError: It is missing, empty, no regular file, over `limits.bytes`, remote, or a data URL that is not valid.
    """
    if isinstance(reference, bytes | bytearray | memoryview):
        return _from_memory(bytes(reference), "bytes in memory", limits)
    name = os.fspath(reference) if isinstance(reference, str | os.PathLike) else None
    if not isinstance(name, str):
        raise MediaError("this reference is not read", value=type(reference).__name__, allowed=ACCEPTED, hint="pass a path")
    if isinstance(reference, str) and name[:5].lower() == "data:":
        return _from_memory(_data_url(name, limits), f"{printable(name[:40])}...", limits)
    if isinstance(reference, str) and _REMOTE.match(name):
        raise MediaError(
            "remote addresses are not fetched", value=printable(name), allowed=ACCEPTED, hint="download it and give its path"
        )
    return _from_path(name, limits)


def printable(name: str) -> str:
    """A file name that can be shown in one line of a terminal: no control characters, no broken encoding, not too long."""
    shown = "".join(character if character.isprintable() else "?" for character in name)
    return shown if len(shown) <= 200 else f"{shown[:120]}...{shown[-60:]}"


def anonymous_file(label: str) -> int:
    """The descriptor of a new, empty file without a name; in memory where the system offers that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(label, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _from_path(name: str, limits: Limits) -> Source:
    shown = printable(name)
    try:
        # Looked at before it is opened, because opening a device can already act on it; and opened without blocking, because
        # a pipe would wait for its writer.
        _check(os.stat(name), shown, limits)
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _cannot_open(shown, error) from error
    try:
        return Source(descriptor, shown, _check(os.fstat(descriptor), shown, limits))
    except MediaError:
        os.close(descriptor)
        raise


def _check(status: os.stat_result, name: str, limits: Limits) -> int:
    if not stat.S_ISREG(status.st_mode):
        found = _NODE.get(stat.S_IFMT(status.st_mode), "something else")
        raise MediaError("this is not a regular file", value=f"{name}: {found}", allowed=ACCEPTED, hint="give a file")
    return _check_size(status.st_size, name, limits)


_NODE = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def _check_size(size: int, name: str, limits: Limits) -> int:
    if size == 0:
        raise empty("the file is empty", name)
    if size > limits.bytes:
        raise too_large("the file is too large", f"{name}: {size:,} bytes", f"at most {limits.bytes:,} bytes", "bytes")
    return size


def _cannot_open(name: str, error: OSError | ValueError) -> MediaError:
    what, hint = {
        errno.ENOENT: ("the file does not exist", "check the spelling and the folder"),
        errno.ENOTDIR: ("the file does not exist", "a part of its path is not a folder"),
        errno.EACCES: ("the file may not be read", "check its permissions"),
        errno.EPERM: ("the file may not be read", "check its permissions"),
        errno.ELOOP: ("the link leads in a circle", "give the file that it should lead to"),
        errno.ENAMETOOLONG: ("the file name is too long", "check that it is a path"),
    }.get(getattr(error, "errno", None) or 0, ("the file cannot be opened", "check the path"))
    return MediaError(what, value=name, allowed="a file that can be read", hint=hint)


def _from_memory(data: bytes, name: str, limits: Limits) -> Source:
    size = _check_size(len(data), name, limits)
    descriptor = anonymous_file("omnie-input")
    try:
        write_all(descriptor, memoryview(data))
    except OSError as error:
        os.close(descriptor)
        raise _cannot_open(name, error) from error
    return Source(descriptor, name, size)


def write_all(descriptor: int, data: memoryview) -> None:
    """Write every byte; one call of the system writes at most 2 GiB."""
    data = data.cast("B") if data.nbytes else data
    while data.nbytes:
        data = data[os.write(descriptor, data) :]


def _data_url(url: str, limits: Limits) -> bytes:
    header, comma, payload = url[5:].partition(",")
    _check_size(len(payload) * 3 // 4 if comma else 1, "the data URL", limits)
    if not comma:
        raise damaged("the data URL", f"{printable(url[:40])} has no comma")
    if not header.lower().replace(" ", "").endswith(";base64"):
        return unquote_to_bytes(payload)
    try:
        return binascii.a2b_base64(unquote_to_bytes(payload) if "%" in payload else payload.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise damaged("the data URL", f"{printable(url[:40])}...: {error}") from error
