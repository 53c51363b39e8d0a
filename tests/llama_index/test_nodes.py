"""Nodes come back exactly, and what is encoded is their EMBED text."""

from __future__ import annotations

import copy

import pytest
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    MetadataMode,
    Node,
    NodeRelationship,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)

from late_interaction import Document
from late_interaction.errors import LateInteractionError
from late_interaction.llama_index import LateInteractionIndex
from late_interaction.llama_index.nodes import from_node, to_node

RELATIONSHIPS = {
    NodeRelationship.SOURCE: RelatedNodeInfo(
        node_id="book", node_type=ObjectType.DOCUMENT, metadata={"a": 1}, hash="abc"
    ),
    NodeRelationship.NEXT: RelatedNodeInfo(node_id="next"),
    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1"), RelatedNodeInfo(node_id="c2")],
}
NODES = {
    "plain": TextNode(text="plain words", id_="n"),
    "everything": TextNode(
        text="the body\nwith “quotes” and \\ 尼罗河",
        id_="n",
        metadata={"title": "Zebras", "year": 1999, "tags": ["a", {"b": None}], "secret": "s3cr3t", "share": 0.5},
        excluded_embed_metadata_keys=["secret", "tags"],
        excluded_llm_metadata_keys=["year"],
        metadata_template="<{key}|{value}>",
        metadata_separator=" ~ ",
        text_template="{metadata_str} >>> {content}",
        start_char_idx=5,
        end_char_idx=99,
        relationships=RELATIONSHIPS,
    ),
    "awkward keys": TextNode(
        text="x",
        id_="n",
        metadata={"doc_id": "A17", "document_id": "A18", "_hidden": 1, "text": "t", "id": "i", "class_name": "c"},
    ),
    "image": ImageNode(text="a caption", id_="n", image_url="https://example.org/x.png", metadata={"page": 3}),
    "multi-modal": Node(id_="n", metadata={"page": 3}),
    "index": IndexNode(text="about rivers", id_="n", index_id="rivers", metadata={"page": 3}),
    "empty": TextNode(text="", id_="n"),
}


@pytest.fixture
def stored(index):
    def stored(node):
        LateInteractionIndex([node], index=index)
        return index.get([node.node_id])[0]

    return stored


@pytest.mark.parametrize("node", NODES.values(), ids=NODES)
def test_round_trip(index, node):
    kept = copy.deepcopy(node)
    llama = LateInteractionIndex([node], index=index)
    assert node == kept
    found = llama.as_retriever(similarity_top_k=1).retrieve("words")[0].node
    assert type(found) is type(kept)
    assert found == kept
    assert found.to_dict() == kept.to_dict()
    for mode in MetadataMode:
        assert found.get_content(mode) == kept.get_content(mode)
    assert found.ref_doc_id == kept.ref_doc_id
    assert found.hash == kept.hash


def test_embed_text_is_what_is_encoded(stored, index):
    node = NODES["everything"]
    document = stored(node)
    assert document.text == node.get_content(MetadataMode.NONE) == node.text
    assert document.text_to_encode == node.get_content(MetadataMode.EMBED)
    assert "<title|Zebras>" in document.text_to_encode
    assert "s3cr3t" not in document.text_to_encode
    assert index.search("zebras")[0].relevance == pytest.approx(1, abs=1e-3)
    assert len(index.search("zebras", mode="lexical")) == 1
    assert index.search("s3cr3t")[0].relevance < 0.9
    assert index.search("s3cr3t", mode="lexical") == []


@pytest.mark.parametrize(
    "where",
    [
        {"title": "Zebras"},
        {"year": {"$gt": 1990}},
        {"tags": "a"},
        {"tags.b": None},
        {"secret": "s3cr3t"},
        {"ref_doc_id": "book"},
    ],
)
def test_metadata_is_filterable(stored, index, where):
    stored(NODES["everything"])
    assert index.count(where=where) == 1


@pytest.mark.parametrize("key", ["doc_id", "document_id"])
def test_metadata_of_any_name_is_the_users_own(stored, index, key):
    document = stored(NODES["awkward keys"])
    assert document.metadata[key] == NODES["awkward keys"].metadata[key]
    assert index.count(where={key: NODES["awkward keys"].metadata[key]}) == 1


def test_no_source_document_is_no_ref_doc_id(stored, index):
    assert "ref_doc_id" not in stored(NODES["plain"]).metadata
    assert index.count(where={"ref_doc_id": {"$exists": True}}) == 0


def test_embeddings_are_not_stored(stored):
    node = TextNode(text="words", id_="n", embedding=[0.25, 0.5])
    assert "0.25" not in str(stored(node))
    assert node.embedding == [0.25, 0.5]


def test_a_document_that_came_another_way_is_a_text_node():
    document = Document("the text", id="x", metadata={"a": [1]}, encoded_text="Title\nthe text")
    node = to_node(document)
    assert type(node) is TextNode
    assert (node.node_id, node.text, node.metadata) == ("x", "the text", {"a": [1]})
    node.metadata["b"] = 1
    assert document.metadata == {"a": [1]}


def test_from_node_is_a_document():
    document = from_node(NODES["plain"])
    assert (document.id, document.text, document.encoded_text) == ("n", "plain words", None)


@pytest.mark.parametrize("value", [object(), float("nan"), 2**70], ids=["object", "nan", "beyond 64 bits"])
def test_what_cannot_be_stored(index, value):
    with pytest.raises(LateInteractionError):
        LateInteractionIndex([TextNode(text="fine"), TextNode(text="bad", metadata={"x": value})], index=index)
    assert len(index) == 0
