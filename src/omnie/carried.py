"""The code that a saved folder carries, for `trust_remote_code=True` where omnie is not installed. Standard library only.

Transformers copies a folder's `modeling_omnie.py`, and what that imports beside itself, into its cache of modules; packages in
folders it does not copy. So the sources that reading and running a model needs travel as one readable file, `omnie_source.py`,
and are unpacked in that cache. An installed omnie goes first. Why: `docs/decisions/0011-folders-carry-their-code.md`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

MODULE, SOURCE = "modeling_omnie.py", "omnie_source.py"
ROOMS = (
    "__init__", "carried", "checkpoint", "errors", "foreign", "inputs", "media", "messages", "model", "numerals", "ops",
    "processor",
)  # fmt: skip
"""What is carried: the floors up to `checkpoint`."""


def _in(name: str) -> str:
    return f"{MODULE.removesuffix('.py')}.{name}"


MODEL_MAP = {
    "AutoConfig": _in("OmnieConfig"),
    "AutoModel": _in("OmnieModel"),
    "AutoModelForCausalLM": _in("OmnieForConditionalGeneration"),
    "AutoModelForImageTextToText": _in("OmnieForConditionalGeneration"),
    "AutoModelForMultimodalLM": _in("OmnieForConditionalGeneration"),
}
PROCESSOR_MAP = {"AutoProcessor": _in("OmnieProcessor")}
TOKENIZER_MAP = {"AutoTokenizer": [None, _in("OmnieTokenizer")]}
"""`auto_map` of `config.json`, `processor_config.json` and `tokenizer_config.json`."""


def write(folder: str | Path) -> None:
    """Puts the code into a model folder."""
    files = sources()
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
    body = "".join(f"\nSOURCES[{name!r}] = {_quoted(text)}\n" for name, text in files.items())
    (Path(folder) / SOURCE).write_text(f"{_HEAD}\nDIGEST = {digest!r}\nSOURCES = {{}}\n{body}", "utf-8")
    (Path(folder) / MODULE).write_text(_MODULE, "utf-8")


def sources() -> dict[str, str]:
    """Path below the package's parent -> source, of everything that is carried."""
    package = Path(__file__).parent
    found = [path for room in ROOMS for path in [*package.glob(f"{room}.py"), *(package / room).rglob("*.py")]]
    return {path.relative_to(package.parent).as_posix(): path.read_text("utf-8") for path in sorted(found)}


def _quoted(text: str) -> str:
    """A string literal that shows the text as it stands, where that can be."""
    return repr(text) if "'''" in text or text.endswith(("'", "\\")) else f"r'''{text}'''"


_HEAD = '''"""The sources of omnie that a model folder carries, word by word; `modeling_omnie.py` unpacks them. Apache-2.0."""
'''

_MODULE = '''"""omnie's classes, for `trust_remote_code=True`. Apache-2.0.

An installed omnie is used as it is. Where there is none, the sources in `omnie_source.py` are unpacked beside this file, in
Transformers' cache of modules, and used from there.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy  # noqa: F401 (Transformers looks here for what must be installed)
import PIL  # noqa: F401
import safetensors  # noqa: F401
import tokenizers  # noqa: F401
import torch  # noqa: F401


def unpacked():
    """The folder with the sources, a package `omnie` in it; whole as soon as it is there."""
    from .omnie_source import DIGEST, SOURCES

    folder = Path(__file__).parent / f"omnie_{DIGEST}"
    if not folder.is_dir():
        part = Path(tempfile.mkdtemp(dir=folder.parent))
        for name, text in SOURCES.items():
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            (part / name).write_text(text, "utf-8")
        try:
            os.rename(part, folder)
        except OSError:  # another process was faster
            shutil.rmtree(part)
    return str(folder)


try:
    import omnie
except ModuleNotFoundError:
    sys.path.append(unpacked())
    import omnie

omnie.register()
OmnieConfig, OmnieModel = omnie.OmnieConfig, omnie.OmnieModel
OmnieForConditionalGeneration = omnie.OmnieForConditionalGeneration
OmnieProcessor, OmnieTokenizer = omnie.OmnieProcessor, omnie.OmnieTokenizer
'''
