# Everything happens in .venv. `make run` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)
# A further package index for torch. On Linux the plain package brings several GB of CUDA libraries; the index of CPU builds
# that PyTorch's install page names avoids them: `make install TORCH_INDEX=<its address>`.
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check
NATIVE := $(wildcard src/omnie/ops/int4_linear/native/*.h src/omnie/ops/int4_linear/native/*.cpp)
CHECKED := src tests tools benchmarks examples
# `make train`: where the run goes (it goes on with what it finds there) and how long it lasts in all.
RUN ?= runs/train
MINUTES ?= 60

.PHONY: install run test check fix assets eval train bench bench-quantize bench-attention bench-int4 clean

install: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "omnie needs Python 3.11 or newer; try: make install PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# torch first and alone, so that everything that asks for it afterwards finds the wanted build in place.
$(STAMP): pyproject.toml constraints.txt hatch_build.py $(NATIVE) | $(BIN)/python
	@$(BIN)/python -c 'import importlib.metadata as m, sys; sys.exit(m.version("torch").partition("+")[0] != "$(TORCH_VERSION)")' 2>/dev/null \
	  || $(PIP) install --quiet -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "torch==$(TORCH_VERSION)"
	$(PIP) install --quiet -c constraints.txt -e '.[dev,train]'
	@touch $@

run: install
	@$(BIN)/python tools/run_examples.py

test: install
	$(BIN)/python -m pytest -n auto

check: install
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house.py
	$(BIN)/python tools/docs.py --check

fix: install
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)
	$(BIN)/python tools/docs.py

# Fonts and emoji pictures for the material, into .assets/; needs npm and a network the first time.
assets: install
	$(BIN)/python -m omnie.data.assets

eval: assets
	$(BIN)/omnie eval skills

train: assets
	$(BIN)/omnie train --out $(RUN) --minutes $(MINUTES)

bench: install
	$(BIN)/python tools/startup.py

# Writes 8b with random weights (16 GB, into runs/), converts and loads it; the rest of the machine goes first.
bench-quantize: install
	nice -n 19 $(BIN)/python benchmarks/quantize_8b.py

# FlashMask against torch's attention on this machine, about ten minutes on two idle cores; FlexAttention needs a C++ compiler.
bench-attention: install
	$(BIN)/python benchmarks/attention.py

# 4-bit products against torch's on this machine, about two minutes on idle cores; needs the C++ compiler. With LLAMA=FOLDER
# against llama.cpp too (`benchmarks/int4_llama.cpp` says what the folder holds).
bench-int4: install
	$(BIN)/python benchmarks/int4.py $(if $(LLAMA),--llama $(LLAMA))

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache
