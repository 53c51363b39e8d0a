"""LangChain's retrievers that are made of a store: time-weighted, parent document and multi-vector."""

from __future__ import annotations

import datetime

import pytest
from langchain_core.documents import Document
from langchain_core.stores import InMemoryStore

pytest.importorskip("langchain_classic")

from langchain_classic.retrievers import (
    MultiVectorRetriever,
    ParentDocumentRetriever,
    TimeWeightedVectorStoreRetriever,
)
from langchain_classic.retrievers.multi_vector import SearchType
from langchain_text_splitters import CharacterTextSplitter

HOUR = datetime.timedelta(hours=1)


class TestTimeWeighted:
    async def test_what_was_used_lately_comes_first(self, store):
        now = datetime.datetime.now()  # as that retriever does
        memory = TimeWeightedVectorStoreRetriever(vectorstore=store, decay_rate=0.5, k=1)
        memory.add_documents([Document("the nile floods", id="old")], current_time=now - 30 * HOUR)
        await memory.aadd_documents([Document("the nile flows", id="new")])
        assert memory.invoke("the nile")[0].id == "new"
        assert (await memory.ainvoke("the nile"))[0].id == "new"

    async def test_without_decay_relevance_decides(self, store):
        memory = TimeWeightedVectorStoreRetriever(vectorstore=store, decay_rate=0.0, k=1, search_kwargs={"k": 9})
        memory.add_documents([Document("the nile floods", id="floods"), Document("paris is old", id="paris")])
        assert memory.invoke("floods of the nile")[0].id == "floods"
        assert (await memory.ainvoke("old paris"))[0].id == "paris"

    def test_times_are_stored(self, store):
        when = datetime.datetime(2026, 1, 31, 12, 30)  # as that retriever makes them
        memory = TimeWeightedVectorStoreRetriever(vectorstore=store)
        memory.add_documents([Document("the nile", id="n")], current_time=when)
        (stored,) = store.get_by_ids(["n"])
        assert stored.metadata["created_at"] == when.isoformat()
        assert memory.memory_stream[0].metadata["created_at"] == when


SOURCES = [
    Document("the nile flows north. it floods in summer. its source is far.", metadata={"river": "nile"}),
    Document("the elbe flows west. it freezes in winter. its source is near.", metadata={"river": "elbe"}),
]


class TestParentDocuments:
    @pytest.fixture
    def parents(self, store):
        splitter = CharacterTextSplitter(separator=". ", chunk_size=25, chunk_overlap=0)
        return ParentDocumentRetriever(vectorstore=store, docstore=InMemoryStore(), child_splitter=splitter)

    async def test_a_passage_finds_its_source(self, parents, store):
        parents.add_documents(SOURCES, ids=["n", "e"], batch_size=2)
        assert len(store.index) == 6
        for query, expected in (("freezes in winter", SOURCES[1]), ("floods in summer", SOURCES[0])):
            parents.search_kwargs = {"k": 1}
            assert parents.invoke(query) == await parents.ainvoke(query) == [expected]
        parents.search_kwargs = {"k": 3, "filter": {"river": "nile"}}
        assert parents.invoke("freezes in winter") == [SOURCES[0]]

    async def test_equal_passages_of_two_sources_are_two(self, parents, store):
        both = [SOURCES[0], Document("something else. it floods in summer", metadata={"river": "rhine"})]
        await parents.aadd_documents(both)
        parents.search_kwargs = {"k": 2}
        assert {found.metadata["river"] for found in parents.invoke("it floods in summer")} == {"nile", "rhine"}

    def test_an_argument_that_the_store_does_not_have(self, parents):
        with pytest.raises(ValueError, match="namespace"):
            parents.add_documents(SOURCES, namespace="a")


@pytest.mark.parametrize("search_type", SearchType)
async def test_summaries_find_their_documents(store, search_type):
    retriever = MultiVectorRetriever(
        vectorstore=store,
        docstore=InMemoryStore(),
        search_type=search_type,
        search_kwargs={"k": 1, "score_threshold": 0.1},
    )
    retriever.docstore.mset([("n", SOURCES[0]), ("e", SOURCES[1])])
    summaries = [("n", "a river of africa"), ("n", "a long river"), ("e", "a river of germany")]
    store.add_documents([Document(text, metadata={"doc_id": name}) for name, text in summaries])
    assert retriever.invoke("germany") == await retriever.ainvoke("germany") == [SOURCES[1]]
    assert retriever.invoke("long africa") == [SOURCES[0]]
