"""The reranker: new scores in new wrappers, from stored vectors where there are any."""

from __future__ import annotations

import copy
import datetime

import pytest
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from late_interaction import Index
from late_interaction.errors import LateInteractionError
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank
from tests.fakes import WordEncoder


def scored(nodes):
    return [NodeWithScore(node=node, score=0.5) for node in nodes]


def ids(found):
    return [node.node.node_id for node in found]


@pytest.fixture
def both(filled):
    """The two ways to make one: with an index, and with an encoder alone."""
    return [
        LateInteractionRerank(index=filled.index, top_n=2),
        LateInteractionRerank(encoder=WordEncoder(), top_n=2),
    ]


def test_orders_by_relevance_and_changes_nothing(both, filled, facts):
    given = scored(facts)
    kept = copy.deepcopy(given)
    expected = filled.index.search("capital of germany", 2)
    for rerank in both:
        found = rerank.postprocess_nodes(given, query_str="capital of germany")
        assert ids(found) == [hit.id for hit in expected]
        assert [node.score for node in found] == pytest.approx([hit.relevance for hit in expected], abs=1e-3)
        found[0].score = 9
        assert given == kept


def test_stored_nodes_are_not_encoded(filled, facts, word_encoder):
    encoded, queries = word_encoder.documents_encoded, word_encoder.queries_encoded
    LateInteractionRerank(index=filled.index).postprocess_nodes(scored(facts), query_str="river")
    assert (word_encoder.documents_encoded, word_encoder.queries_encoded) == (encoded, queries + 1)


def test_stored_nodes_whose_metadata_is_encoded_are_not_encoded_again(index, word_encoder):
    node = TextNode(text="they flow north", id_="n", metadata={"title": "rivers"})
    LateInteractionIndex([node], index=index)
    assert node.get_content(MetadataMode.EMBED) != node.text
    found = LateInteractionRerank(index=index).postprocess_nodes(scored([node]), query_str="rivers")
    assert word_encoder.documents_encoded == 1
    assert found[0].score == pytest.approx(1, abs=1e-3)


def test_nodes_the_index_does_not_hold_are_encoded(filled, facts, word_encoder):
    encoded = word_encoder.documents_encoded
    changed = TextNode(text="the elbe meets the sea", id_="nile")
    stranger = TextNode(text="the elbe")
    rerank = LateInteractionRerank(index=filled.index, top_n=2)
    found = rerank.postprocess_nodes(scored([*facts[1:], changed, stranger]), query_str="elbe sea")
    assert word_encoder.documents_encoded == encoded + 2
    assert [node.node for node in found] == [changed, stranger]
    assert found[0].score == pytest.approx(1, abs=1e-3)


def test_embed_text_is_what_is_ranked():
    named = TextNode(text="a body", metadata={"title": "zebra"})
    hidden = TextNode(text="a body", metadata={"title": "zebra"}, excluded_embed_metadata_keys=["title"])
    rerank = LateInteractionRerank(encoder=WordEncoder())
    found = rerank.postprocess_nodes(scored([hidden, named]), query_str="zebra")
    assert [node.node for node in found] == [named, hidden]


def test_metadata_that_is_not_json(both):
    when = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    node = TextNode(text="nile", metadata={"when": when, "self": object}, excluded_embed_metadata_keys=["self"])
    for rerank in both:
        assert rerank.postprocess_nodes(scored([node]), query_str="nile")[0].node is node


def test_equal_nodes_stay_apart(both):
    given = [TextNode(text="nile", id_="x", metadata={"n": n}, excluded_embed_metadata_keys=["n"]) for n in range(2)]
    for rerank in both:
        found = rerank.postprocess_nodes(scored(given), query_str="nile")
        assert [node.node.metadata["n"] for node in found] == [0, 1]


def test_nothing_to_rank(both, facts):
    for rerank in both:
        assert rerank.postprocess_nodes([], query_str="nile") == []
        with pytest.raises(LateInteractionError, match="query"):
            rerank.postprocess_nodes(scored(facts))


async def test_async(both, facts):
    for rerank in both:
        expected = rerank.postprocess_nodes(scored(facts), query_str="germany")
        assert await rerank.apostprocess_nodes(scored(facts), query_str="germany") == expected


def test_paths(tmp_path, minilm):
    nodes = [TextNode(text="Bread is baked.", id_="bread"), TextNode(text="The Nile is a river.", id_="nile")]
    with Index.open(tmp_path / "real", encoder=minilm) as index:
        LateInteractionIndex(nodes, index=index)
    for path in (tmp_path / "real", str(tmp_path / "real")):
        rerank = LateInteractionRerank(index=path, top_n=1)
    assert ids(rerank.postprocess_nodes(scored(nodes), query_str="African streams")) == ["nile"]
    rerank = LateInteractionRerank(encoder="minilm", top_n=1)
    assert ids(rerank.postprocess_nodes(scored(nodes), query_str="African streams")) == ["nile"]


def test_index_or_encoder(index):
    for bad in ({}, {"index": index, "encoder": WordEncoder()}):
        with pytest.raises(LateInteractionError, match="either"):
            LateInteractionRerank(**bad)


@pytest.mark.parametrize("bad", [{"encoder": 5}, {"encoder": WordEncoder}, {"index": 5}])
def test_what_is_no_index_and_no_encoder(bad, facts):
    with pytest.raises((LateInteractionError, ValueError)):
        LateInteractionRerank(**bad)


@pytest.mark.parametrize("top_n", [0, -1, "many"])
def test_top_n_that_is_no_number_of_nodes(top_n):
    with pytest.raises(ValueError, match="top_n"):
        LateInteractionRerank(encoder=WordEncoder(), top_n=top_n)


def test_class_of_llama_index():
    rerank = LateInteractionRerank(encoder=WordEncoder(), top_n=7)
    assert isinstance(rerank, BaseNodePostprocessor)
    assert LateInteractionRerank.class_name() == "LateInteractionRerank"
    assert rerank.to_dict()["top_n"] == 7
    assert rerank.to_dict()["class_name"] == "LateInteractionRerank"
