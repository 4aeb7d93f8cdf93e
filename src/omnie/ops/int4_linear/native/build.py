"""Compiles the C++ beside this file to a shared library, with the system's compiler; standard library only.

`hatch_build.py` calls it when omnie is installed. By hand, after a change of the C++:

    python src/omnie/ops/int4_linear/native/build.py [further options of the compiler]

No instruction set is chosen here: functions choose theirs, and the library looks at the processor before it calls one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "int4.cpp"
LIBRARY = HERE / "libint4.so"
VERSION = 2
"""Of the interface: that of `omnie_int4_version` in `int4.cpp`. A library that states another one is not used."""
OPTIONS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread")
COMPILERS = ("c++", "g++", "clang++")


def compiler() -> list[str] | None:
    """The command of $CXX, or of the first compiler that is installed."""
    if given := shlex.split(os.environ.get("CXX", "")):
        return given if shutil.which(given[0]) else None
    return next(([name] for name in COMPILERS if shutil.which(name)), None)


def build(library: Path = LIBRARY, further: list[str] | None = None, source: Path = SOURCE) -> str | None:
    """Writes the library, whole or not at all.

    Args:
        library: Where to.
        further: Options of the compiler, after ours.
        source: What is compiled.

    Returns:
        None when it stands there, else why not.
    """
    if (command := compiler()) is None:
        return f"no C++ compiler: none of {', '.join(COMPILERS)} is installed, and CXX names none"
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".build-") as folder:
        made = Path(folder) / library.name
        options = [*OPTIONS, *(further or []), str(source), "-o", str(made)]
        try:
            done = subprocess.run([*command, *options], capture_output=True, text=True)
        except OSError as error:
            return f"{command[0]} does not run: {error}"
        if done.returncode:
            return f"{command[0]} failed:\n{done.stderr.strip()[-2000:]}"
        made.replace(library)
    return None


if __name__ == "__main__":
    sys.exit(build(further=sys.argv[1:]))
