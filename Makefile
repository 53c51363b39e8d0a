# `make demo` and `make test` are all that a fresh machine with Python, pip and make needs.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-dev.txt

.PHONY: demo test test-slow lint types format clean

demo: .venv/installed  ## index the Python language reference and ask it questions in both frameworks
	$(BIN)/late-interaction demo

test: lint types  ## everything CI asks for
	$(BIN)/python -m pytest

test-slow: .venv/developed  ## the long tests alone
	$(BIN)/python -m pytest -m slow

lint: .venv/developed
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: .venv/developed
	$(BIN)/mypy

format: .venv/developed  ## mend what the formatter and the linter can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

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
