# Everything happens in .venv. `make run` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The CPU build: the plain package of the same version brings several GB of CUDA libraries on Linux.
# With a GPU: `make install TORCH=torch==2.13.0 TORCH_INDEX=`.
TORCH_VERSION := $(shell sed -n 's/^torch==//p' constraints.txt)
ifeq ($(shell uname -s),Linux)
TORCH ?= torch==$(TORCH_VERSION)+cpu
else
TORCH ?= torch==$(TORCH_VERSION)
endif
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip --disable-pip-version-check
CHECKED := src tests tools

.PHONY: install run test check fix bench clean

install: $(STAMP)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "omnie needs Python 3.11 or newer; try: make install PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# The configured index first (it may hold the CPU build); PyTorch's own index where that has none.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@$(BIN)/python -c 'import importlib.metadata as m, sys; sys.exit(m.version("torch").partition("+")[0] != "$(TORCH_VERSION)")' 2>/dev/null \
	  || $(PIP) install --quiet -c constraints.txt "$(TORCH)" \
	  || $(PIP) install --quiet -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "$(TORCH)"
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

bench: install
	$(BIN)/python tools/startup.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache
