from __future__ import annotations

import pytest

from late_interaction.engines import LocalEngine
from tests.engines.helpers import DIM


@pytest.fixture(scope="session")
def make_directory(tmp_path_factory):
    """Makes a new directory."""
    return tmp_path_factory.mktemp


@pytest.fixture
def root(tmp_path):
    """Where an index may be made."""
    return tmp_path / "index"


@pytest.fixture
def engine(root):
    """An empty local engine, open for writing."""
    with LocalEngine.open(root, dim=DIM) as engine:
        yield engine
