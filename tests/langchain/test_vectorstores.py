"""The vector store, beyond LangChain's own suite (see test_standard.py)."""

from __future__ import annotations

import asyncio
import copy

import pytest
from langchain_core.documents import Document

from late_interaction import Document as StoredDocument
from late_interaction import Index
from late_interaction.errors import DuplicateIdError, InvalidDocumentError, InvalidRequestError, LateInteractionError
from late_interaction.langchain import LateInteractionVectorStore
from tests.fakes import WordEncoder


class TestWriting:
    def test_ids_of_documents(self, store):
        given = [Document("own", id="mine"), Document("none"), Document("one")]
        kept = copy.deepcopy(given)
        assert store.add_documents(given) == ["mine", StoredDocument("none").id, StoredDocument("one").id]
        assert given == kept
        assert store.add_documents(given, ids=["a", "b", "c"]) == ["a", "b", "c"]
        assert store.add_documents(given, ids=["x", None, "z"])[1] == StoredDocument("none").id
        assert store.get_by_ids(["c", "mine", "nowhere"]) == [Document("one", id="c"), Document("own", id="mine")]
        assert store.add_documents([]) == []

    def test_ids_of_texts(self, store):
        assert store.add_texts(["one", "two"]) == [StoredDocument("one").id, StoredDocument("two").id]
        assert store.add_texts(iter(["one", "two"]), [{"a": 1}, {}], ids=["x", "y"]) == ["x", "y"]
        assert store.get_by_ids(["x"]) == [Document("one", id="x", metadata={"a": 1})]

    @pytest.mark.parametrize("columns", [{"ids": ["x"]}, {"metadatas": [{}, {}, {}]}, {"ids": ["x", "y", "z"]}])
    def test_columns_of_another_length(self, store, columns):
        with pytest.raises(InvalidRequestError, match="for 2 documents"):
            store.add_texts(["one", "two"], **columns)
        if "ids" in columns:
            with pytest.raises(InvalidRequestError, match="for 2 documents"):
                store.add_documents([Document("one"), Document("two")], **columns)
        assert len(store.index) == 0

    def test_columns_may_be_any_iterables(self, store, facts):
        metadatas = ({"n": number} for number in range(2))
        assert store.add_texts((text for text in "pq"), metadatas, iter(["1", None]))[0] == "1"
        assert [document.metadata for document in store.get()] == [{"n": 0}, {"n": 1}]
        assert store.add_texts(["r"], ids={"3": "of a dict, its keys"}) == ["3"]
        assert store.add_documents(iter(facts), ids=(document.id for document in facts))[0] == "nile"
        with pytest.raises(InvalidRequestError, match="metadatas has 1 entries for 2"):
            store.add_texts(["s", "t"], iter([{}]))

    @pytest.mark.parametrize("columns", [{"metadatas": 7}, {"ids": b"a"}, {"ids": 7}, {"ids": "a"}])
    def test_columns_that_are_one_value(self, store, columns):
        with pytest.raises(InvalidRequestError, match=rf"{next(iter(columns))} must be a list, one entry for each"):
            store.add_texts(["new"], **columns)
        assert len(store.index) == 0

    def test_what_cannot_be_stored_writes_nothing(self, filled):
        for documents in (
            [Document("new", id="new"), Document("bad", metadata={"when": object()})],
            [Document("new", id="new"), Document("bad", metadata={5: "key"})],
        ):
            with pytest.raises(InvalidDocumentError, match="metadata"):
                filled.add_documents(documents)
        with pytest.raises(DuplicateIdError):
            filled.add_documents([Document("one", id="new"), Document("two", id="new")])
        assert filled.get_by_ids(["new"]) == []
        assert len(filled.index) == 4

    def test_delete(self, filled):
        assert filled.delete(["nile", "nowhere"])
        assert filled.delete(where={"kind": "city"})
        assert [document.id for document in filled.index.scan()] == ["amazon"]
        with pytest.raises(LateInteractionError):
            filled.delete()
        assert len(filled.index) == 1

    async def test_async(self, store, facts):
        assert await store.aadd_documents(facts) == [document.id for document in facts]
        assert await store.aadd_texts(["the elbe"], ids=["elbe"]) == ["elbe"]
        found = await asyncio.gather(*(store.asimilarity_search(name, k=1) for name in ("elbe", "nile", "germany")))
        assert [documents[0].id for documents in found] == ["elbe", "nile", "berlin"]
        assert await store.aget_by_ids(["nile"]) == [facts[0]]
        assert await store.adelete(["nile"])
        assert await store.aget_by_ids(["nile"]) == []


class TestSearch:
    def test_documents_come_back_as_they_were(self, filled, facts):
        assert filled.similarity_search("the nile is a river", k=1) == [facts[0]]
        assert filled.search("france", search_type="similarity", k=1) == [facts[2]]

    def test_scores_and_relevances_are_those_of_the_index(self, filled):
        hits = filled.index.search("river capital", 3)
        with_scores = filled.similarity_search_with_score("river capital", 3)
        assert [(document.id, score) for document, score in with_scores] == [(hit.id, hit.score) for hit in hits]
        relevant = filled.similarity_search_with_relevance_scores("river capital", 3)
        assert [(document.id, score) for document, score in relevant] == [(hit.id, hit.relevance) for hit in hits]

    def test_default_k_is_that_of_langchain(self, filled):
        filled.add_texts(["more", "and more"])
        assert len(filled.similarity_search("river")) == 4

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    def test_filter_and_mode(self, filled, mode):
        arguments = {"k": 9, "filter": {"length": {"$gt": 6500}}, "mode": mode}
        expected = filled.index.search("river", 9, where={"length": {"$gt": 6500}}, mode=mode)
        assert [document.id for document in filled.similarity_search("river", **arguments)] == ["nile"]
        assert [score for _, score in filled.similarity_search_with_score("river", **arguments)] == [expected[0].score]
        found = filled.similarity_search_with_relevance_scores("river", **arguments)
        assert [score for _, score in found] == [expected[0].relevance]

    def test_as_retriever(self, filled):
        retriever = filled.as_retriever(search_kwargs={"k": 3, "filter": {"kind": "city"}, "mode": "hybrid"})
        assert {document.id for document in retriever.invoke("capital of germany")} == {"berlin", "paris"}

    def test_score_threshold(self, filled):
        relevances = {hit.id: hit.relevance for hit in filled.index.search("the nile is a river", 4)}
        for threshold in (0.999, 0.7, 0.0):
            retriever = filled.as_retriever(
                search_type="similarity_score_threshold", search_kwargs={"score_threshold": threshold, "k": 4}
            )
            found = [document.id for document in retriever.invoke("the nile is a river")]
            assert found == [name for name, relevance in relevances.items() if relevance >= threshold]
        assert relevances["nile"] > 0.99 > relevances["amazon"]

    async def test_score_threshold_async(self, filled):
        retriever = filled.as_retriever(
            search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99, "k": 4}
        )
        assert [document.id for document in await retriever.ainvoke("the nile is a river")] == ["nile"]

    @pytest.mark.parametrize("bad", [{"filter": {"kind": {"$like": "x"}}}, {"mode": "dense"}, {"k": 0}])
    def test_bad_arguments(self, filled, bad):
        with pytest.raises(LateInteractionError):
            filled.similarity_search("river", **bad)


class TestConstruction:
    def test_from_texts(self, tmp_path):
        store = LateInteractionVectorStore.from_texts(
            ["the nile", "the elbe"], WordEncoder(), [{"a": 1}, {"a": 2}], ids=["n", "e"], index=tmp_path / "index"
        )
        assert store.similarity_search("elbe", k=1) == [Document("the elbe", id="e", metadata={"a": 2})]
        store.index.close()

    def test_from_documents(self, tmp_path, facts):
        store = LateInteractionVectorStore.from_documents(facts, WordEncoder(), index=str(tmp_path / "index"))
        assert store.similarity_search("germany", k=1) == [facts[3]]
        store.index.close()

    def test_into_an_index_that_exists(self, index, facts):
        index.add(["what was there"])
        store = LateInteractionVectorStore.from_documents(facts, None, index=index)
        assert store.index is index
        assert len(index) == 5

    async def test_from_async(self, tmp_path, index, facts):
        store = await LateInteractionVectorStore.afrom_documents(facts, WordEncoder(), index=tmp_path / "new")
        assert len(store.index) == 4
        store.index.close()
        assert len((await LateInteractionVectorStore.afrom_texts(["one"], None, index=index)).index) == 1

    def test_from_needs_an_index(self):
        with pytest.raises(InvalidRequestError, match="index="):
            LateInteractionVectorStore.from_texts(["one"], WordEncoder())

    def test_path(self, tmp_path, facts):
        store = LateInteractionVectorStore(index=tmp_path / "index", encoder=WordEncoder())
        store.add_documents(facts)
        store.index.close()
        store = LateInteractionVectorStore(index=str(tmp_path / "index"), encoder=WordEncoder())
        assert store.similarity_search("germany", k=1) == [facts[3]]
        store.index.close()

    def test_an_index_has_its_encoder(self, index):
        with pytest.raises(InvalidRequestError, match="encoder"):
            LateInteractionVectorStore(index=index, encoder=WordEncoder())

    def test_embeddings_of_langchain_are_refused(self, tmp_path):
        from langchain_core.embeddings import DeterministicFakeEmbedding

        with pytest.raises(LateInteractionError, match="encoder"):
            LateInteractionVectorStore.from_texts(["x"], DeterministicFakeEmbedding(size=8), index=tmp_path / "index")

    def test_minilm(self, tmp_path, minilm):
        with Index.open(tmp_path / "index", encoder=minilm) as index:
            store = LateInteractionVectorStore(index=index)
            store.add_texts(["Paris is the capital of France.", "The Nile is a river."], ids=["paris", "nile"])
            assert store.similarity_search("African streams", k=1)[0].id == "nile"
