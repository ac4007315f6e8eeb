# What the targets run in: the active virtual environment, or .venv, where the package is installed; else a new .venv.
BY_HAND := $(filter-out $(patsubst %/.installed,%,$(wildcard $(CURDIR)/.venv/.installed)),$(VIRTUAL_ENV) $(CURDIR)/.venv)
PACKAGE := import importlib.metadata; importlib.metadata.version("spar-lightning")
FOUND := $(firstword $(foreach env,$(BY_HAND),$(shell $(env)/bin/python -P -c '$(PACKAGE)' 2>/dev/null && echo $(env))))
VENV := $(or $(FOUND),.venv)
BIN := $(VENV)/bin
READY := $(if $(FOUND),,$(VENV)/.installed)

# As requires-python in pyproject.toml says.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for each in python3.11 python3.12 python3.13 python3; do \
	if $$each -c '$(FITS)' 2>/dev/null; then command -v $$each; break; fi; done)

.PHONY: fit test lint platforms versions audit tensorboard clean tools

fit: $(READY)  ## Train the base, freeze it, train the residual, on bundled data
	$(BIN)/python -m spar_lightning fit --config configs/walker.yaml

test: $(READY) tools  ## Run every test, a thread in each of up to four processes
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

lint: $(READY) tools  ## Lint, format check and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

platforms: $(READY) tools  ## Types as macOS and Windows have them
	for system in darwin win32; do $(BIN)/mypy --platform $$system --cache-dir .mypy_cache/$$system || exit; done

versions: versions-oldest versions-newest  ## See that these, as pyproject.toml allows them, work, in fresh environments

versions-%:
	.ci/versions $* $(PYTHON)

audit:  ## Look the versions of constraints.txt up among known vulnerabilities, where an index can be reached
	.ci/audit $(PYTHON)

tensorboard: $(READY)  ## Look at the runs
	$(BIN)/tensorboard --logdir runs

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c '$(FITS)' || { echo 'error: found no Python 3.11, 3.12 or 3.13 (PYTHON is "$(PYTHON)"):' \
		'install one, or name one as in `make fit PYTHON=/usr/bin/python3.12`' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

tools: $(READY)  # what tests and lint need, in an environment that was made for training alone
	@$(BIN)/python -P -c 'import hypothesis, mypy, nbclient, pandas, pyarrow, pytest, ruff, xdist' 2>/dev/null || \
		$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
