"""What reaches the encoder: a node's EMBED text, and of a query nothing but the query."""

from __future__ import annotations

import pytest
from llama_index.core import Document
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import ImageNode, IndexNode, MetadataMode, Node, NodeWithScore, QueryBundle, TextNode

from late_interaction import Index
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank
from tests.fakes import WordEncoder


class Recording(WordEncoder):
    """Remembers what it was given."""

    def __init__(self):
        super().__init__()
        self.queries, self.documents = [], []

    def encode_queries(self, texts):
        self.queries.extend(texts)
        return super().encode_queries(texts)

    def encode_documents(self, texts):
        self.documents.extend(texts)
        return super().encode_documents(texts)


@pytest.fixture
def encoder():
    return Recording()


@pytest.fixture
def index(tmp_path, encoder):
    with Index.open(tmp_path / "recorded", encoder=encoder) as index:
        encoder.queries.clear()  # the probe of the fingerprint
        encoder.documents.clear()
        yield index


METADATA = {"title": "Zebras", "secret": "s3cr3t", "year": 1999}
NODES = [
    TextNode(text="as it is", id_="plain"),
    TextNode(text="under a title", id_="titled", metadata=METADATA),
    TextNode(text="part of it", id_="part", metadata=METADATA, excluded_embed_metadata_keys=["secret"]),
    TextNode(text="for models only", id_="llm", metadata=METADATA, excluded_llm_metadata_keys=["title", "year"]),
    TextNode(text="nothing of it", id_="none", metadata=METADATA, excluded_embed_metadata_keys=list(METADATA)),
    TextNode(
        text="in another form",
        id_="form",
        metadata=METADATA,
        metadata_template="<{key}|{value}>",
        metadata_separator=" ~ ",
        text_template="{metadata_str} >>> {content}",
    ),
    ImageNode(text="a caption", id_="image", image_url="https://example.org/x.png", metadata=METADATA),
    IndexNode(text="about zebras", id_="index", index_id="zebras", metadata=METADATA),
    Node(id_="empty", metadata=METADATA),
]
EXPECTED = [node.get_content(MetadataMode.EMBED) for node in NODES]
ENCODED = [text for text in EXPECTED if text]  # a blank text has no vectors


def test_the_texts_of_these_tests_differ():
    assert EXPECTED[1] == "title: Zebras\nsecret: s3cr3t\nyear: 1999\n\nunder a title"
    assert EXPECTED[2] == "title: Zebras\nyear: 1999\n\npart of it"
    assert EXPECTED[4] == "nothing of it"
    assert EXPECTED[5] == "<title|Zebras> ~ <secret|s3cr3t> ~ <year|1999> >>> in another form"
    assert all(node.get_content(MetadataMode.LLM) not in EXPECTED for node in NODES if node.node_id == "llm")


def test_given_to_the_constructor(index, encoder):
    LateInteractionIndex(NODES, index=index)
    assert encoder.documents == ENCODED


async def test_inserted(index, encoder):
    llama = LateInteractionIndex(index=index)
    llama.insert_nodes(NODES[:3])
    await llama.ainsert_nodes(NODES[3:])
    assert encoder.documents == ENCODED


@pytest.mark.parametrize("way", ["from_documents", "insert", "refresh", "update"])
def test_documents(index, encoder, way):
    """The parts of a document have its metadata, and its wishes about them."""
    document = Document(
        text="The nile flows north. " * 6, id_="d", metadata=METADATA, excluded_embed_metadata_keys=["secret"]
    )
    settings = {"index": index, "transformations": [SentenceSplitter(chunk_size=48, chunk_overlap=0)]}
    if way == "from_documents":
        LateInteractionIndex.from_documents([document], **settings)
    else:
        llama = LateInteractionIndex(**settings)
        ways = {"insert": llama.insert, "refresh": lambda one: llama.refresh_ref_docs([one])}
        ways.get(way, llama.update_ref_doc)(document)
    nodes = LateInteractionIndex(index=index).as_retriever(similarity_top_k=100).retrieve("nile")
    assert len(nodes) > 1
    assert sorted(encoder.documents) == sorted(node.node.get_content(MetadataMode.EMBED) for node in nodes)
    assert all(text.startswith("title: Zebras\nyear: 1999\n\n") for text in encoder.documents)


def test_reranked_without_an_index(encoder):
    rerank = LateInteractionRerank(encoder=encoder, top_n=100)
    rerank.postprocess_nodes([NodeWithScore(node=node, score=0.5) for node in NODES], query_str="zebras")
    assert encoder.documents == ENCODED
    assert encoder.queries == ["zebras"]


@pytest.mark.parametrize("store", [False, True])
def test_reranked_with_an_index_that_holds_some(index, encoder, store):
    LateInteractionIndex(NODES[:5], index=index)
    rerank = LateInteractionRerank(index=index, top_n=100, store=store)
    given = [NodeWithScore(node=node, score=0.5) for node in NODES]
    rerank.postprocess_nodes(given, query_str="zebras")
    assert sorted(encoder.documents) == sorted(ENCODED)
    rerank.postprocess_nodes(given, query_str="zebras")
    assert len(encoder.documents) == len(ENCODED) + (0 if store else 3)
    if store:
        assert [document.text_to_encode for document in index.scan()] == EXPECTED


async def test_of_a_query_nothing_but_the_query(index, encoder):
    llama = LateInteractionIndex(NODES, index=index)
    encoder.documents.clear()
    rerank = LateInteractionRerank(index=index, top_n=2)
    engine = llama.as_query_engine(llm=MockLLM(), node_postprocessors=[rerank])
    bundle = QueryBundle("of zebras", image_path="zebra.png", custom_embedding_strs=["of zebras"], embedding=[0.5])
    engine.query(bundle)
    await engine.aquery("of lions")
    assert encoder.queries == ["of zebras", "of lions"]  # once each for the retriever and the reranker
    assert encoder.documents == []
