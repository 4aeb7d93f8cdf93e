"""The console entry point: runs a verb and turns what goes wrong into one line on stderr and an exit status.

Statuses: 0 done, 2 the input or an option is wrong, 130 interrupted, 141 the reader of stdout went away. Anything else that
goes wrong is a defect of omnie and shows its traceback.
"""

import os
import sys
from collections.abc import Sequence
from typing import cast

from omnie.errors import OmnieError

WRONG_INPUT, INTERRUPTED, NO_READER = 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `omnie ARGUMENTS` (the process's own by default) and exit."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads made a busy machine's prefill ten times slower
    try:
        sys.exit(_run(arguments))
    except OmnieError as error:
        _fail(str(error), WRONG_INPUT)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered has nowhere to go
        sys.exit(NO_READER)


def _run(arguments: Sequence[str] | None) -> int:
    import typer

    from omnie.cli.app import app

    # typer carries its own copy of click and does not export UsageError, the parent of the one that it does export.
    usage_error = cast(type[typer.BadParameter], typer.BadParameter.__mro__[1])
    command = typer.main.get_command(app)
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        # Not `app(...)`: that would choose exit statuses of its own for Ctrl-C and for a closed pipe.
        with command.make_context("omnie", words) as context:
            command.invoke(context)
    except typer.Exit as exit:
        return exit.exit_code
    except usage_error as error:
        _fail(f"{error.format_message().rstrip('.')}; see omnie {_verb(error)}--help", WRONG_INPUT)
    finally:
        sys.stdout.flush()
    return 0


def _verb(error: Exception) -> str:
    path = getattr(getattr(error, "ctx", None), "command_path", "")
    return "".join(f"{name} " for name in path.split()[1:])


def _fail(message: str, status: int) -> None:
    print(f"omnie: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
