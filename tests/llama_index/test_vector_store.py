"""The vector store by itself: nodes in and out, query modes, and settings that are honoured or refused."""

from __future__ import annotations

import asyncio
import pickle

import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from late_interaction import Index
from late_interaction.errors import InvalidRequestError, LateInteractionError, UnsupportedError
from late_interaction.llama_index import LateInteractionVectorStore

CITIES = MetadataFilters(filters=[MetadataFilter(key="kind", value="city")])


@pytest.fixture
def store(index, facts):
    store = LateInteractionVectorStore(index=index)
    assert store.add(facts) == [node.node_id for node in facts]
    return store


def part_of(source, text, id_):
    relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)}
    return TextNode(text=text, id_=id_, relationships=relationships)


def asked(store, text="capital of germany", k=2, settings=None, **fields):
    return store.query(VectorStoreQuery(query_str=text, similarity_top_k=k, **fields), **(settings or {}))


def test_it_is_a_vector_store_of_llama_index(store, index):
    assert isinstance(store, BasePydanticVectorStore)
    assert (store.stores_text, store.is_embedding_query, store.client) == (True, True, index)


class TestNodes:
    def test_they_come_back_as_they_were(self, store, facts):
        assert store.get_nodes() == facts
        assert store.get_nodes(["paris", "nowhere", "nile"]) == [facts[2], facts[0]]
        assert store.get_nodes(filters=CITIES) == facts[2:]
        assert store.get_nodes(["berlin", "nile"], CITIES) == [facts[3]]
        assert store.get_nodes([]) == []
        assert store.get_nodes(limit=1) == facts[:1]
        assert store.get_nodes(["paris", "nile"], limit=1) == [facts[2]]
        with pytest.raises(InvalidRequestError, match="limit"):
            store.get_nodes(limit=0)

    def test_one_id_replaces(self, store):
        store.add([TextNode(text="the white nile", id_="nile")])
        assert store.get_nodes(["nile"])[0].text == "the white nile"
        assert len(store.client) == 4

    def test_delete_nodes(self, store):
        store.delete_nodes(["nile", "paris"], CITIES)
        assert {node.node_id for node in store.get_nodes()} == {"nile", "amazon", "berlin"}
        store.delete_nodes(["nile", "nowhere"])
        store.delete_nodes(filters=CITIES)
        assert [node.node_id for node in store.get_nodes()] == ["amazon"]

    def test_nothing_named_deletes_nothing(self, store):
        for call in (store.delete_nodes, lambda: store.delete_nodes(filters=MetadataFilters(filters=[]))):
            with pytest.raises(InvalidRequestError):
                call()
        with pytest.raises(InvalidRequestError):
            store.delete(None)
        store.delete_nodes([])
        assert len(store.client) == 4

    def test_delete_by_source(self, store):
        parts = [part_of("book", "one zebra", "a"), part_of("book", "two zebras", "b"), part_of("other", "x", "book")]
        store.add([*parts, TextNode(text="whole", id_="whole")])
        store.delete("book")
        store.delete("nowhere")
        assert {node.node_id for node in store.get_nodes()} == {"nile", "amazon", "paris", "berlin", "book", "whole"}
        store.delete("whole")  # a document that was added whole is its own source
        assert store.get_nodes(["whole"]) == []

    def test_clear(self, store):
        store.clear()
        assert store.get_nodes() == []

    def test_what_is_no_list_of_nodes(self, store, facts):
        for wrong in (facts[0], "text", ["text"]):
            with pytest.raises(InvalidRequestError, match="nodes"):
                store.add(wrong)


class TestQuery:
    def test_default_is_the_ranking_of_the_index(self, store, index, facts):
        found = asked(store)
        hits = index.search("capital of germany", 2)
        assert found.ids == [hit.id for hit in hits] == ["berlin", "paris"]
        assert found.similarities == [hit.relevance for hit in hits]
        assert found.nodes == [facts[3], facts[2]]

    @pytest.mark.parametrize(
        ("mode", "ours"), [("sparse", "lexical"), ("text_search", "lexical"), ("hybrid", "hybrid")]
    )
    def test_modes(self, store, index, mode, ours):
        hits = index.search("capital river", 3, mode=ours)
        found = asked(store, "capital river", 3, mode=VectorStoreQueryMode(mode))
        assert (found.ids, found.similarities) == ([hit.id for hit in hits], [hit.relevance for hit in hits])
        assert asked(store, "capital river", 3, mode=mode).ids == found.ids

    def test_mmr(self, store, index):
        for threshold, diversity in ((None, 0.5), (1, 0.0), (0.2, 0.8)):
            hits = index.search("river", 2, diversity=diversity)
            found = asked(store, "river", mode="mmr", mmr_threshold=threshold)
            assert found.ids == [hit.id for hit in hits]
        pool = index.search("river", 2, diversity=0.9, diversity_pool=2)
        settings = {"mmr_threshold": 0.1, "mmr_prefetch_k": 2}  # where retrievers of LlamaIndex can pass them
        assert asked(store, "river", mode="mmr", settings=settings).ids == [hit.id for hit in pool]

    def test_alpha(self, store, index):
        for alpha, ours in ((None, "hybrid"), (0.5, "hybrid"), (1, "late"), (0.0, "lexical")):
            hits = index.search("river in africa", 2, mode=ours)
            assert asked(store, "river in africa", mode="hybrid", alpha=alpha).ids == [hit.id for hit in hits]

    def test_top_k_of_each_mode(self, store):
        assert len(asked(store, "river", mode="sparse", sparse_top_k=1).ids) == 1
        assert len(asked(store, "river", mode="hybrid", hybrid_top_k=1).ids) == 1
        assert len(asked(store, "river", mode="hybrid", hybrid_top_k=3).ids) == 3

    def test_restrictions(self, store):
        assert asked(store, "river", 9, filters=CITIES, node_ids=["nile", "paris"]).ids == ["paris"]
        assert len(asked(store, "river", 9, node_ids=[]).ids) == 4  # what `VectorStoreIndex` gives for no restriction
        assert asked(store, "river", 9, settings={"where": {"length": {"$gt": 6500}}}).ids == ["nile"]
        store.add([part_of("book", "a river", "a")])
        assert asked(store, "river", 9, doc_ids=["book"]).ids == ["a"]
        assert asked(store, "river", 9, doc_ids=[]).ids == []

    def test_what_the_index_does_not_have_is_refused_by_name(self, store):
        for fields, message in (
            ({"mode": "svm"}, "'svm'"),
            ({"mode": "semantic_hybrid"}, "semantic_hybrid"),
            ({"mode": "hybrid", "alpha": 0.3}, "alpha=0.3"),
            ({"alpha": 0.5}, "alpha"),
            ({"hybrid_top_k": 3}, "hybrid_top_k"),
            ({"sparse_top_k": 3}, "sparse_top_k"),
            ({"mode": "hybrid", "sparse_top_k": 3}, "sparse_top_k"),
            ({"mmr_threshold": 0.5}, "mmr_threshold"),
            ({"output_fields": ["x"]}, "output_fields"),
            ({"embedding_field": "x"}, "embedding_field"),
        ):
            with pytest.raises(UnsupportedError, match=message):
                asked(store, **fields)

    def test_values_out_of_range(self, store):
        for fields, message in (
            ({"k": 0}, "similarity_top_k"),
            ({"mode": "hybrid", "hybrid_top_k": 0}, "hybrid_top_k"),
            ({"mode": "mmr", "mmr_threshold": 2}, "mmr_threshold"),
            ({"doc_ids": "book"}, "list"),
            ({"settings": {"filter": {}}}, "'filter'"),
            ({"settings": {"wher": {}}}, "Did you mean 'where'"),
            ({"text": None, "query_embedding": [0.1, 0.2]}, "query_str"),
            ({"text": None}, "no text: give query_str"),
            ({"text": None, "query_embedding": []}, "no text: give query_str"),
        ):
            with pytest.raises(InvalidRequestError, match=message):
                asked(store, **fields)

    def test_token_vectors(self, store, word_encoder):
        [vectors] = word_encoder.encode_queries(["african nile"])
        assert asked(store, None, 1, query_embedding=vectors.tolist()).ids == ["nile"]

    def test_a_single_vector_of_the_same_text_changes_nothing(self, store):
        assert asked(store, query_embedding=[0.1, 0.2]).ids == asked(store).ids


def test_arguments_that_nobody_knows(store, facts, index):
    for call in (
        lambda: store.add(facts, namespace="a"),
        lambda: store.delete("x", filters=CITIES),
        lambda: store.delete_nodes(["nile"], where={}),
        lambda: store.persist("x", fs=object()),
    ):
        with pytest.raises(LateInteractionError, match=r"namespace|filters|where|fs="):
            call()
    for name in ("collection", "stores_text"):
        with pytest.raises(TypeError, match=name):
            LateInteractionVectorStore(index=index, **{name: True})
    assert len(index) == 4


class TestAsync:
    async def test_everything(self, index, facts):
        store = LateInteractionVectorStore(index=index)
        assert await store.async_add(facts) == [node.node_id for node in facts]
        assert (await store.aquery(VectorStoreQuery(query_str="capital of germany"))).ids == ["berlin"]
        assert await store.aget_nodes(["nile"]) == [facts[0]]
        await store.adelete_nodes(["nile"], CITIES)
        await store.adelete("nowhere")
        assert len(index) == 4
        await store.adelete_nodes(filters=CITIES)
        assert {node.node_id for node in await store.aget_nodes()} == {"nile", "amazon"}
        await store.aclear()
        assert len(index) == 0

    async def test_the_loop_is_not_blocked(self, store, monkeypatch):
        started, going_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(*_, **__):
            loop.call_soon_threadsafe(started.set)
            asyncio.run_coroutine_threadsafe(going_on.wait(), loop).result(10)
            return []

        monkeypatch.setattr(type(store.client), "search", slow)
        answer = asyncio.create_task(store.aquery(VectorStoreQuery(query_str="x")))
        await asyncio.wait_for(started.wait(), 10)
        going_on.set()  # which only a loop that is free can do
        assert (await answer).ids == []


class TestSettings:
    def test_pickled_as_its_path(self, tmp_path, facts, minilm):
        store = LateInteractionVectorStore(index=tmp_path / "kept", encoder=minilm)
        store.add(facts)
        again = pickle.loads(pickle.dumps(store))
        assert asked(again).ids == asked(store).ids
        again.client.close()
        store.client.close()

    def test_as_a_dict(self, store, word_encoder, tmp_path):
        saved = store.to_dict()
        assert saved["index"] == str(tmp_path / "index")
        store.client.close()
        again = LateInteractionVectorStore.from_dict(saved, encoder=word_encoder)
        assert asked(again).ids == ["berlin", "paris"]
        again.client.close()

    def test_for_reading(self, store, word_encoder, tmp_path):
        reader = LateInteractionVectorStore(index=tmp_path / "index", encoder=word_encoder, read_only=True)
        assert asked(reader).ids == ["berlin", "paris"]
        with pytest.raises(LateInteractionError, match="read_only"):
            reader.add([TextNode(text="x")])
        assert reader.to_dict()["read_only"] is True
        reader.client.close()

    def test_a_new_index(self, tmp_path, word_encoder):
        store = LateInteractionVectorStore(index=tmp_path / "new", encoder=word_encoder)
        store.add([TextNode(text="zebra", id_="z")])
        store.client.close()
        with Index.open(tmp_path / "new", encoder=word_encoder) as index:
            assert asked(LateInteractionVectorStore(index=index), "zebra").ids == ["z"]
