"""What LangChain's classes do when asked: scores, thresholds, matching words, diversity, filters of one's own."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from pydantic import ValidationError

from late_interaction import Index
from late_interaction.errors import InvalidRequestError, LateInteractionError
from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever, LateInteractionVectorStore
from tests.fakes import WordEncoder


def ids(documents):
    return [document.id for document in documents]


class TestRetriever:
    def test_scores(self, filled, facts):
        expected = {hit.id: hit.relevance for hit in filled.index.search("the nile is a river", 4)}
        found = LateInteractionRetriever(index=filled.index, include_scores=True).invoke("the nile is a river")
        assert {document.id: document.metadata["relevance_score"] for document in found} == expected
        assert filled.get_by_ids(["nile"]) == [facts[0]]  # nothing of that is stored

    @pytest.mark.parametrize("threshold", [0, 0.7, 0.999, 1])
    def test_threshold(self, filled, threshold):
        expected = [hit.id for hit in filled.index.search("the nile is a river", 4) if hit.relevance >= threshold]
        retriever = LateInteractionRetriever(index=filled.index, score_threshold=threshold)
        assert ids(retriever.invoke("the nile is a river")) == expected

    @pytest.mark.parametrize("threshold", [-0.1, 1.1, "high"])
    def test_threshold_that_is_no_relevance(self, filled, threshold):
        with pytest.raises(ValidationError, match="score_threshold"):
            LateInteractionRetriever(index=filled.index, score_threshold=threshold)

    async def test_matching_words(self, filled):
        retriever = LateInteractionRetriever(index=filled.index, k=2, explain=True)
        for found in (retriever.invoke("Nile, Africa?"), await retriever.ainvoke("Nile, Africa?")):
            spans = found[0].metadata["match_spans"]
            assert [(span["query_word"], span["document_word"]) for span in spans] == [
                ("Nile", "nile"),
                ("Africa", "africa"),
            ]
            for span in spans:
                assert found[0].page_content[span["start"] : span["end"]] == span["document_word"]
                assert span["similarity"] == pytest.approx(1, abs=1e-3)
            assert len(found[1].metadata["match_spans"]) == 2

    async def test_a_batch_is_encoded_once(self, filled):
        class Calls(WordEncoder):
            calls = 0

            def encode_queries(self, texts):
                self.calls += 1
                return super().encode_queries(texts)

        encoder = Calls()
        retriever = LateInteractionRetriever(index=Index(engine=filled.index.engine, encoder=encoder), k=1)
        queries = ["the nile is a river", "", "capital of france", "capital of germany"]
        encoder.calls = 0
        assert [ids(found) for found in retriever.batch(queries)] == [["nile"], [], ["paris"], ["berlin"]]
        assert encoder.calls == 1
        assert [ids(found) for found in await retriever.abatch(queries, where={"kind": "city"}, k=2)][2:] == [
            ["paris", "berlin"],
            ["berlin", "paris"],
        ]
        assert encoder.calls == 1  # the vectors of recent queries are kept
        assert [len(found) for found in await retriever.abatch(["new", "newer"])] == [1, 1]
        assert encoder.calls == 2
        assert retriever.batch([]) == await retriever.abatch([]) == []

    async def test_callbacks_of_a_batch(self, filled):
        from langchain_core.callbacks import BaseCallbackHandler

        class Heard(BaseCallbackHandler):
            def __init__(self):
                self.queries, self.found, self.tags = [], [], []

            def on_retriever_start(self, serialized, query, *, tags=None, **kwargs):
                self.queries.append(query)
                self.tags.append(tags)

            def on_retriever_end(self, documents, **kwargs):
                self.found.append(ids(documents))

        retriever = LateInteractionRetriever(index=filled.index, k=1)
        for call in (retriever.batch, retriever.abatch):
            heard = Heard()
            configs = [{"callbacks": [heard], "tags": ["one"]}, {"callbacks": [heard], "tags": ["two"]}]
            done = call(["nile", "paris"], configs)
            if call == retriever.abatch:
                await done
            assert heard.queries == ["nile", "paris"]
            assert heard.found == [["nile"], ["paris"]]
            assert heard.tags == [["one"], ["two"]]

    async def test_errors_of_a_batch(self, filled):
        retriever = LateInteractionRetriever(index=filled.index)
        for found in (
            retriever.batch(["nile", "paris"], return_exceptions=True, k=0),
            await retriever.abatch(["nile", "paris"], return_exceptions=True, k=0),
        ):
            assert [type(each) for each in found] == [InvalidRequestError] * 2
        with pytest.raises(LateInteractionError):
            retriever.batch(["nile", "paris"], k=0)

    async def test_errors_of_the_encoder_are_those_of_its_queries(self, filled):
        class Broken(WordEncoder):
            def encode_queries(self, texts):
                if "nile" in texts:
                    raise RuntimeError("out of memory")
                return super().encode_queries(texts)

        retriever = LateInteractionRetriever(index=Index(engine=filled.index.engine, encoder=Broken()), k=1)
        for found in (
            retriever.batch(["nile", "paris"], return_exceptions=True),
            await retriever.abatch(["nile", "paris"], return_exceptions=True),
        ):
            assert isinstance(found[0], RuntimeError)
            assert ids(found[1]) == ["paris"]
        with pytest.raises(RuntimeError, match="memory"):
            await retriever.abatch(["nile", "paris"])

    def test_traces_name_the_model(self, tmp_path, minilm, filled):
        with Index.open(tmp_path / "real", encoder=minilm) as index:
            params = LateInteractionRetriever(index=index)._get_ls_params()
        assert params["ls_embedding_model"] == "minilm"
        assert "ls_embedding_model" not in LateInteractionRetriever(index=filled.index)._get_ls_params()


class TestStore:
    @pytest.fixture
    def twins(self, store):
        store.add_texts(["red fox", "red fox runs", "red fox sleeps", "red house"], ids=["a", "b", "c", "d"])
        return store

    async def test_diversity(self, twins):
        assert set(ids(twins.similarity_search("red fox", k=3))) == {"a", "b", "c"}
        for found in (
            twins.max_marginal_relevance_search("red fox", k=2, lambda_mult=0.3),
            await twins.amax_marginal_relevance_search("red fox", k=2, lambda_mult=0.3),
            twins.as_retriever(search_type="mmr", search_kwargs={"k": 2, "lambda_mult": 0.3}).invoke("red fox"),
        ):
            assert ids(found) == ["a", "d"]
        assert ids(twins.max_marginal_relevance_search("red fox", k=2, lambda_mult=1)) == ids(
            twins.similarity_search("red fox", k=2)
        )
        assert "d" not in ids(twins.max_marginal_relevance_search("red fox", k=3, fetch_k=3, lambda_mult=0))
        assert len(twins.max_marginal_relevance_search("red fox", k=9)) == 4
        assert twins.max_marginal_relevance_search("") == []

    @pytest.mark.parametrize("bad", [{"lambda_mult": 2}, {"k": 0}, {"filters": {}}])
    def test_diversity_of_nonsense(self, twins, bad):
        with pytest.raises(LateInteractionError):
            twins.max_marginal_relevance_search("red fox", **bad)

    def test_a_filter_may_be_a_function(self, filled, facts):
        asked = []

        def is_long(document):
            asked.append(document)
            return document.metadata.get("length", 0) > 6500

        assert filled.similarity_search("river", k=4, filter=is_long) == [facts[0]]
        assert asked == facts  # LangChain's documents, as they were given
        for mode in ("late", "lexical", "hybrid"):
            assert ids(filled.similarity_search("river", filter=lambda one: one.id == "amazon", mode=mode)) == [
                "amazon"
            ]
        assert filled.similarity_search("river", filter=lambda _: False) == []
        found = filled.max_marginal_relevance_search("river", filter=lambda one: one.metadata["kind"] == "city")
        assert set(ids(found)) == {"paris", "berlin"}


class TestReranker:
    def test_what_was_encoded_is_remembered(self, filled, facts, word_encoder):
        strangers = [Document("the elbe meets the sea", id="elbe", metadata={"n": 1}), Document("rain", id="rain")]
        reranker = LateInteractionReranker(index=filled.index, top_n=2, store=True)
        first = reranker.compress_documents([*facts, *strangers], "elbe sea")
        encoded = word_encoder.documents_encoded
        again = reranker.compress_documents([*facts, *strangers], "elbe sea")
        assert ids(first) == ids(again) == ["elbe", ids(first)[1]]
        assert word_encoder.documents_encoded == encoded
        assert filled.get_by_ids(["elbe", "rain"]) == strangers

    def test_of_one_id_and_two_texts_the_last_is_remembered(self, filled):
        reranker = LateInteractionReranker(index=filled.index, top_n=3, store=True)
        found = reranker.compress_documents([Document("rain", id="x"), Document("snow", id="x")], "snow")
        assert [document.page_content for document in found] == ["snow", "rain"]
        assert [document.page_content for document in filled.get_by_ids(["x"])] == ["snow"]

    def test_an_encoder_has_nowhere_to_store(self):
        with pytest.raises(ValidationError, match="store=True"):
            LateInteractionReranker(encoder=WordEncoder(), store=True)

    def test_a_path_is_opened_for_writing(self, tmp_path, minilm):
        Index.open(tmp_path / "index", encoder=minilm).close()
        reranker = LateInteractionReranker(index=tmp_path / "index", store=True)
        reranker.compress_documents([Document("The Nile is long.", id="n")], "rivers")
        assert "n" in reranker.index
        reranker.index.close()


def test_store_of_documents_without_words(store):
    store.add_texts(["", "one word"], ids=["empty", "word"])
    assert ids(store.max_marginal_relevance_search("word", k=2)) == ["word", "empty"]
    assert isinstance(store, LateInteractionVectorStore)
