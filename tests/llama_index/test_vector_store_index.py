"""LlamaIndex's own `VectorStoreIndex`, `StorageContext` and `IngestionPipeline` over the vector store."""

from __future__ import annotations

import pytest
from llama_index.core import (
    Document,
    MockEmbedding,
    Settings,
    StorageContext,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import ImageNode, QueryBundle, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

from late_interaction import Index
from late_interaction.errors import InvalidRequestError
from late_interaction.llama_index import LateInteractionRetriever, LateInteractionVectorStore

SPLITTER = SentenceSplitter(chunk_size=24, chunk_overlap=0)
CITIES = MetadataFilters(filters=[MetadataFilter(key="kind", value="city")])


class Unwanted(MockEmbedding):
    """A single-vector model that must not be asked."""

    def _get_text_embedding(self, text):
        pytest.fail("the single-vector model was called")

    _get_query_embedding = _get_text_embedding


@pytest.fixture(autouse=True)
def no_single_vectors(monkeypatch):
    monkeypatch.setattr(Settings, "_embed_model", Unwanted(embed_dim=4))


@pytest.fixture
def store(index):
    return LateInteractionVectorStore(index=index)


@pytest.fixture
def theirs(store, facts):
    """LlamaIndex's index of `facts` over our store."""
    context = StorageContext.from_defaults(vector_store=store)
    return VectorStoreIndex(facts, storage_context=context, embed_model=store.embed_model)


def ids(found):
    return [scored.node.node_id for scored in found]


class TestVectorStoreIndex:
    async def test_from_nodes(self, theirs, facts, index, word_encoder):
        hits = index.search("capital of germany", 2)
        retriever = theirs.as_retriever(similarity_top_k=2)
        for found in (retriever.retrieve("capital of germany"), await retriever.aretrieve("capital of germany")):
            assert [(one.node, one.score) for one in found] == [
                (fact, hit.relevance) for fact, hit in zip((facts[3], facts[2]), hits, strict=True)
            ]
        assert word_encoder.documents_encoded == 4

    async def test_from_vector_store(self, theirs, store):
        again = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
        assert ids(again.as_retriever(similarity_top_k=1).retrieve("african river")) == ["nile"]
        assert ids(again.as_retriever(similarity_top_k=9, filters=CITIES).retrieve("river")) == ["paris", "berlin"]
        for mode in ("sparse", "hybrid", "mmr"):
            settings = {"vector_store_query_mode": mode, "similarity_top_k": 1}
            assert ids(again.as_retriever(**settings).retrieve("capital germany")) == ["berlin"]
        engine = again.as_query_engine(llm=MockLLM(), similarity_top_k=1)
        assert "berlin is the capital" in str(engine.query("capital of germany"))
        assert "berlin is the capital" in str(await engine.aquery("capital of germany"))

    async def test_hyde(self, theirs, index):
        """The strings are searched for in place of the query, joined to one text, as by `LateInteractionIndex`."""
        for mode in ("default", "hybrid", "mmr"):
            retriever = theirs.as_retriever(similarity_top_k=1, vector_store_query_mode=mode)
            for texts in (["nile river"], ["nile", "river in africa", "zzz"]):
                for found in (
                    retriever.retrieve(QueryBundle("berlin", custom_embedding_strs=texts)),
                    await retriever.aretrieve(QueryBundle("berlin", custom_embedding_strs=texts)),
                ):
                    hits = index.search("\n".join(texts), 1, mode="hybrid" if mode == "hybrid" else "late")
                    assert [(one.node.node_id, one.score) for one in found] == [(hits[0].id, hits[0].relevance)]
                    assert ids(found) == ["nile"]

    def test_a_bundle_that_two_retrievers_share(self, theirs, index):
        """LlamaIndex keeps in it what the first one was given by its embedding model."""
        for bundle in (QueryBundle("nile"), QueryBundle("berlin", custom_embedding_strs=["nile"])):
            for retriever in (theirs.as_retriever(), LateInteractionRetriever(index=index), theirs.as_retriever()):
                assert ids(retriever.retrieve(bundle))[0] == "nile"

    def test_with_the_model_of_the_settings(self, store, facts, monkeypatch):
        monkeypatch.setattr(Settings, "_embed_model", store.embed_model)
        theirs = VectorStoreIndex(facts, storage_context=StorageContext.from_defaults(vector_store=store))
        assert ids(VectorStoreIndex.from_vector_store(store).as_retriever().retrieve("african nile"))[0] == "nile"
        assert ids(theirs.as_retriever().retrieve("african nile"))[0] == "nile"

    async def test_changing(self, theirs, index):
        theirs.insert(Document(text="the elbe flows north", id_="elbe"))
        assert ids(theirs.as_retriever(similarity_top_k=1).retrieve("elbe north")) != ["nile"]
        theirs.update_ref_doc(Document(text="the elbe flows past hamburg", id_="elbe"))
        assert [document.text for document in index.scan(where={"ref_doc_id": "elbe"})] == [
            "the elbe flows past hamburg"
        ]
        theirs.delete_ref_doc("elbe")
        assert index.count(where={"ref_doc_id": "elbe"}) == 0
        theirs.delete_nodes(["nile"])
        await theirs.adelete_nodes(["amazon"])
        await theirs.ainsert_nodes([TextNode(text="a zebra", id_="zebra")])
        assert {document.id for document in index.scan()} == {"paris", "berlin", "zebra"}

    async def test_async_from_nodes(self, store, facts):
        context = StorageContext.from_defaults(vector_store=store)
        theirs = VectorStoreIndex([], storage_context=context, embed_model=store.embed_model)
        await theirs.ainsert_nodes(facts)
        assert ids(await theirs.as_retriever(similarity_top_k=1).aretrieve("african nile")) == ["nile"]

    def test_arguments_that_nobody_knows(self, theirs):
        with pytest.raises(InvalidRequestError, match="namespace"):
            theirs.insert_nodes([TextNode(text="x")], namespace="a")
        retriever = theirs.as_retriever(vector_store_kwargs={"wher": {"kind": "city"}})
        with pytest.raises(InvalidRequestError, match="Did you mean 'where'"):
            retriever.retrieve("river")

    def test_what_its_class_says_of_image_nodes(self, theirs, store, index, capsys):
        """LlamaIndex asks its store for no others, once it has inserted one; and drops those without any text."""
        theirs.insert_nodes([ImageNode(text="a painting of the nile", id_="painting")])
        assert ids(theirs.as_retriever(similarity_top_k=9).retrieve("nile")) == ["painting"]
        anew = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
        assert len(anew.as_retriever(similarity_top_k=9).retrieve("nile")) == 5
        context = StorageContext.from_defaults(vector_store=store)
        VectorStoreIndex([ImageNode(id_="bare")], storage_context=context, embed_model=store.embed_model)
        assert "missing content" in capsys.readouterr().out
        assert len(index) == 5

    def test_kept_and_loaded_by_the_storage_context(self, theirs, store, index, tmp_path, word_encoder):
        for text in ("the elbe", "the rhine"):  # twice into the same place
            theirs.insert_nodes([TextNode(text=text, id_="new")])
            theirs.storage_context.persist(str(tmp_path / "kept"))
        index.close()
        copy = LateInteractionVectorStore.from_persist_dir(str(tmp_path / "kept"), encoder=word_encoder)
        context = StorageContext.from_defaults(vector_store=copy, persist_dir=str(tmp_path / "kept"))
        again = load_index_from_storage(context, embed_model=copy.embed_model)
        assert ids(again.as_retriever(similarity_top_k=1).retrieve("the rhine")) == ["new"]
        assert len(copy.client) == 5
        copy.client.close()


def books(**changed):
    texts = {"rivers": "The nile flows north. " * 5, "cities": "Paris lies on the seine. " * 5, **changed}
    return [Document(text=text, id_=name) for name, text in texts.items() if text]


def texts_of(index):
    return {document.metadata.get("ref_doc_id", document.id): document.text.split()[1] for document in index.scan()}


class TestIngestionPipeline:
    @pytest.fixture
    def pipeline(self, store):
        def pipeline(strategy, transformations=(SPLITTER,)):
            return IngestionPipeline(
                transformations=[*transformations, store.embed_model],
                vector_store=store,
                docstore=SimpleDocumentStore(),
                docstore_strategy=strategy,
            )

        return pipeline

    def test_without_a_docstore(self, store, index):
        IngestionPipeline(transformations=[SPLITTER, store.embed_model], vector_store=store).run(documents=books())
        assert texts_of(index) == {"rivers": "nile", "cities": "lies"}

    @pytest.mark.parametrize("run_async", [False, True])
    @pytest.mark.parametrize("transformations", [(SPLITTER,), ()], ids=["split", "whole"])
    async def test_upserts(self, pipeline, index, word_encoder, transformations, run_async):
        made = pipeline(DocstoreStrategy.UPSERTS, transformations)

        async def run(documents):
            return await made.arun(documents=documents) if run_async else made.run(documents=documents)

        await run(books())
        encoded = word_encoder.documents_encoded
        await run(books())
        assert word_encoder.documents_encoded == encoded
        await run(books(rivers="The elbe flows north. "))
        assert texts_of(index) == {"rivers": "elbe", "cities": "lies"}
        assert index.search("nile", 9, mode="lexical") == []  # the old text is not found any more
        await run(books(rivers=None))
        assert texts_of(index) == {"rivers": "elbe", "cities": "lies"}  # this strategy deletes nothing

    @pytest.mark.parametrize("transformations", [(SPLITTER,), ()], ids=["split", "whole"])
    async def test_upserts_and_delete(self, pipeline, index, transformations):
        made = pipeline(DocstoreStrategy.UPSERTS_AND_DELETE, transformations)
        made.run(documents=books())
        made.run(documents=books(rivers="The elbe flows north. "))
        assert texts_of(index) == {"rivers": "elbe", "cities": "lies"}
        await made.arun(documents=books(rivers=None))
        assert texts_of(index) == {"cities": "lies"}

    def test_duplicates_only(self, pipeline, index, word_encoder):
        made = pipeline(DocstoreStrategy.DUPLICATES_ONLY)
        made.run(documents=books())
        encoded = word_encoder.documents_encoded
        made.run(documents=books())
        assert word_encoder.documents_encoded == encoded
        made.run(documents=books(more="The elbe flows north."))
        assert texts_of(index) == {"rivers": "nile", "cities": "lies", "more": "elbe"}

    def test_nodes_are_stored_without_the_embedding(self, store, pipeline):
        nodes = pipeline(DocstoreStrategy.UPSERTS).run(documents=books())
        stored = store.get_nodes([node.node_id for node in nodes])
        assert [node.text for node in stored] == [node.text for node in nodes]
        assert {node.embedding for node in stored} == {None}

    def test_the_index_that_it_fills(self, store, pipeline, tmp_path):
        pipeline(DocstoreStrategy.UPSERTS).run(documents=books())
        theirs = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
        assert theirs.as_retriever(similarity_top_k=1).retrieve("paris seine")[0].node.ref_doc_id == "cities"


def test_pages(tmp_path, colour_encoder, report):
    """Found by their image; their nodes have metadata, so LlamaIndex keeps them."""
    from late_interaction.readers import read_paths

    with Index.open(tmp_path / "pages", encoder=colour_encoder) as index:
        index.add(read_paths([report], modalities=["image"]))
        store = LateInteractionVectorStore(index=index)
        theirs = VectorStoreIndex.from_vector_store(store, embed_model=store.embed_model)
        [found] = theirs.as_retriever(similarity_top_k=1).retrieve("blue")
        assert isinstance(found.node, ImageNode)
        assert found.node.metadata["page"] == 2
