# `make demo` and `make test` work on a new machine with Python, pip and make.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-dev.txt

FLOORS := core langchain llama-index both
# Core tests that failed with older versions of sentence-transformers, scipy, beautifulsoup4 or typer, and those of
# matplotlib and pyarrow.
FLOOR_TESTS := $(addprefix tests/,encoders/test_spans.py encoders/test_vectors.py \
	evaluation/test_plots.py evaluation/test_vidore.py index/test_settings.py readers/test_passages.py \
	readers/test_sections.py test_cli.py)
# A separate cache folder, because each version of numba removes kernels that another version compiled.
test_floor = NUMBA_CACHE_DIR=$(CURDIR)/.floors/numba .floors/$(1)/bin/python -m pytest --quiet
FLOORS_PIP := -m pip install --quiet --disable-pip-version-check --constraint constraints-floors.txt

.PHONY: demo test test-slow test-engines torture test-floors lint types format clean

demo: .venv/installed  ## index the Python language reference and query it through both frameworks
	$(BIN)/late-interaction demo

test: lint types  ## all checks that CI runs
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-slow: .venv/developed  ## long tests, and property tests with random examples
	$(BIN)/python -m pytest -m slow --hypothesis-profile default
	$(BIN)/python -m pytest --hypothesis-profile default $(shell grep -lE '@given|RuleBased' tests/*.py tests/*/*.py)

test-engines: .venv/developed  ## the tests of both frameworks over Qdrant's own engine and over LanceDB
	for engine in qdrant lancedb; do \
		$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --engine $$engine \
			tests/langchain tests/llama_index || exit 1; \
	done

torture: .venv/developed  ## thousands of kills, failing system calls, interrupts, bit flips, forks and renames
	$(BIN)/python -m tests.torture $(TORTURE)

test-floors: $(FLOORS:%=.floors/%/installed)  ## minimum supported versions, with neither, one and both frameworks
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

# Install torch first and separately, so that no other package's version range selects the build.
.venv/installed: pyproject.toml constraints-dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(PIP) torch
	$(PIP) --editable '.[all]'
	touch $@

.venv/developed: .venv/installed
	$(PIP) --group dev
	touch $@

# Only the core environment has the minimum versions of numpy and tqdm: langchain-tests and llama-index-core need newer.
.floors/core/installed: pyproject.toml constraints-floors.txt
	$(PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(@D)/bin/python $(FLOORS_PIP) torch
	$(@D)/bin/python $(FLOORS_PIP) --editable '.[evaluation,minilm,pages]' hypothesis pytest pytest-asyncio \
		'numpy==1.24.0; python_version < "3.12"' tqdm==4.60.0
	touch $@

.floors/langchain/installed: WITH := '.[langchain]' langchain-classic langchain-tests
.floors/llama-index/installed: WITH := '.[llama-index]'
.floors/both/installed: WITH := '.[langchain,llama-index]' langchain-classic langchain-tests

# These environments add the packages of the core environment, including pip, to their path, so torch is installed once.
.floors/%/installed: .floors/core/installed
	$(PYTHON) -m venv --clear --without-pip $(@D)
	$(PYTHON) -c 'import glob; print(*glob.glob("$(CURDIR)/.floors/core/lib/python*/site-packages"))' \
		> $$(echo $(@D)/lib/python*/site-packages)/core.pth
	$(@D)/bin/python $(FLOORS_PIP) --editable $(WITH)
	touch $@
