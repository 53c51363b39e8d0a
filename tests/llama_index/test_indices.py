"""LlamaIndex's index: building, inserting, deleting and refreshing, by way of the base class's own methods."""

from __future__ import annotations

import asyncio
import time

import pytest
from llama_index.core import Document, MockEmbedding, Settings
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import IndexNode, QueryBundle, TextNode
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

from late_interaction import Index
from late_interaction.errors import (
    DuplicateIdError,
    IncompatibleEncoderError,
    InvalidDocumentError,
    InvalidRequestError,
)
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank, LateInteractionRetriever
from tests.fakes import WordEncoder

SPLITTER = [SentenceSplitter(chunk_size=24, chunk_overlap=0)]


def book(name, text, **metadata):
    return Document(text=text, id_=name, metadata=metadata)


BOOKS = [
    book("rivers", "The nile flows north. " * 3 + "The amazon flows east. " * 4, shelf="water"),
    book("cities", "Paris lies on the seine.", shelf="land"),
    book("empty shelf", "Nothing is here."),
]


@pytest.fixture
def library(index):
    """LlamaIndex's index of `BOOKS`."""
    return LateInteractionIndex.from_documents(BOOKS, index=index, transformations=SPLITTER)


def words(index):
    return " ".join(document.text for document in index.index.scan()).lower()


def ref_docs(index):
    return {document.metadata["ref_doc_id"] for document in index.index.scan()}


class TestBuilding:
    def test_from_documents(self, library):
        assert len(library.index) > len(BOOKS)  # it was split
        assert ref_docs(library) == {"rivers", "cities", "empty shelf"}
        found = library.as_retriever(similarity_top_k=1).retrieve("paris seine")[0]
        assert found.node.ref_doc_id == "cities"
        assert found.node.metadata == {"shelf": "land"}
        assert library.index.count(where={"shelf": "water"}) > 1

    def test_from_documents_at_a_path(self, tmp_path):
        llama = LateInteractionIndex.from_documents(BOOKS, index=tmp_path / "new", encoder=WordEncoder())
        assert len(llama.index) == 3
        llama.index.close()
        for path in (tmp_path / "new", str(tmp_path / "new")):
            llama = LateInteractionIndex(index=path, encoder=WordEncoder())
            assert llama.as_retriever(similarity_top_k=1).retrieve("paris")[0].node.ref_doc_id == "cities"
            llama.insert(book("more", "The elbe flows north."))
            llama.delete_ref_doc("more")
            llama.index.close()
        with pytest.raises(IncompatibleEncoderError):
            LateInteractionIndex(index=tmp_path / "new", encoder=WordEncoder(name="other"))

    def test_an_index_has_its_encoder(self, index):
        with pytest.raises(InvalidRequestError, match="encoder"):
            LateInteractionIndex(index=index, encoder=WordEncoder())

    def test_minilm_opens_again_by_itself(self, tmp_path, minilm):
        llama = LateInteractionIndex.from_documents(BOOKS, index=tmp_path / "new", encoder=minilm)
        llama.index.close()
        llama = LateInteractionIndex(index=tmp_path / "new")
        assert llama.as_retriever(similarity_top_k=1).retrieve("French town")[0].node.ref_doc_id == "cities"
        llama.index.close()

    def test_nodes_live_in_the_index_alone(self, library, word_encoder):
        assert library.docstore.docs == {}
        assert word_encoder.documents_encoded == len(library.index)

    def test_no_single_vector_model_is_asked(self, index, monkeypatch):
        class Unwanted(MockEmbedding):
            def _get_text_embedding(self, text):
                pytest.fail("the single-vector model was called")

            _get_query_embedding = _get_text_embedding

        monkeypatch.setattr(Settings, "_embed_model", Unwanted(embed_dim=4))
        llama = LateInteractionIndex.from_documents(BOOKS, index=index)
        assert llama.as_retriever().retrieve("paris")

    @pytest.mark.parametrize("fields", [{"image_url": "https://example.org/i.png"}, {"image_path": "i.png"}])
    def test_images_without_text_are_not_dropped_in_silence(self, index, fields):
        from llama_index.core.schema import ImageNode

        with pytest.raises(InvalidDocumentError, match="nothing but an image"):
            LateInteractionIndex([ImageNode(id_="i", **fields)], index=index)

    def test_a_node_that_leads_to_another_retriever(self, filled, tmp_path):
        with Index.open(tmp_path / "inner", encoder=WordEncoder()) as inner:
            deep = LateInteractionIndex([TextNode(text="deep water", id_="deep")], index=inner).as_retriever()
            node = IndexNode(text="zebra", index_id="deeper", id_="in", obj=deep)
            outer = LateInteractionIndex(objects=[node], index=filled.index)
            assert [found.node.node_id for found in outer.as_retriever(similarity_top_k=1).retrieve("zebra")] == [
                "deep"
            ]

    def test_inserting_a_node_that_leads_to_another_retriever(self, filled, tmp_path):
        with Index.open(tmp_path / "inner", encoder=WordEncoder()) as inner:
            deep = LateInteractionIndex([TextNode(text="deep water", id_="deep")], index=inner).as_retriever()
            filled.insert_nodes([IndexNode(text="zebra", index_id="deeper", id_="in", obj=deep)])
            assert [found.node.node_id for found in filled.as_retriever(similarity_top_k=1).retrieve("zebra")] == [
                "deep"
            ]


class TestChanging:
    def test_insert_nodes(self, filled):
        filled.insert_nodes([TextNode(text="the elbe", id_="elbe"), TextNode(text="the blue nile", id_="nile")])
        assert len(filled.index) == 5
        assert filled.as_retriever(similarity_top_k=1).retrieve("elbe")[0].node.node_id == "elbe"
        assert filled.index.get(["nile"])[0].text == "the blue nile"

    def test_insert_the_same_id_twice(self, filled):
        with pytest.raises(DuplicateIdError):
            filled.insert_nodes([TextNode(text="one", id_="x"), TextNode(text="two", id_="x")])
        assert len(filled.index) == 4

    def test_delete_nodes(self, filled):
        filled.delete_nodes(["nile", "nowhere"])
        assert "nile" not in filled.index
        assert len(filled.index) == 3

    def test_insert_document(self, library):
        library.insert(book("more", "The elbe flows north.", shelf="water"))
        assert "more" in ref_docs(library)
        assert library.as_retriever(similarity_top_k=1).retrieve("elbe")[0].node.metadata == {"shelf": "water"}

    def test_delete_ref_doc(self, library):
        library.delete_ref_doc("rivers")
        library.delete_ref_doc("nowhere")
        assert ref_docs(library) == {"cities", "empty shelf"}
        library.delete_ref_doc("cities", delete_from_docstore=True)
        assert ref_docs(library) == {"empty shelf"}

    def test_update_ref_doc(self, library):
        library.update_ref_doc(book("rivers", "The elbe alone."))
        assert ref_docs(library) == {"rivers", "cities", "empty shelf"}
        assert "elbe" in words(library)
        assert "nile" not in words(library)

    def test_refresh_ref_docs(self, library, word_encoder):
        encoded = word_encoder.documents_encoded
        assert library.refresh_ref_docs(BOOKS) == [False, False, False]
        assert word_encoder.documents_encoded == encoded
        changed = [BOOKS[0], book("cities", "Berlin lies on the spree."), book("new", "A new one.")]
        assert library.refresh_ref_docs(changed) == [False, True, True]
        assert word_encoder.documents_encoded == encoded + 2
        assert ref_docs(library) == {"rivers", "cities", "empty shelf", "new"}
        assert "paris" not in words(library)
        assert "berlin" in words(library)
        assert library.refresh_ref_docs(changed) == [False, False, False]

    def test_refresh_brings_back_what_was_deleted(self, library):
        library.delete_ref_doc("cities", delete_from_docstore=True)
        assert library.refresh_ref_docs(BOOKS) == [False, True, False]
        assert "paris" in words(library)

    def test_refresh_after_opening_again_makes_no_second_copies(self, library):
        before = len(library.index)
        again = LateInteractionIndex(index=library.index, transformations=SPLITTER)  # as in a new process
        again.refresh_ref_docs(BOOKS)
        assert len(again.index) == before

    def test_ref_doc_info(self, library):
        info = library.ref_doc_info
        assert set(info) == {"rivers", "cities", "empty shelf"}
        assert sorted(node_id for source in info.values() for node_id in source.node_ids) == sorted(
            document.id for document in library.index.scan()
        )
        for source, found in info.items():
            assert all(library.index.get([id_])[0].metadata["ref_doc_id"] == source for id_ in found.node_ids)

    def test_nodes_without_a_source_are_in_no_ref_doc_info(self, filled):
        assert filled.ref_doc_info == {}


class TestChangingAsync:
    async def test_insert(self, library):
        await library.ainsert(book("more", "The elbe flows north."))
        await library.ainsert_nodes([TextNode(text="a zebra", id_="zebra")])
        assert "elbe" in words(library)
        assert "zebra" in library.index

    async def test_nodes_live_in_the_index_alone(self, library):
        await library.ainsert_nodes([TextNode(text="a zebra", id_="zebra")])
        assert library.docstore.docs == {}

    async def test_delete_nodes(self, filled):
        await filled.adelete_nodes(["nile"])
        assert len(filled.index) == 3

    async def test_delete_ref_doc(self, library):
        await library.adelete_ref_doc("rivers")
        assert ref_docs(library) == {"cities", "empty shelf"}

    async def test_update_ref_doc(self, library):
        await library.aupdate_ref_doc(book("rivers", "The elbe alone."))
        assert "elbe" in words(library)
        assert "nile" not in words(library)

    async def test_refresh_ref_docs(self, library):
        changed = [BOOKS[0], book("cities", "Berlin lies on the spree."), book("new", "A new one.")]
        assert await library.arefresh_ref_docs(changed) == [False, True, True]
        assert "berlin" in words(library)
        assert "paris" not in words(library)
        assert await library.arefresh_ref_docs(changed) == [False, False, False]

    async def test_inserting_does_not_block_the_loop(self, tmp_path):
        class Slow(WordEncoder):
            def encode_documents(self, texts):
                time.sleep(0.3)
                return super().encode_documents(texts)

        with Index.open(tmp_path / "slow", encoder=Slow()) as index:
            llama = LateInteractionIndex(index=index)
            inserting = asyncio.create_task(llama.ainsert_nodes([TextNode(text="one")]))
            ticks = 0
            while not inserting.done():
                await asyncio.sleep(0.01)
                ticks += 1
            await inserting
        assert ticks >= 10


class TestQuerying:
    def test_as_retriever(self, filled):
        retriever = filled.as_retriever(similarity_top_k=3, where={"kind": "city"}, mode="hybrid")
        assert isinstance(retriever, LateInteractionRetriever)
        assert [found.node.node_id for found in retriever.retrieve("capital of germany")] == ["berlin", "paris"]
        assert len(filled.as_retriever().retrieve("river")) == 2  # LlamaIndex's own default

    def test_metadata_filters(self, filled):
        filters = MetadataFilters(filters=[MetadataFilter(key="kind", value="city")])
        for engine in (filled.as_retriever(filters=filters), filled.as_query_engine(llm=MockLLM(), filters=filters)):
            assert {found.node.node_id for found in engine.retrieve(QueryBundle("river"))} == {"berlin", "paris"}

    def test_query_engine(self, filled, word_encoder):
        rerank = LateInteractionRerank(index=filled.index, top_n=1)
        engine = filled.as_query_engine(
            llm=MockLLM(), similarity_top_k=3, where={"kind": "city"}, mode="hybrid", node_postprocessors=[rerank]
        )
        encoded = word_encoder.documents_encoded
        response = engine.query("capital of germany")
        assert [found.node.node_id for found in response.source_nodes] == ["berlin"]
        assert "berlin is the capital of germany" in str(response)  # the mock repeats its prompt
        assert "paris" not in str(response)
        assert word_encoder.documents_encoded == encoded

    async def test_query_engine_async(self, filled):
        response = await filled.as_query_engine(llm=MockLLM(), similarity_top_k=1).aquery("capital of germany")
        assert [found.node.node_id for found in response.source_nodes] == ["berlin"]

    def test_cut_off_by_relevance(self, filled):
        from llama_index.core.postprocessor import SimilarityPostprocessor

        engine = filled.as_query_engine(
            llm=MockLLM(), similarity_top_k=4, node_postprocessors=[SimilarityPostprocessor(similarity_cutoff=0.99)]
        )
        assert [found.node.node_id for found in engine.query("the nile is a river").source_nodes] == ["nile"]

    def test_chat_engine(self, filled):
        engine = filled.as_chat_engine(chat_mode="context", llm=MockLLM(), similarity_top_k=1)
        assert [found.node.node_id for found in engine.chat("capital of germany").source_nodes] == ["berlin"]
