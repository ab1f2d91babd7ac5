# Each target sets up what it needs: a virtual environment in .venv with the pinned packages. Nothing is compiled.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DATA := datasets/mini_motion

.PHONY: setup demo claims test bench faults docs clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/vidops data generate mini_motion --root $(DATA)
	$(BIN)/vidops ablate recipes/quickstart.yaml --store runs/demo data.root=$(DATA)

claims: $(READY)
	$(BIN)/vidops ablate recipes/claims --store runs/claims
	$(BIN)/vidops ablate recipes/claims --store runs/claims --claims

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

bench: $(READY)
	$(BIN)/python tests/bench

faults: $(READY)
	$(BIN)/python tests/faults --out results

docs: $(READY)
	$(BIN)/python docs/render.py

clean:
	rm -rf $(VENV) runs datasets
