PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: fit test lint platforms versions audit tensorboard clean

fit: $(VENV)/.installed  ## Train the base, freeze it, train the residual, on bundled data
	$(BIN)/python -m spar_lightning fit --config configs/walker.yaml

test: $(VENV)/.installed  ## Run every test, a thread in each of up to four processes
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

lint: $(VENV)/.installed  ## Lint, format check and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

platforms: $(VENV)/.installed  ## Types as macOS and Windows have them
	for system in darwin win32; do $(BIN)/mypy --platform $$system --cache-dir .mypy_cache/$$system || exit; done

versions:  ## See that the oldest and the newest versions that pyproject.toml allows work, in fresh environments
	.ci/versions oldest $(PYTHON)
	.ci/versions newest $(PYTHON)

audit:  ## Look the versions of constraints.txt up among known vulnerabilities, where an index can be reached
	.ci/audit $(PYTHON)

tensorboard: $(VENV)/.installed  ## Look at the runs
	$(BIN)/tensorboard --logdir runs

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
