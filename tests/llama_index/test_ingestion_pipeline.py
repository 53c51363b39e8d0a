"""Nodes of LlamaIndex's `IngestionPipeline`, inserted, changed and deleted by their source document."""

from __future__ import annotations

import pytest
from llama_index.core import Document
from llama_index.core.extractors import TitleExtractor
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import MetadataMode, TransformComponent
from llama_index.core.storage.docstore import SimpleDocumentStore

from late_interaction.llama_index import LateInteractionIndex

SPLITTER = SentenceSplitter(chunk_size=24, chunk_overlap=0)


def books():
    """New objects each time, as from a reader."""
    return [
        Document(text="The nile flows north. " * 5, id_="rivers", metadata={"shelf": "water"}),
        Document(text="Paris lies on the seine. " * 5, id_="cities", metadata={"shelf": "land"}),
    ]


@pytest.fixture
def library(index):
    """An empty index of LlamaIndex's."""
    return LateInteractionIndex(index=index)


@pytest.fixture
def pipeline():
    return IngestionPipeline(transformations=[SPLITTER])


@pytest.fixture
def remembering():
    """A pipeline that passes on only what is new."""
    return IngestionPipeline(
        transformations=[SPLITTER],
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.DUPLICATES_ONLY,
    )


def stored(library):
    """Every node, as the retriever gives it."""
    found = library.as_retriever(similarity_top_k=100).retrieve("nile paris elbe")
    return {node.node.node_id: node.node for node in found}


def by_id(nodes):
    return {node.node_id: node for node in nodes}


def test_nodes_come_back_as_the_pipeline_made_them(library, pipeline):
    nodes = pipeline.run(documents=books())
    assert len(nodes) > 2  # they were split
    library.insert_nodes(nodes)
    assert stored(library) == by_id(nodes)
    info = library.ref_doc_info
    for name in ("rivers", "cities"):
        assert info[name].node_ids == [node.node_id for node in nodes if node.ref_doc_id == name]


async def test_async(library, pipeline):
    nodes = await pipeline.arun(documents=books())
    await library.ainsert_nodes(nodes)
    assert stored(library) == by_id(nodes)
    found = await library.as_retriever(similarity_top_k=1).aretrieve("paris on the seine")
    assert found[0].node.ref_doc_id == "cities"


async def test_unchanged_documents_add_nothing(library, pipeline):
    """The pipeline's cache gives the same nodes again, ids and all."""
    library.insert_nodes(pipeline.run(documents=books()))
    before = stored(library)
    library.insert_nodes(pipeline.run(documents=books()))
    await library.ainsert_nodes(await pipeline.arun(documents=books()))
    assert stored(library) == before
    assert len(library.index) == len(before)


async def test_unchanged_documents_are_not_encoded_again(library, remembering, word_encoder):
    library.insert_nodes(remembering.run(documents=books()))
    before, encoded = stored(library), word_encoder.documents_encoded
    library.insert_nodes(remembering.run(documents=books()))
    await library.ainsert_nodes(await remembering.arun(documents=books()))
    assert stored(library) == before
    assert word_encoder.documents_encoded == encoded == len(before)


def test_only_what_is_new_is_encoded(library, remembering, word_encoder):
    library.insert_nodes(remembering.run(documents=books()))
    encoded = word_encoder.documents_encoded
    more = Document(text="The elbe flows west.", id_="more")
    library.insert_nodes(remembering.run(documents=[*books(), more]))
    assert word_encoder.documents_encoded == encoded + 1
    assert library.as_retriever(similarity_top_k=1).retrieve("elbe")[0].node.ref_doc_id == "more"


def test_of_a_pipeline_that_was_saved(library, remembering, tmp_path, word_encoder):
    library.insert_nodes(remembering.run(documents=books()))
    remembering.persist(str(tmp_path / "pipeline"))
    again = IngestionPipeline(
        transformations=[SPLITTER],
        docstore=SimpleDocumentStore(),
        docstore_strategy=DocstoreStrategy.DUPLICATES_ONLY,
    )
    again.load(str(tmp_path / "pipeline"))
    before, encoded = stored(library), word_encoder.documents_encoded
    library.insert_nodes(again.run(documents=books()))
    assert stored(library) == before
    assert word_encoder.documents_encoded == encoded


async def test_a_changed_document_replaces_its_nodes(library, pipeline):
    library.insert_nodes(pipeline.run(documents=books()))
    untouched = {name: node for name, node in stored(library).items() if node.ref_doc_id == "cities"}
    for text in ("The elbe flows west. " * 4, "The rhine flows past. "):
        changed = await pipeline.arun(documents=[Document(text=text, id_="rivers")])
        await library.adelete_ref_doc("rivers")
        await library.ainsert_nodes(changed)
        assert stored(library) == {**untouched, **by_id(changed)}


def test_deleting_a_source_document(library, pipeline):
    nodes = pipeline.run(documents=books())
    library.insert_nodes(nodes)
    library.delete_ref_doc("rivers", delete_from_docstore=True)
    assert stored(library) == by_id(node for node in nodes if node.ref_doc_id == "cities")
    assert set(library.ref_doc_info) == {"cities"}
    library.delete_ref_doc("cities")
    assert stored(library) == {}


def test_with_refresh_of_the_index(library, pipeline, word_encoder):
    """The hash of a source document is the same, whoever has split it."""
    library.insert_nodes(pipeline.run(documents=books()))
    encoded = word_encoder.documents_encoded
    assert library.refresh_ref_docs(books()) == [False, False]
    assert word_encoder.documents_encoded == encoded
    changed = [books()[0], Document(text="Berlin lies on the spree.", id_="cities")]
    assert library.refresh_ref_docs(changed) == [False, True]
    assert {node.ref_doc_id for node in stored(library).values()} == {"rivers", "cities"}


def test_from_documents_over_a_pipelines_nodes(library, pipeline, index):
    library.insert_nodes(pipeline.run(documents=books()))
    LateInteractionIndex.from_documents(books(), index=index, transformations=[SPLITTER])
    assert sorted(node.text for node in stored(library).values()) == sorted(
        node.text for node in pipeline.run(documents=books())
    )


class Numbers(TransformComponent):
    """A transformation of one's own: it numbers nodes, for readers but not for encoders."""

    def __call__(self, nodes, **kwargs):
        for number, node in enumerate(nodes):
            node.metadata["number"] = number
            node.excluded_embed_metadata_keys.append("number")
        return nodes


def test_what_transformations_add_is_stored(library, index):
    titles = TitleExtractor(llm=MockLLM(max_tokens=3), nodes=1, show_progress=False)
    nodes = IngestionPipeline(transformations=[SPLITTER, titles, Numbers()]).run(documents=books())
    library.insert_nodes(nodes)
    assert stored(library) == by_id(nodes)
    assert {node.metadata["document_title"] for node in stored(library).values()} == {"text text text"}
    found = library.as_retriever(where={"number": 1}).retrieve("nile")
    assert [node.node for node in found] == [nodes[1]]
    document = index.get([nodes[1].node_id])[0]
    assert document.text_to_encode == nodes[1].get_content(MetadataMode.EMBED)
    assert "document_title: text text text" in document.text_to_encode
    assert "number" not in document.text_to_encode
