"""`langchain_core.indexing.index`: keeping the store in step with a source."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex
from langchain_core.indexing import index as index_documents


@pytest.fixture
def manager():
    manager = InMemoryRecordManager("late-interaction")
    manager.create_schema()
    return manager


def sources(store):
    return sorted((document.metadata["source"], document.text) for document in store.index.scan())


def page(source, text):
    return Document(text, metadata={"source": source})


def run(store, manager, documents, cleanup):
    done = index_documents(
        documents, manager, store, cleanup=cleanup, source_id_key="source", key_encoder="blake2b", batch_size=2
    )
    assert store.index.verify()
    return {name.removeprefix("num_"): count for name, count in done.items()}


FIRST = [page("a", "one"), page("a", "two"), page("b", "three"), page("b", "four"), page("c", "five")]
SECOND = [page("a", "one"), page("a", "TWO"), page("b", "four")]


@pytest.mark.parametrize("cleanup", [None, "incremental", "full"])
def test_first_and_equal_second_run(store, manager, word_encoder, cleanup):
    done = run(store, manager, FIRST, cleanup)
    assert done == {"added": 5, "updated": 0, "skipped": 0, "deleted": 0}
    assert run(store, manager, FIRST, cleanup) == {"added": 0, "updated": 0, "skipped": 5, "deleted": 0}
    assert word_encoder.documents_encoded == 5
    assert sources(store) == sorted((document.metadata["source"], document.page_content) for document in FIRST)
    assert len(store.similarity_search("one", k=10)) == 5


@pytest.mark.parametrize(
    ("cleanup", "deleted", "left"),
    [
        (None, 0, {"one", "two", "TWO", "three", "four", "five"}),
        ("incremental", 2, {"one", "TWO", "four", "five"}),
        ("full", 3, {"one", "TWO", "four"}),
    ],
)
def test_second_run_with_changes(store, manager, word_encoder, cleanup, deleted, left):
    run(store, manager, FIRST, cleanup)
    assert run(store, manager, SECOND, cleanup) == {"added": 1, "updated": 0, "skipped": 2, "deleted": deleted}
    assert {text for _, text in sources(store)} == left
    assert {document.page_content for document in store.similarity_search("one", k=10)} == left
    assert word_encoder.documents_encoded == 6


def test_everything_gone(store, manager):
    run(store, manager, FIRST, "full")
    assert run(store, manager, [], "full")["deleted"] == 5
    assert len(store.index) == 0


async def test_async(store, manager):
    arguments = {"cleanup": "full", "source_id_key": "source", "key_encoder": "blake2b"}
    await aindex(FIRST, manager, store, **arguments)
    done = await aindex(SECOND, manager, store, **arguments)
    assert (done["num_added"], done["num_skipped"], done["num_deleted"]) == (1, 2, 3)
    assert {text for _, text in sources(store)} == {"one", "TWO", "four"}
