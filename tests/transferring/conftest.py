"""Engines that are filled and moved."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import pytest
import torch

from late_interaction.engines import LocalEngine
from tests.conformance.helpers import DIM, collection
from tests.folders import FAST_DIRECTORY


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    """Many small steps on few cores are slow when several threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def new_folder():
    """Gives the path of a folder that does not exist yet, in memory where there is room for files."""
    with tempfile.TemporaryDirectory(prefix="late-interaction-transfer-", dir=FAST_DIRECTORY) as base:
        numbers = itertools.count()
        yield lambda: Path(base) / str(next(numbers))


@pytest.fixture
def records():
    return collection(40)


@pytest.fixture
def source(new_folder, records):
    """An exact local engine with 40 documents."""
    with LocalEngine.open(new_folder(), dim=DIM, bits=None) as engine:
        engine.upsert(records)
        yield engine


@pytest.fixture
def target(new_folder):
    """An empty local engine."""
    with LocalEngine.open(new_folder(), dim=DIM, bits=None) as engine:
        yield engine
