"""Every cleanup mode of `index` and `aindex`, held to what they do with LangChain's own store."""

from __future__ import annotations

import pytest
from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, aindex
from langchain_core.indexing import index as index_documents
from langchain_core.vectorstores import InMemoryVectorStore

MODES = [None, "incremental", "full", "scoped_full"]


def page(source, text):
    return Document(text, metadata={"source": source, "words": {"first": text.split()[0]}})


RUNS = [
    [page("a", "one"), page("a", "two"), page("b", "three"), page("b", "four"), page("c", "five")],
    [page("a", "one"), page("a", "two"), page("b", "three"), page("b", "four"), page("c", "five")],
    [page("a", "one"), page("a", "TWO"), page("b", "four")],
    [page("b", "four"), page("b", "four"), page("d", "six")],  # one twice
    [],
    [page("c", "five"), page("a", "two")],  # what was there once
]


@pytest.fixture
def reference():
    """LangChain's own store."""
    return InMemoryVectorStore(DeterministicFakeEmbedding(size=4))


def manager(name):
    manager = InMemoryRecordManager(name)
    manager.create_schema()
    return manager


def held(store):
    return sorted((document.id, document.text, str(document.metadata)) for document in store.index.scan())


def held_by(reference):
    return sorted((one["id"], one["text"], str(one["metadata"])) for one in reference.store.values())


@pytest.mark.parametrize("batch_size", [1, 2, 100])
@pytest.mark.parametrize("cleanup", MODES)
def test_as_with_langchains_own_store(store, reference, cleanup, batch_size):
    settings = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "blake2b", "batch_size": batch_size}
    ours, theirs = manager("ours"), manager("theirs")
    for documents in RUNS:
        expected = index_documents(documents, theirs, reference, **settings)
        assert index_documents(documents, ours, store, **settings) == expected
        assert held(store) == held_by(reference)
    assert {document.id for document in store.similarity_search("one two", k=100)} == set(reference.store)
    assert store.index.verify()


@pytest.mark.parametrize("cleanup", MODES)
async def test_async_as_with_langchains_own_store(store, reference, cleanup):
    settings = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "sha256", "batch_size": 2}
    ours, theirs = manager("ours"), manager("theirs")
    for documents in RUNS:
        expected = await aindex(documents, theirs, reference, **settings)
        assert await aindex(documents, ours, store, **settings) == expected
        assert held(store) == held_by(reference)
    assert {document.id for document in await store.asimilarity_search("one two", k=100)} == set(reference.store)


@pytest.mark.parametrize("cleanup", MODES)
def test_only_what_has_changed_is_encoded(store, word_encoder, cleanup):
    settings = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "blake2b"}
    ours = manager("ours")
    encoded = []
    for documents in RUNS[:3]:
        index_documents(documents, ours, store, **settings)
        encoded.append(word_encoder.documents_encoded)
    assert encoded == [5, 5, 6]


@pytest.mark.parametrize("cleanup", MODES)
async def test_all_again_by_force(store, word_encoder, cleanup):
    settings = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "blake2b", "force_update": True}
    ours = manager("ours")
    index_documents(RUNS[0], ours, store, **settings)
    before = held(store)
    for done in (
        index_documents(RUNS[0], ours, store, **settings),
        await aindex(RUNS[0], ours, store, **settings),
    ):
        assert done == {"num_added": 0, "num_updated": 5, "num_skipped": 0, "num_deleted": 0}
        assert held(store) == before
    assert word_encoder.documents_encoded == 5  # stored vectors are valid: an index has one encoder for ever


@pytest.mark.parametrize("cleanup", MODES)
def test_what_others_have_stored_is_left_alone(filled, facts, cleanup):
    settings = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": "blake2b"}
    ours = manager("ours")
    for documents in RUNS:
        index_documents(documents, ours, filled, **settings)
    assert filled.get_by_ids([document.id for document in facts]) == facts


async def test_a_loader_and_a_function_that_names_the_source(store):
    class Loader(BaseLoader):
        def lazy_load(self):
            yield from RUNS[0]

    settings = {
        "cleanup": "scoped_full",
        "source_id_key": lambda document: document.metadata["source"].upper(),
        "key_encoder": lambda document: "key of " + document.page_content,
    }
    ours = manager("ours")
    index_documents(Loader(), ours, store, **settings)
    assert [document.id for document in store.index.scan()] == [f"key of {one.page_content}" for one in RUNS[0]]
    assert store.get_by_ids(["key of two"])[0].metadata == RUNS[0][1].metadata
    done = await aindex(iter([page("a", "one")]), ours, store, **settings)
    assert (done["num_skipped"], done["num_deleted"]) == (1, 1)
    assert {document.text for document in store.index.scan()} == {"one", "three", "four", "five"}
