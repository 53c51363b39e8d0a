"""An argument is honoured or refused by name: a misspelt filter must not become no filter."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from llama_index.core import Document
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import TransformQueryEngine
from llama_index.core.schema import QueryBundle, TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery

from late_interaction.errors import InvalidFilterError, InvalidRequestError
from late_interaction.llama_index import (
    LateInteractionIndex,
    LateInteractionRerank,
    LateInteractionRetriever,
    LateInteractionVectorStore,
)
from late_interaction.llama_index.queries import query_of

CITIES = MetadataFilters(filters=[MetadataFilter(key="kind", value="city")])
MISSPELT = [
    ({"filter": CITIES}, "Did you mean 'filters'"),
    ({"similarity_topk": 1}, "Did you mean 'similarity_top_k'"),
    ({"Where": {}}, "Did you mean 'where'"),
    ({"vector_store_query_mode": "hybrid"}, "mode= takes"),
    ({"alpha": 0.5}, "alpha"),
    ({"hybrid_top_k": 3}, "similarity_top_k="),
    ({"sparse_top_k": 3}, "similarity_top_k="),
    ({"anything": 1}, "'anything'"),
]


def waiting(call):
    return lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))


def assert_refused(make, message, **given):
    with pytest.raises(InvalidRequestError, match=message):
        make(**given)


def test_retriever(filled):
    for given, message in MISSPELT:
        assert_refused(filled.as_retriever, message, **given)
        assert_refused(LateInteractionRetriever, message, index=filled.index, **given)


def test_query_engine(filled):
    for given, message in MISSPELT:
        assert_refused(filled.as_query_engine, message, llm=MockLLM(), **given)


def test_chat_engines(filled):
    for mode in ("best", "context", "condense_plus_context", "condense_question", "simple"):
        for given, message in MISSPELT:
            # A mode that retrieves nothing has no such argument to suggest.
            expected = next(iter(given)) if mode == "simple" and "Did you mean" in message else message
            assert_refused(filled.as_chat_engine, expected, chat_mode=mode, llm=MockLLM(), **given)


def test_the_arguments_of_the_engines_pass(filled):
    rerank = LateInteractionRerank(index=filled.index, top_n=1)
    settings = {"filters": CITIES, "similarity_top_k": 2, "node_postprocessors": [rerank], "verbose": False}
    engine = filled.as_query_engine(llm=MockLLM(), streaming=True, response_mode="refine", **settings)
    assert [found.node.node_id for found in engine.query("river").source_nodes] == ["paris"]
    for mode, own in (
        ("context", {"system_prompt": "Be brief.", "context_template": "{context_str}"}),
        ("condense_plus_context", {"context_prompt": "{context_str}", "skip_condense": True}),
        ("condense_question", {"response_mode": "refine", "streaming": False}),
    ):
        given = {name: value for name, value in settings.items() if (mode, name) != ("context", "verbose")}
        chat = filled.as_chat_engine(chat_mode=mode, llm=MockLLM(), **given, **own)
        assert [found.node.node_id for found in chat.chat("river").source_nodes] == ["paris"]


def test_an_argument_of_another_chat_mode(filled):
    with pytest.raises(InvalidRequestError, match=r"chat_mode='simple'.*similarity_top_k"):
        filled.as_chat_engine(chat_mode="simple", llm=MockLLM(), similarity_top_k=3)
    with pytest.raises(InvalidRequestError, match=r"chat_mode='context'.*response_mode"):
        filled.as_chat_engine(chat_mode="context", llm=MockLLM(), response_mode="refine")
    with pytest.raises(InvalidRequestError, match="Did you mean 'context'"):
        filled.as_chat_engine(chat_mode="contxt", llm=MockLLM())


def test_settings_are_checked_when_a_retriever_is_made(filled):
    for settings, error in (
        ({"similarity_top_k": 0}, "similarity_top_k"),
        ({"similarity_top_k": "3"}, "similarity_top_k"),
        ({"mode": "dense"}, "mode"),
        ({"where": {"a": {"$near": 1}}}, "near"),
        ({"filters": MetadataFilters(filters=[MetadataFilter(key="a", operator="in", value=3)])}, "takes a list"),
        ({"node_ids": "nile"}, "list"),
        ({"doc_ids": "nile"}, "list"),
    ):
        with pytest.raises((InvalidRequestError, InvalidFilterError), match=error):
            filled.as_retriever(**settings)


def test_filters_of_another_type(filled):
    store = LateInteractionVectorStore(index=filled.index)
    wrong = {"kind": "city"}
    for call in (
        lambda: filled.as_retriever(filters=wrong),
        lambda: store.get_nodes(filters=wrong),
        lambda: store.delete_nodes(filters=wrong),
        lambda: store.delete_nodes(["nile"], filters=wrong),
        lambda: store.query(VectorStoreQuery(query_str="river", filters=wrong)),
    ):
        with pytest.raises(InvalidFilterError, match=r"must be MetadataFilters, got dict\. A dict goes to where="):
            call()
    with pytest.raises(InvalidFilterError, match=r"must be MetadataFilters, got list\.$"):
        filled.as_retriever(filters=CITIES.filters)
    assert len(filled.index) == 4


class TestWriting:
    def test_something_else_than_nodes(self, index):
        store = LateInteractionVectorStore(index=index)
        for call, message in (
            (lambda: store.add(None), r"A list of nodes is needed, got NoneType: pass `\[node\]`"),
            (lambda: store.add(TextNode(text="x")), "A list of nodes is needed, got TextNode"),
            (lambda: store.add(["a"]), "Only nodes can be added, such as `TextNode.*'a'"),
            (lambda: LateInteractionIndex.from_documents(["a"], index=index), "Only documents .* `Document.*'a'"),
            (lambda: LateInteractionIndex.from_documents("a", index=index), "A list of documents is needed, got str"),
            (lambda: LateInteractionIndex.from_documents(None, index=index), "got NoneType"),
        ):
            with pytest.raises(InvalidRequestError, match=message):
                call()
        assert len(index) == 0

    @pytest.mark.parametrize("name", ["embed_model", "transformation", "insert_batch_size"])
    def test_making_an_index(self, index, name):
        for make in (
            lambda **given: LateInteractionIndex.from_documents([Document(text="x")], index=index, **given),
            lambda **given: LateInteractionIndex([TextNode(text="x")], index=index, **given),
        ):
            with pytest.raises(InvalidRequestError, match=name):
                make(**{name: None})
        assert len(index) == 0

    def test_changing_an_index(self, filled):
        document = Document(text="x", id_="x")
        for call in (
            lambda: filled.insert_nodes([TextNode(text="x")], replace_document=True),
            lambda: filled.insert(document, replace_document=True),
            waiting(lambda: filled.ainsert_nodes([TextNode(text="x")], replace_document=True)),
            lambda: filled.delete_nodes(["nile"], filters=CITIES),
            lambda: filled.delete_ref_doc("nile", filters=CITIES),
            lambda: filled.update_ref_doc(document, insert_kwarg={}),
            lambda: filled.refresh_ref_docs([document], insert_kwarg={}),
            lambda: filled.refresh_ref_docs([document], update_kwargs={"insert": {}}),
        ):
            with pytest.raises(InvalidRequestError, match="has no argument"):
                call()
        assert len(filled.index) == 4

    def test_reranker(self, index):
        with pytest.raises(InvalidRequestError, match="top_k"):
            LateInteractionRerank(index=index, top_k=3)


class TestQueryBundle:
    def test_hyde_searches_for_the_hypothetical_answer(self, filled):
        """The model answers with what is asked for; the question itself is not in the query any more."""
        answer = "paris is the capital of france"
        bundle = QueryBundle("a river in africa", custom_embedding_strs=[answer])
        [best, *_] = filled.as_retriever().retrieve(bundle)
        assert best.node.node_id == "paris"
        assert best.score == filled.index.search(answer, 1)[0].relevance

    def test_several_texts_are_one_query(self, filled):
        texts = ["the nile", "the amazon", "rivers"]
        found = filled.as_retriever(similarity_top_k=2).retrieve(QueryBundle("berlin", custom_embedding_strs=texts))
        hits = filled.index.search("\n".join(texts), 2)
        assert [(one.node.node_id, one.score) for one in found] == [(hit.id, hit.relevance) for hit in hits]

    def test_hyde_of_llama_index(self, filled, word_encoder):
        engine = TransformQueryEngine(
            filled.as_query_engine(llm=MockLLM(), similarity_top_k=1), HyDEQueryTransform(llm=MockLLM(max_tokens=4))
        )
        [found] = engine.query("capital of germany").source_nodes
        assert found.node.node_id == "berlin"

    def test_one_vector_for_the_text_is_not_used(self, filled):
        found = filled.as_retriever(similarity_top_k=1).retrieve(QueryBundle("african nile", embedding=[0.1, 0.2]))
        assert found[0].node.node_id == "nile"
        with pytest.raises(InvalidRequestError, match="one vector"):
            filled.as_retriever().retrieve(QueryBundle("", embedding=[0.1, 0.2]))

    def test_token_vectors_are_not_ignored(self, filled, word_encoder):
        vectors = word_encoder.encode_queries(["african nile"])[0]
        bundle = QueryBundle("paris", embedding=vectors.tolist())
        assert np.array_equal(query_of(bundle, filled.index), vectors)
        assert filled.as_retriever(similarity_top_k=1).retrieve(bundle)[0].node.node_id == "nile"
