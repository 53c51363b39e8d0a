"""An empty index, one with a few facts, and a larger one to search."""

from __future__ import annotations

import pytest

from late_interaction import Index
from tests.fakes import WordEncoder
from tests.index.helpers import FACTS, random_documents


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def index(path, word_encoder):
    """An empty index."""
    with Index.open(path, encoder=word_encoder) as index:
        yield index


@pytest.fixture
def facts(index):
    """An index of `FACTS`."""
    index.add(FACTS)
    return index


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """An index of 90 random documents, which tests only read; fewer than hybrid search looks at of each ranking."""
    documents = random_documents(90)
    with Index.open(tmp_path_factory.mktemp("library") / "index", encoder=WordEncoder()) as index:
        index.add(documents[:50])
        index.add(documents[50:])
        yield index
