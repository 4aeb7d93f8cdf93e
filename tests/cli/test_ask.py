"""`omnie ask` from the arguments to the exit status, on a toy model: every kind of file, every kind of bad file."""

import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from files import BAD, GOOD

from omnie.cli.main import main

OMNIE = str(Path(sys.executable).with_name("omnie"))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for name, content in (GOOD | BAD).items():
        (folder / name).write_bytes(content())
    return folder


@pytest.fixture
def ask(toy_folder, files, monkeypatch, capsys):
    """Runs `omnie ask ARGUMENTS` in the folder of the files; gives status, stdout and stderr."""
    monkeypatch.chdir(files)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit:
            main(["ask", "--model", str(toy_folder), "--max-tokens", "8", *arguments])
        return exit.value.code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("name", GOOD)
def test_every_kind_of_file_gets_an_answer(ask, name):
    status, answer, talk = ask(name, "What?")
    assert (status, talk) == (0, "")
    assert answer.endswith("\n") and answer.strip()


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_line_and_status_2(ask, name):
    status, answer, talk = ask(name, "What?")
    assert (status, answer) == (2, "")
    assert talk.startswith("omnie: ") and talk.count("\n") == 1 and "allowed" in talk


@pytest.mark.parametrize("name", ["missing.png", "."], ids=["missing", "folder"])
def test_what_is_no_file_is_refused(ask, name):
    status, answer, talk = ask(name, "What?")
    assert (status, answer) == (2, "") and talk.count("\n") == 1


def test_broken_sound_is_an_error_unless_it_is_not_wanted(ask):
    status, answer, talk = ask("--no-audio", "broken-sound.mkv", "What?")
    assert (status, talk) == (0, "") and answer.strip()


def test_kinds_are_told_by_content(ask, files):
    (files / "picture.csv").write_bytes(GOOD["picture.png"]())
    assert ask("picture.csv", "What?") == ask("picture.png", "What?")


def test_a_lone_sound_is_the_question(ask):
    status, answer, _ = ask("voice.wav")
    assert status == 0 and answer.strip()


@pytest.mark.parametrize("arguments", [["picture.png"], ["voice.wav", "page.pdf", ""]], ids=["left out", "empty"])
def test_a_missing_question_is_an_error_with_a_hint(ask, arguments):
    status, _, talk = ask(*arguments)
    assert status == 2 and "question" in talk and "omnie ask chart.png" in talk


def test_stdin_can_be_the_file(ask, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(GOOD["picture.png"]())))
    assert ask("-", "What?") == ask("picture.png", "What?")


def test_json_holds_answer_tokens_timings_and_model(ask, toy_folder):
    status, output, _ = ask("--json", "picture.png", "voice.wav", "What?")
    result = json.loads(output)
    assert status == 0 and output.count("\n") == 1
    assert result["answer"] + "\n" == ask("picture.png", "voice.wav", "What?")[1]
    assert result["model"] == str(toy_folder) and result["finish_reason"] == "length"
    assert 0 <= result["confidence"] <= 1
    assert result["tokens"].pop("prompt") > 6 + 13
    assert result["tokens"] == {"completion": 8, "media": {"image": 24, "audio": 13}}
    assert set(result["timings"]) == {"start", "media_wait", "load", "encode", "prefill", "decode", "tokens_per_second"}
    assert all(seconds >= 0 for seconds in result["timings"].values())


def test_json_says_what_attention_left_out(ask):
    exact, certified = (
        json.loads(ask(*options, "--json", "picture.png", "What?")[1]) for options in ([], ["--attention", "certified"])
    )
    assert exact["attention"] == {"level": "exact", "layers": []}
    assert certified["attention"]["level"] == "certified:0.001" and certified["answer"] == exact["answer"]
    rows = certified["attention"]["layers"]
    assert [(row["layer"], row["phase"]) for row in rows] == [(0, "prefill"), (0, "decode"), (1, "prefill"), (1, "decode")]
    assert all(row["dropped_mass_bound"] <= 1e-3 and row["kept_tiles"] == 1 for row in rows)  # a few dozen tokens: all are near


@pytest.mark.parametrize(
    ("looks", "file", "taken"), [("1", "picture.png", 1), ("3", "picture.png", 3), ("3", "voice.wav", 3), ("3", "notes.txt", 1)]
)
def test_looks_are_obeyed(ask, monkeypatch, looks, file, taken):
    from omnie.engine.engine import Engine

    steps, seen = Engine._steps, []
    monkeypatch.setattr(Engine, "_steps", lambda self, request, *more: seen.append(request) or steps(self, request, *more))
    status, output, talk = ask("--json", "--looks", looks, file, "What?")
    assert (status, talk, len(seen), json.loads(output)["looks"]) == (0, "", taken, taken)


def test_looks_out_of_range_are_one_line_and_status_2(ask):
    status, _, talk = ask("--looks", "5", "picture.png", "What?")
    assert status == 2 and "looks is out of range: 5" in talk and "1 to 4" in talk and talk.count("\n") == 1


@pytest.mark.parametrize("level", ["certified:2", "fast:0", "quick", "exact:1"])
def test_attention_out_of_range_is_one_line_and_status_2(ask, level):
    status, answer, talk = ask("--attention", level, "picture.png", "What?")
    assert (status, answer) == (2, "") and talk.count("\n") == 1 and "allowed" in talk


@pytest.mark.parametrize("activations", ["bf16", "float"], ids=["unknown", "without 4-bit matrices"])
def test_activations_that_cannot_be_used_are_one_line_and_status_2(ask, activations):
    status, answer, talk = ask("--activations", activations, "picture.png", "What?")
    assert (status, answer) == (2, "") and talk.count("\n") == 1 and "allowed" in talk


def test_the_order_of_files_is_kept(ask):
    assert ask("picture.png", "table.csv", "What?") != ask("table.csv", "picture.png", "What?")


def test_sampling_options_reach_the_model(ask):
    plain, hot, again, other, long, penalty = (
        ask(*options, "table.csv", "What?")[1]
        for options in (
            [],
            ["--temperature", "2", "--seed", "1"],
            ["--temperature", "2", "--seed", "1"],
            ["--temperature", "2", "--seed", "2"],
            ["--max-tokens", "60"],
            ["--max-tokens", "60", "--repetition-penalty", "9"],
        )
    )
    assert hot == again and len({plain, hot, other}) == 3 and penalty != long
    assert ask("--temperature", "2", "--top-p", "0.0001", "table.csv", "What?")[1] == plain


def test_an_unknown_model_is_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["ask", "--model", "no-such-model", "What?"])
    talk = capsys.readouterr().err
    assert exit.value.code == 2 and "no-such-model" in talk and talk.count("\n") == 1


@pytest.mark.slow
def test_the_command_itself_streams_and_refuses_without_a_memory_spike(toy_folder, files, tmp_path):
    """The installed command in processes of its own: files that promise gigabytes cost no more memory than a small picture."""
    command = [OMNIE, "ask", "--model", str(toy_folder), "--max-tokens", "4"]
    options = {"cwd": files, "capture_output": True, "text": True, "env": os.environ | {"TMPDIR": str(tmp_path)}}
    good = subprocess.run([*command, "picture.png", "What?"], **options)
    assert good.returncode == 0 and good.stdout.strip() and good.stderr == ""
    usual = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    before = set(os.listdir(files))
    for name in ("giant.png", "200-metres.pdf", "lying.wav"):
        bad = subprocess.run([*command, name, "What?"], **options)
        assert bad.returncode == 2 and bad.stdout == "" and bad.stderr.count("\n") == 1
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < usual * 1.1, name
    assert set(os.listdir(files)) == before and os.listdir(tmp_path) == []


def test_a_reader_that_leaves_in_the_middle_is_quiet(toy_folder, files):
    command = [OMNIE, "ask", "--model", str(toy_folder), "--max-tokens", "2000", "What?"]
    process = subprocess.Popen(command, cwd=files, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(60) == 141


def test_an_answer_needs_neither_transformers_nor_torchs_tracer(toy_folder, files):
    """What the first token must not wait for: each of these imports costs more than loading the model."""
    code = (
        "import sys\nfrom omnie.cli.main import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as exit: assert exit.code == 0\n"
        "print([name for name in ('transformers', 'torch._dynamo', 'sympy', 'scipy', 'matplotlib') if name in sys.modules])"
    )
    arguments = ["ask", "--model", str(toy_folder), "--max-tokens", "2", "picture.png", "voice.wav", "What?"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=files, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


SCHEMA = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": "taxi", "parameters": {"type": "object", "properties": {}}}}]


def test_a_schema_makes_the_answer_json(ask, tmp_path):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    status, answer, talk = ask("--max-tokens", "40", "--schema", str(file), "What?")
    assert (status, talk) == (0, "") and json.loads(answer)["a"] in (1, 2)


def test_tools_are_offered_and_their_calls_reported(ask, tmp_path):
    file = tmp_path / "tools.json"
    file.write_text(json.dumps(TOOLS))
    plain, offered = (json.loads(ask("--json", *more, "What?")[1]) for more in ((), ("--tools", str(file))))
    assert offered["tokens"]["prompt"] > plain["tokens"]["prompt"]
    assert isinstance(offered["tool_calls"], list) and plain["tool_calls"] == []


@pytest.mark.parametrize(
    ("option", "content", "reason"),
    [
        ("--schema", "{", "JSON"),
        ("--schema", "[1]", "no JSON schema"),
        ("--schema", '{"type": "nonsense"}', "cannot be obeyed"),
        ("--tools", "{}", "no tools"),
        ("--tools", "[]", "no tools"),
        ("--tools", '[{"name": "a b"}]', "usable name"),
        ("--tools", None, "JSON"),
        ("--tools", "[" * 100_000, "JSON"),
        ("--tools", '[{"name": "a", "parameters": {"properties": {"x": {"enum": 3}}}}]', "cannot be obeyed"),
    ],
)
def test_a_bad_schema_or_tool_is_one_line_and_status_2(ask, tmp_path, option, content, reason):
    file = tmp_path / "file.json"
    if content is not None:
        file.write_text(content)
    status, answer, talk = ask(option, str(file), "What?")
    assert (status, answer) == (2, "") and talk.startswith("omnie: ") and talk.count("\n") == 1 and reason in talk


def test_tools_and_a_schema_exclude_each_other(ask, tmp_path):
    status, answer, talk = ask("--tools", "a.json", "--schema", "b.json", "What?")
    assert (status, answer) == (2, "") and "exclude" in talk
