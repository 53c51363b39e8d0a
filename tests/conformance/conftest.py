"""One fixture for all: an empty engine of each entry of the table."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

from late_interaction import Index
from tests.conformance.helpers import DIM
from tests.conformance.live import delete_collections
from tests.conformance.table import ENGINES, LIVE, SERVED
from tests.engines.helpers import small_thresholds
from tests.fakes import WordEncoder
from tests.folders import FAST_DIRECTORY


@pytest.fixture(scope="package", autouse=True)
def _compressed_early():
    """The local engine compresses after a few hundred tokens, in place of tens of thousands."""
    with small_thresholds(first=400, buffer=200):
        yield


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
    with tempfile.TemporaryDirectory(prefix="late-interaction-conformance-", dir=FAST_DIRECTORY) as base:
        numbers = itertools.count()
        yield lambda: Path(base) / str(next(numbers))
    delete_collections()


@pytest.fixture(
    params=[*ENGINES, *LIVE, *(pytest.param(case, marks=pytest.mark.slow) for case in SERVED)],
    ids=lambda case: case.name,
)
def case(request):
    """An entry of the table."""
    return request.param


@pytest.fixture
def folder(new_folder):
    """Where an engine may be made. It is removed at once: one of Qdrant's engine takes 25 MB of memory."""
    path = new_folder()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def engine(case, folder):
    """An empty engine."""
    engine = case.make(folder, DIM)
    yield engine
    engine.close()


@pytest.fixture
def encoder():
    """A fast encoder that counts what it encodes."""
    return WordEncoder(DIM)


@pytest.fixture
def index(engine, encoder):
    """An empty index over the engine."""
    with Index(engine=engine, encoder=encoder) as index:
        yield index
