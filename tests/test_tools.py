"""What the documents are written from: result files become tables, missing ones a sentence, and runs a record."""

import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from omnie import checkpoint
from omnie.data.example import Example, Written
from omnie.inputs import TAB
from omnie.messages import text as message
from omnie.model.config import architecture
from omnie.model.omni import Omni
from omnie.processor import Encoder
from omnie.train.stream.source import BUILT_IN

TOOLS = Path(__file__).parents[1] / "tools"
ROW = {"score": 0.5, "n": 40, "low": 0.35, "high": 0.65}


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """The modules of `tools/`, with an empty folder of results."""
    monkeypatch.syspath_prepend(str(TOOLS))
    import record
    import results

    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    return results, record


@pytest.fixture
def ngrams(monkeypatch):
    """`tools/ngrams.py`."""
    monkeypatch.syspath_prepend(str(TOOLS))
    import ngrams

    return ngrams


@pytest.fixture
def average(monkeypatch):
    """`tools/average.py`."""
    monkeypatch.syspath_prepend(str(TOOLS))
    import average

    return average


def write_skills(folder, name="skills", **groups):
    report = {"skills": groups, "detail": groups, "date": "2026-01-02T03:04:05+00:00", "model": {"sha256": "0123456789abcdef"}}
    (folder / f"{name}.json").write_text(json.dumps(report))


def test_missing_results_are_named(tools):
    results, _ = tools
    for part in (results.skills(), results.training(), results.speed(), results.reading(), results.experts()):
        assert part.startswith("No ") and "benchmarks/results/" in part


def test_skills_are_ranked_and_judged(tools, tmp_path):
    results, _ = tools
    write_skills(tmp_path, scenes=ROW, charts=ROW | {"score": 0.8}, lines=ROW | {"score": 0.394, "cer": 0.606})
    lines = results.skills().splitlines()
    assert [line.split(" | ")[1:3] for line in lines[2:5]] == [["yes", "80%"], ["often", "50%"], ["not yet", "39%"]]
    assert "CER 61%" in lines[4] and lines[3].endswith("| 35% to 65% | 40 |")
    assert "2026-01-02, weights 01234567" in lines[-1]


def test_shuffled_scores_stand_beside(tools, tmp_path):
    results, _ = tools
    write_skills(tmp_path, charts=ROW, text_qa=ROW)
    write_skills(tmp_path, "skills_shuffled", charts=ROW | {"score": 0.1})
    table = {line.split(" | ")[0]: line for line in results.skills().splitlines()}
    assert table[f"| {results.ABILITIES['charts']}"].endswith("| 10% |")
    assert table[f"| {results.ABILITIES['text_qa']}"].endswith("|  |")


def test_scores_of_typed_questions_are_told_if_the_weights_are_the_same(tools, tmp_path):
    results, _ = tools
    write_skills(tmp_path, text_qa=ROW)
    write_skills(tmp_path, "skills_typed", text_qa=ROW | {"score": 0.25})
    assert f"{results.ABILITIES['text_qa']} 25% (50% above)." in results.skills()
    other = json.loads((tmp_path / "skills_typed.json").read_text()) | {"model": {"sha256": "f" * 64}}
    (tmp_path / "skills_typed.json").write_text(json.dumps(other))
    assert "--typed" not in results.skills()


def test_experts_are_told_by_their_worst_layer(tools, tmp_path):
    results, _ = tools
    layers = [{"entropy": 0.99, "largest": 1.5, "dead": 0}, {"entropy": 0.91, "largest": 4.0, "dead": 2}]
    report = {"date": "2026-01-02T03:04:05+00:00", "cases": 7, "groups": {"audio": {"experts": 16, "layers": layers}}}
    (tmp_path / "experts.json").write_text(json.dumps(report))
    assert results.experts().splitlines()[2] == "| audio | 16 | 0.910 | 4.0 | 2 |"


def test_readings_are_told_in_words(tools, tmp_path):
    results, _ = tools
    row = {"word_error": 0.25, "letter_error": 0.1, "letter_error_without_ngrams": 0.2, "whole": 0.5, "texts": 40}
    (tmp_path / "reading.json").write_text(json.dumps({"date": "2026-01-02T03:04:05", "skills": {"lines.read": row}}))
    assert results.reading().splitlines()[2] == f"| {results.ABILITIES['lines.read']} | 25% | 10% | 20% | 50% | 40 |"


def test_every_skill_has_words(tools):
    from omnie.data import skills

    results, _ = tools
    names = set(skills.generators()) | {skills.group_of(skill) for skill in skills.generators()}
    assert names == set(results.ABILITIES)


def write_run(folder, steps, loss):
    folder.mkdir()
    lines = [
        {"step": step, "tokens": 100.0 * step, "seconds": 2.0 * step, "loss": loss, "skill/text.qa": loss}
        for step in range(1, steps + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "step-00000001").mkdir()
    (folder / "step-00000001" / "state.json").write_text(
        json.dumps({"config": {"out": str(folder), "init": None, "minutes": 3.0, "lr": 0.01}})
    )
    return folder


def test_the_record_adds_runs_and_gives_the_command(tools, tmp_path):
    results, record = tools
    runs = [write_run(tmp_path / "first", 300, 2.0), write_run(tmp_path / "second", 100, 1.5)]
    found = record.record(runs, "a machine")
    assert (found["steps"], found["tokens"], found["seconds"], found["loss"]) == (400, 40_000, 800, 1.5)
    assert found["losses"] == {"text.qa": 1.5} and found["settings"] == [{"minutes": 3.0, "lr": 0.01}] * 2
    assert [curve[-1][0] for curve in found["curves"]] == [300, 100]
    assert all(len(curve) <= 2 * record.POINTS for curve in found["curves"])
    both = record.appended(found | {"device": "another"}, found)
    assert (both["steps"], both["tokens"], both["seconds"], both["device"]) == (800, 80_000, 1600, "another; a machine")
    assert [len(both[name]) for name in ("settings", "curves")] == [4, 4] and both["loss"] == 1.5
    (tmp_path / "training.json").write_text(json.dumps(found))
    assert results.command() == ".venv/bin/omnie train --out runs/again --minutes 14 --lr 0.01"
    assert "400" in results.training() and "50 tokens a second" in results.training()


def test_a_model_is_told_what_training_s_texts_say(ngrams, monkeypatch):
    monkeypatch.setattr(ngrams, "PICTURES", {})
    monkeypatch.setattr(ngrams, "TEXTS", {"text.smalltalk": 5})
    monkeypatch.setattr(ngrams, "SPOKEN", 20)
    model = ngrams.told(Omni(architecture("toy")))
    for medium, name in (("image", "written"), ("audio", "spoken")):
        table = model.model.reading[medium].ngrams
        assert len(table) == model.config.reading[name] > 50 and bool((table[:, -1] > 0).all())
    assert model.config == model.model.config
    model.config.check()
    spoken = b"".join(bytes(row[:-1].byte().tolist()) for row in model.model.reading["audio"].ngrams)
    assert spoken == spoken.lower()  # sentences, as they are said


def test_texts_of_pictures_end_with_what_parts_them(ngrams, monkeypatch):
    box = (0.0, 0.0, 9.0, 9.0)
    seen = Example("a", (message("What?"),), "b", written=(Written("left", box), Written("a cat", box, thing=3)))
    said = replace(seen, parts=(message("two\nlines"),), written=())
    made = {"seen": seen, "line": replace(seen, transcript="alone", written=()), "said": said}
    monkeypatch.setattr(ngrams.skills, "example", lambda skill, split, index: made[skill])
    monkeypatch.setattr(ngrams, "PICTURES", {"seen": 1, "line": 1})
    monkeypatch.setattr(ngrams, "TEXTS", {"said": 1})
    assert list(ngrams.written()) == [f"left{TAB}", f"alone{TAB}", "two", "lines"]


def test_a_mean_of_models_keeps_tables_of_bytes(average):
    tables = {"model.reading.spelling": torch.ones(2, 3), "model.reading.image.ngrams": torch.ones(4, 6)}
    others = {"model.reading.spelling": torch.zeros(2, 3), "model.reading.image.ngrams": torch.zeros(9, 6)}
    mean = average.mean([tables | {"w": torch.ones(2)}, others | {"w": torch.zeros(2)}])
    assert mean["w"].tolist() == [0.5, 0.5] and all(torch.equal(mean[name], tables[name]) for name in tables)


def test_the_way_back_to_weights_that_saw_nothing_ahead(average, monkeypatch):
    looks = "model.language_model.lookahead."
    before = SimpleNamespace(state_dict=lambda: {"w": torch.zeros(2)})
    monkeypatch.setattr(average.checkpoint, "load", lambda name: (before, None))
    weights = {"w": torch.ones(2), f"{looks}proj.weight": torch.ones(2, 2), f"{looks}convolution": torch.ones(3, 2)}
    found = average.back(weights, "before", encoders=0.0, others=0.25)
    assert {name: tensor.unique().tolist() for name, tensor in found.items()} == {
        "w": [0.75],
        f"{looks}proj.weight": [0.75],
        f"{looks}convolution": [1.0],
    }


def test_what_is_shipped_is_int8_and_loads(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(TOOLS))
    import ship

    model = Omni(architecture("toy"))
    checkpoint.save(model, Encoder.load(BUILT_IN), tmp_path / "float")
    monkeypatch.setattr("sys.argv", ["ship.py", str(tmp_path / "float"), str(tmp_path / "int8")])
    ship.main()
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("float", "int8")]
    assert sizes[1] < 0.6 * sizes[0]
    shipped = checkpoint.load(tmp_path / "int8")[0].state_dict()
    name = "model.language_model.layers.0.self_attn.o_proj.weight"
    before = model.state_dict()[name]
    assert 0 < (shipped[name].float() - before).abs().max() <= before.abs().max() / 100


@pytest.fixture
def queue(monkeypatch):
    """`benchmarks/gpu/train_nano.py`."""
    monkeypatch.syspath_prepend(str(TOOLS.parent / "benchmarks" / "gpu"))
    import train_nano

    return train_nano


def test_what_travels_to_a_gpu_is_the_same_there(queue, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (8, 9, 4), dtype=np.uint8)
    pixels[:4, :, 3] = 0  # colours that nobody sees travel too
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "VERSION").write_text("1")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(queue.smaller(tmp_path / "a.png")))), pixels)
    assert queue.smaller(tmp_path / "VERSION") == b"1"


def test_weights_come_back_in_parts(queue, tmp_path):
    (tmp_path / "model").write_bytes(bytes(range(10)))
    parts = queue.split(tmp_path / "model", tmp_path / ".", size=4)
    assert [part.name for part in parts] == ["model.00", "model.01", "model.02"]
    assert b"".join(part.read_bytes() for part in parts) == bytes(range(10))


def test_runs_beside_each_other_are_added_up_and_end_when_one_fails(queue, tmp_path, capsys):
    import train_beside

    one = {"device": "a GPU", "torch": "2", "steps": 5, "tokens": 100, "seconds": 10.0}
    facts = {"decoder0": one, "decoder1": one | {"tokens": 300, "seconds": 20.0}, "encoders": one | {"tokens": 1000}}
    found = train_beside.summed(facts, ["--decoders", "2"])
    assert found["decoders"] == {"runs": 2, "steps": 10, "tokens": 400, "tokens_per_second": 20.0}
    assert found["encoders"]["tokens_per_second"] == 50.0 and found["seconds"] == 20.0
    assert "encoders" not in train_beside.summed({"decoder0": one}, [])
    (tmp_path / "bad.log").write_text("no memory")
    started = {
        "good": subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]),
        "bad": subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]),
    }
    assert not train_beside._finished(started, tmp_path, time.monotonic())
    assert started["good"].returncode and "bad failed:\nno memory" in capsys.readouterr().out
