"""The console command before any model is needed: help, version, options, exit statuses."""

import dataclasses
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from omnie.cli.ask import compose, harmless, split
from omnie.cli.main import main
from omnie.errors import InputError
from omnie.messages import Message, Part, text

OMNIE = str(Path(sys.executable).with_name("omnie"))


def omnie(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([OMNIE, *arguments], capture_output=True, text=True, **options)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["ask", "--help"], ["models", "--help"], ["train", "--help"], ["--version"], ["ask", "missing.png", "What?"]],
    ids=" ".join,
)
def test_answers_without_importing_torch(arguments):
    code = (
        "import sys\nfrom omnie.cli.main import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version_is_the_packages():
    import omnie as package

    done = omnie("--version")
    assert (done.stdout, done.stderr, done.returncode) == (f"omnie {package.__version__}\n", "", 0)


def test_python_m_omnie_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "omnie", "--version"], capture_output=True, text=True)
    assert done.stdout == omnie("--version").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask"], "Missing argument"),
        (["aks", "What?"], "No such command 'aks'"),
        (["ask", "--tempreature", "1", "What?"], "No such option"),
        (["ask", "--max-tokens", "many", "What?"], "valid integer"),
        (["ask", "--max-tokens", "0", "What?"], "max-tokens is out of range: 0 (allowed: 1 or more)"),
        (["ask", "--temperature", "-1", "What?"], "temperature is out of range: -1.0 (allowed: 0 to 10)"),
        (["ask", "--top-p", "1.5", "What?"], "top-p is out of range: 1.5"),
        (["ask", "--repetition-penalty", "0", "What?"], "repetition-penalty is out of range: 0.0"),
        (["ask", "--seed", "-3", "What?"], "seed is out of range: -3"),
        (["ask", "missing.png", "What?"], "missing.png"),
        (["train", "--out", "run"], "the run has no end"),
        (["ask", " "], "the question is empty"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_one_line_and_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    output = capsys.readouterr()
    assert exit.value.code == 2
    assert output.out == ""
    assert output.err.startswith("omnie: ") and message in output.err and output.err.count("\n") == 1


def test_no_arguments_show_the_help():
    assert omnie().stdout == omnie("--help").stdout != ""


def test_ctrl_c_is_status_130_and_one_line():
    listening = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit deafness
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": listening}
    process = subprocess.Popen([OMNIE, "ask", "-"], text=True, **pipes)
    time.sleep(1.5)  # it waits for the question
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, "omnie: interrupted\n")


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(
        f"'{OMNIE}' ask --help | true; exit ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash", capture_output=True
    )
    assert done.stderr == b"" and done.returncode in (0, 141)


def test_the_last_argument_is_the_question_and_files_come_before(tmp_path):
    file = tmp_path / "a.png"
    file.touch()
    assert split(["x.png", "y.wav", "What?"]) == (["x.png", "y.wav"], "What?")
    assert split(["x.png", str(file)]) == (["x.png", str(file)], None)
    assert split(["What?"]) == ([], "What?")


def test_a_question_from_stdin(monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("What is shown?\n"))
    assert split(["chart.png", "-"]) == (["chart.png"], "What is shown?\n")


def test_a_sound_may_ask_but_a_table_may_not():
    import numpy as np

    from omnie.media import Audio, Table

    sound, table = Audio(np.zeros(8, np.float32)), Table("a", (("b",),))
    assert compose([table, sound], None) == Message("user", (Part("table", table), Part("audio", sound)))
    assert compose([table], "Sum?").parts[-1] == text("Sum?")
    with pytest.raises(InputError, match="question is missing"):
        compose([table], None)


def test_a_terminal_is_not_steered_by_an_answer():
    assert harmless("Größe:\t3 €\n🙂") == "Größe:\t3 €\n🙂"
    assert harmless("\x1b[2Jgone\x07\x9b") == "\ufffd[2Jgone\ufffd\ufffd"


def test_each_training_option_is_obeyed_and_explained(monkeypatch):
    from omnie.cli import train

    seen = []
    monkeypatch.setattr(train, "run", seen.append)
    with pytest.raises(SystemExit):
        main(["train", "--out", "run", "--steps", "3", "--lr", "0.5", "--checkpointing", "--mix", "mix.toml"])
    assert seen == [train.TrainConfig(out=Path("run"), steps=3, lr=0.5, checkpointing=True, mix=Path("mix.toml"))]
    options = {parameter.name: parameter.annotation.__metadata__[0] for parameter in train.parameters()}
    assert set(options) == {field.name for field in dataclasses.fields(train.TrainConfig)}
    assert all(option.help.endswith(".") for option in options.values())
