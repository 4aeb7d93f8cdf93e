"""What `save_pretrained` leaves is enough for `trust_remote_code=True`, whether omnie is installed or not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from transformers import AutoModelForCausalLM, AutoProcessor, AutoTokenizer

import omnie
from omnie import carried, checkpoint, errors

EXAMPLES = Path(__file__).parents[1] / "examples"
CHART, VOICE = EXAMPLES / "chart.png", EXAMPLES / "question.wav"


@pytest.fixture(scope="module")
def folder() -> Path:
    omnie.register()
    if not checkpoint.models():
        pytest.skip("nano's weights are not in the package")
    return checkpoint.models()["nano"]


@pytest.fixture(scope="module")
def model(folder):
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def saved(folder, model, tmp_path_factory) -> Path:
    """A folder as a user saves one, with a space and a dot in its name."""
    target = tmp_path_factory.mktemp("saved") / "my model.v1"
    model.save_pretrained(target)
    AutoProcessor.from_pretrained(folder).save_pretrained(target)
    return target


REMOTE = """
import importlib.util, sys
if {hide}:
    sys.path = [path for path in sys.path if not Path(path, "omnie").is_dir()]
    assert importlib.util.find_spec("omnie") is None
from PIL import Image
from transformers import AutoModelForCausalLM, AutoProcessor, AutoTokenizer, BitsAndBytesConfig, pipeline

folder, chart, voice = sys.argv[1:]
options = {{"trust_remote_code": True}}
tokenizer = AutoTokenizer.from_pretrained(folder, **options)
model = AutoModelForCausalLM.from_pretrained(folder, **options)
inputs = tokenizer("Was zeigt diese Grafik?", images=Image.open(chart), return_tensors="pt")
made = model.generate(**inputs, max_new_tokens=8, do_sample=False)
print(made[0, inputs["input_ids"].shape[1] :].tolist())
print(repr(model.generate(prompt="Hallo", multimodal_input={{"images": chart, "audio": voice}}, max_new_tokens=4)))
print(type(AutoProcessor.from_pretrained(folder, **options)).__name__)
print(pipeline("text-generation", model=folder, **options)("Hallo", max_length=6)[0]["generated_text"][:5])
four = AutoModelForCausalLM.from_pretrained(folder, quantization_config=BitsAndBytesConfig(load_in_4bit=True), **options)
print(type(four.model.language_model.layers[1].mlp.groups["text"].experts).__name__)
four.save_pretrained(folder + "-4")
again = AutoModelForCausalLM.from_pretrained(folder + "-4", **options)
print(again.is_quantized, sys.modules["omnie"].__file__)
"""


@pytest.mark.slow
@pytest.mark.parametrize("hide", [True, False], ids=["alone", "omnie-installed"])
def test_a_saved_folder_works_with_trust_remote_code(saved, model, tokenizer, tmp_path, hide):
    """In a process that has not imported omnie; and in one that has none to import, where the folder's own code runs."""
    shutil.copytree(saved, copy := tmp_path / "copy" / saved.name)
    code = "from pathlib import Path\n" + REMOTE.format(hide=hide)
    environment = os.environ | {"HF_MODULES_CACHE": str(tmp_path / "modules"), "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-P", "-c", code, str(copy), str(CHART), str(VOICE)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ids, answer, processor, text, experts, last = done.stdout.splitlines()
    inputs = tokenizer("Was zeigt diese Grafik?", images=Image.open(CHART), return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
    assert ids == str(made) and answer.startswith(("'", '"')) and processor == "OmnieProcessor" and text == "Hallo"
    assert experts == "Int4Experts" and last.startswith("True ")
    assert (str(tmp_path) in last) == hide, "the installed package goes first"


def test_a_saved_folder_says_where_its_code_is(saved):
    settings = {name: json.loads((saved / f"{name}.json").read_text()) for name in FILES_WITH_MAPS}
    assert {name: sorted(values["auto_map"]) for name, values in settings.items()} == FILES_WITH_MAPS
    source = (saved / carried.SOURCE).read_text()
    space: dict = {}
    exec(compile(source, carried.SOURCE, "exec"), space)
    files = space["SOURCES"]
    assert {"omnie/media/child.py", "omnie/model/hub/generation.py", "omnie/ops/int4_linear/packing.py"} <= files.keys()
    assert files["omnie/errors.py"] == Path(errors.__file__).read_text()
    assert "from omnie.errors import" in source, "readable, not packed"
    assert not any(name.startswith(("omnie/train", "omnie/data", "omnie/cli")) for name in files)


FILES_WITH_MAPS = {
    "config": [
        "AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoModelForImageTextToText", "AutoModelForMultimodalLM",
    ],
    "processor_config": ["AutoProcessor"],
    "tokenizer_config": ["AutoTokenizer"],
}  # fmt: skip
