from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest

from late_interaction.engines import LocalEngine
from tests.engines.helpers import DIM, FAST_DIRECTORY


@pytest.fixture(scope="session")
def make_directory():
    """Makes a new directory, in memory where there is room for files: a commit waits for the disk several times."""
    numbers = itertools.count()
    with tempfile.TemporaryDirectory(prefix="late-interaction-tests-", dir=FAST_DIRECTORY) as base:

        def make(name):
            path = Path(base) / f"{name}{next(numbers)}"
            path.mkdir()
            return path

        yield make


@pytest.fixture
def tmp_path(make_directory):
    """In place of pytest's own, for the sake of `make_directory`."""
    path = make_directory("test")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def root(tmp_path):
    """Where an index may be made."""
    return tmp_path / "index"


@pytest.fixture
def engine(root):
    """An empty local engine, open for writing."""
    with LocalEngine.open(root, dim=DIM) as engine:
        yield engine
