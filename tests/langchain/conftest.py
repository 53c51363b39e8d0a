from __future__ import annotations

import pytest
from langchain_core.documents import Document

from late_interaction import Index
from late_interaction.langchain import LateInteractionVectorStore
from tests.engine_option import _engine_of_paths  # noqa: F401
from tests.fakes import WordEncoder


@pytest.fixture
def index(tmp_path, word_encoder):
    """An empty index."""
    with Index.open(tmp_path / "index", encoder=word_encoder) as index:
        yield index


@pytest.fixture
def store(index):
    """An empty store."""
    return LateInteractionVectorStore(index=index)


@pytest.fixture
def facts():
    """LangChain's documents."""
    return rivers_and_cities()


@pytest.fixture
def filled(store, facts):
    """A store of `facts`."""
    store.add_documents(facts)
    return store


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A store of `facts` for tests that only read."""
    with Index.open(tmp_path_factory.mktemp("shared") / "index", encoder=WordEncoder()) as index:
        store = LateInteractionVectorStore(index=index)
        store.add_documents(rivers_and_cities())
        yield store


def rivers_and_cities():
    return [
        Document("the nile is a river in africa", id="nile", metadata={"kind": "river", "length": 6650}),
        Document("the amazon is a river in america", id="amazon", metadata={"kind": "river", "length": 6400}),
        Document("paris is the capital of france", id="paris", metadata={"kind": "city"}),
        Document("berlin is the capital of germany", id="berlin", metadata={"kind": "city"}),
    ]
