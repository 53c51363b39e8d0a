"""Nodes come back field by field through the retriever, also after opening again, and whatever their metadata."""

from __future__ import annotations

import copy
import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import RecursiveRetriever
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    MetadataMode,
    NodeRelationship,
    ObjectType,
    RelatedNodeInfo,
    TextNode,
)

from late_interaction import Index
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank, LateInteractionRetriever
from tests.fakes import WordEncoder

RELATIONS = {
    NodeRelationship.SOURCE: RelatedNodeInfo(
        node_id="book", node_type=ObjectType.DOCUMENT, metadata={"pages": [1, {"a": None}]}, hash="abc"
    ),
    NodeRelationship.PREVIOUS: RelatedNodeInfo(node_id="before", node_type=ObjectType.TEXT, hash="d"),
    NodeRelationship.NEXT: RelatedNodeInfo(node_id="after", metadata={"größe": "尼罗河"}),
    NodeRelationship.PARENT: RelatedNodeInfo(node_id="chapter"),
    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c1", hash="e"), RelatedNodeInfo(node_id="c2")],
}
NODES = [
    TextNode(
        text="zebra one\r\n\twith “quotes”, \\ and 尼罗河 🦓",
        id_="text/1 ü",
        metadata={"title": "Zebra", "nested": {"list": [1, 2.5, None, {"deep": True}]}, "none": None, "": "", "a.b": 1},
        excluded_embed_metadata_keys=["nested", "none"],
        excluded_llm_metadata_keys=["title"],
        relationships=RELATIONS,
        start_char_idx=3,
        end_char_idx=2**40,
        mimetype="text/markdown",
    ),
    ImageNode(text="zebra two", id_="image", image="aGVsbG8=", image_mimetype="image/png", relationships=RELATIONS),
    ImageNode(text="zebra three", id_="path", image_path="/pages/3.png", metadata={"page": 3}),
    IndexNode(text="zebra four", id_="index", index_id="deeper", relationships=RELATIONS, metadata={"page": 4}),
]


def fields(node):
    return {name: getattr(node, name) for name in type(node).model_fields}


def assert_equal(found, nodes):
    """Of the same type, and the same in every field and in all that is made of them."""
    assert set(found) == {node.node_id for node in nodes}
    for node in nodes:
        back = found[node.node_id]
        assert type(back) is type(node)
        assert fields(back) == fields(node)
        assert back.hash == node.hash
        assert [back.get_content(mode) for mode in MetadataMode] == [node.get_content(mode) for mode in MetadataMode]


def by_id(found):
    return {node.node.node_id: node.node for node in found}


@pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
async def test_in_every_mode(index, mode):
    kept = copy.deepcopy(NODES)
    retriever = LateInteractionIndex(NODES, index=index).as_retriever(similarity_top_k=9, mode=mode)
    assert_equal(by_id(retriever.retrieve("zebra")), kept)
    assert_equal(by_id(await retriever.aretrieve("zebra")), kept)
    assert_equal({node.node_id: node for node in NODES}, kept)


def test_after_opening_again(tmp_path):
    llama = LateInteractionIndex(NODES, index=tmp_path / "kept", encoder=WordEncoder())
    llama.index.close()
    with Index.open(tmp_path / "kept", encoder=WordEncoder()) as index:
        found = by_id(LateInteractionRetriever(index=index, similarity_top_k=9).retrieve("zebra"))
        rerank = LateInteractionRerank(index=index, top_n=9)
        assert_equal(found, NODES)
        again = rerank.postprocess_nodes(
            LateInteractionRetriever(index=index, similarity_top_k=9).retrieve("zebra"), query_str="zebra"
        )
        assert_equal(by_id(again), NODES)
        index.compact()
        assert_equal(by_id(LateInteractionRetriever(index=index, similarity_top_k=9).retrieve("zebra")), NODES)


def test_inserted_again_after_retrieval(index, word_encoder):
    """A node that was retrieved can be changed and put back."""
    llama = LateInteractionIndex(NODES, index=index)
    found = by_id(llama.as_retriever(similarity_top_k=9).retrieve("zebra"))
    llama.insert_nodes(list(found.values()))
    assert_equal(by_id(llama.as_retriever(similarity_top_k=9).retrieve("zebra")), NODES)
    found["path"].metadata["page"] = 30
    found["path"].text = "lion"
    llama.insert_nodes([found["path"]])
    assert_equal(by_id(llama.as_retriever(similarity_top_k=1).retrieve("page 30 lion")), [found["path"]])


def test_dates_come_back_as_text(index):
    when = datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.timezone.utc)
    node = TextNode(text="zebra", metadata={"when": when, "day": when.date()})
    LateInteractionIndex([node], index=index)
    found = LateInteractionRetriever(index=index, where={"day": {"$gte": "2020-01-02", "$lt": "2020-01-03"}})
    metadata = found.retrieve("zebra")[0].node.metadata
    assert metadata == {"when": "2020-01-02T03:00:00+00:00", "day": "2020-01-02"}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    metadata=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), json_values, max_size=4),
    id_=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
)
def test_any_text_metadata_and_id(index, text, metadata, id_):
    node = TextNode(text=text, id_=id_, metadata=metadata, excluded_embed_metadata_keys=list(metadata)[:1])
    llama = LateInteractionIndex([node], index=index)
    assert_equal(by_id(llama.as_retriever(node_ids=[id_]).retrieve("zebra")), [node])


class TestNodesThatLeadElsewhere:
    @pytest.fixture
    def deep(self, tmp_path):
        """A retriever over another index."""
        with Index.open(tmp_path / "deep", encoder=WordEncoder()) as inner:
            yield LateInteractionIndex([TextNode(text="deep water", id_="deep")], index=inner).as_retriever()

    @pytest.fixture
    def root(self, index):
        nodes = [
            TextNode(text="zebra crossing", id_="plain"),
            IndexNode(text="zebra lakes", id_="to retriever", index_id="lakes"),
            IndexNode(text="zebra answers", id_="to engine", index_id="answers"),
            IndexNode(text="zebra whole", id_="to node", index_id="whole"),
        ]
        LateInteractionIndex(nodes, index=index)
        return LateInteractionRetriever(index=index, similarity_top_k=9)  # as in a new process

    async def test_recursive_retriever(self, root, deep, index):
        engine = RetrieverQueryEngine.from_args(deep, llm=MockLLM())
        whole = TextNode(text="the whole page", id_="whole page")
        recursive = RecursiveRetriever(
            "root",
            retriever_dict={"root": root, "lakes": deep},
            query_engine_dict={"answers": engine},
            node_dict={"whole": whole},
        )
        relevance = {hit.id: hit.relevance for hit in index.search("zebra", 9)}
        for found in (recursive.retrieve("zebra"), await recursive.aretrieve("zebra")):
            nodes = by_id(found)
            scores = {node.node.node_id: node.score for node in found}
            assert {"plain", "deep", "whole page"} < set(nodes)
            assert nodes["whole page"] == whole
            assert scores["whole page"] == relevance["to node"]
            [answer] = [node for name, node in nodes.items() if name not in {"plain", "deep", "whole page"}]
            assert "deep water" in answer.text

    async def test_objects_given_to_the_retriever(self, root, deep):
        engine = RetrieverQueryEngine.from_args(deep, llm=MockLLM())
        objects = [
            IndexNode(text="", index_id="lakes", obj=deep),
            IndexNode(text="", index_id="answers", obj=engine),
        ]
        retriever = LateInteractionRetriever(index=root.index, similarity_top_k=9, objects=objects)
        for found in (retriever.retrieve("zebra"), await retriever.aretrieve("zebra")):
            nodes = by_id(found)
            assert {"plain", "deep", "to node"} < set(nodes)
            assert not {"to retriever", "to engine"} & set(nodes)
            assert any("deep water" in node.text for name, node in nodes.items() if name not in {"plain", "deep"})

    async def test_an_object_that_is_a_node_is_stored(self, index):
        page = TextNode(text="the whole page", id_="page", metadata={"n": [1]}, relationships=RELATIONS)
        node = IndexNode(text="zebra summary", id_="summary", index_id="page", obj=page)
        LateInteractionIndex([node], index=index)
        assert node.obj is page
        retriever = LateInteractionRetriever(index=index)  # as in a new process
        relevance = index.search("zebra summary")[0].relevance
        for found in (retriever.retrieve("zebra summary"), await retriever.aretrieve("zebra summary")):
            assert_equal(by_id(found), [page])
            assert found[0].score == relevance

    async def test_through_an_index_that_was_given_objects(self, index, deep):
        llama = LateInteractionIndex(
            objects=[IndexNode(text="zebra", id_="to retriever", index_id="lakes", obj=deep)], index=index
        )
        await llama.ainsert_nodes([IndexNode(text="lion", id_="more", index_id="dens", obj=deep)])
        for query in ("zebra", "lion"):
            assert [node.node.node_id for node in await llama.as_retriever(similarity_top_k=1).aretrieve(query)] == [
                "deep"
            ]
        engine = llama.as_query_engine(llm=MockLLM(), similarity_top_k=1)
        assert "deep water" in str(engine.query("zebra"))
