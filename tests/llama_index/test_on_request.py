"""What LlamaIndex's classes do when asked: matching words, nodes and sources by id, events, being written down."""

from __future__ import annotations

import copy
from typing import ClassVar

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    RelatedNodeInfo,
    TextNode,
)

from late_interaction import Index
from late_interaction.errors import InvalidRequestError
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank, LateInteractionRetriever
from tests.fakes import WordEncoder


def ids(found):
    return [node.node.node_id for node in found]


def scored(nodes):
    return [NodeWithScore(node=node, score=0.25) for node in nodes]


class TestRetriever:
    def test_matching_words(self, filled):
        found = filled.as_retriever(explain=True).retrieve("Nile Africa")[0]
        spans = found.node.metadata["match_spans"]
        assert [span["document_word"] for span in spans] == ["nile", "africa"]
        assert all(found.node.text[span["start"] : span["end"]] == span["document_word"] for span in spans)
        for mode in (MetadataMode.LLM, MetadataMode.EMBED):
            assert "match_spans" not in found.node.get_content(mode)
        assert "match_spans" not in filled.as_retriever().retrieve("Nile Africa")[0].node.metadata

    def test_nodes_by_id(self, filled):
        for mode in ("late", "lexical", "hybrid"):
            retriever = filled.as_retriever(node_ids=["paris", "amazon", "unknown"], similarity_top_k=4, mode=mode)
            assert set(ids(retriever.retrieve("the amazon river or paris"))) == {"paris", "amazon"}
        assert filled.as_retriever(node_ids=[]).retrieve("river") == []

    def test_sources_by_id(self, index):
        source = {name: {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=name)} for name in ("one", "two")}
        nodes = [
            TextNode(text=f"word {at}", id_=f"{name}{at}", relationships=source[name], metadata={"n": at})
            for name in source
            for at in range(3)
        ]
        LateInteractionIndex(nodes, index=index)
        retriever = LateInteractionRetriever(index=index, doc_ids=["one"], similarity_top_k=10)
        assert set(ids(retriever.retrieve("word"))) == {"one0", "one1", "one2"}
        narrow = LateInteractionRetriever(
            index=index, doc_ids=["one", "two"], where={"n": 2}, node_ids=["one1", "two2"], similarity_top_k=10
        )
        assert ids(narrow.retrieve("word")) == ["two2"]

    @pytest.mark.parametrize(
        "node",
        [
            TextNode(
                text="a", metadata={"t": [1]}, excluded_llm_metadata_keys=["t"], metadata_template="{key}={value}"
            ),
            ImageNode(text="a picture", image_path="x.png", image_mimetype="image/png"),
            IndexNode(text="an index", index_id="other"),
            TextNode(
                text="b",
                relationships={
                    NodeRelationship.PARENT: RelatedNodeInfo(node_id="p", metadata={"k": "v"}),
                    NodeRelationship.CHILD: [RelatedNodeInfo(node_id="c")],
                },
            ),
        ],
        ids=["text", "image", "index", "relations"],
    )
    def test_nodes_come_back_as_they_were(self, index, node):
        given = copy.deepcopy(node)
        made = LateInteractionIndex([node], index=index)
        found = made.as_retriever().retrieve("a picture")
        if not isinstance(node, IndexNode):
            assert [type(one.node) for one in found] == [type(given)]
            assert found[0].node == given
        assert node == given


class TestRerank:
    def test_events_and_callbacks(self, filled, facts):
        class Heard(BaseEventHandler):
            events: ClassVar[list] = []

            def handle(self, event, **kwargs):
                self.events.append(event)

        class Called(BaseCallbackHandler):
            def __init__(self):
                super().__init__([], [])
                self.calls = []

            def on_event_start(self, event_type, payload=None, event_id="", parent_id="", **kwargs):
                self.calls.append((event_type, payload))
                return event_id

            def on_event_end(self, event_type, payload=None, event_id="", **kwargs):
                self.calls.append((event_type, payload))

            def start_trace(self, trace_id=None): ...

            def end_trace(self, trace_id=None, trace_map=None): ...

        heard, called = Heard(), Called()
        dispatcher = get_dispatcher("late_interaction.llama_index.postprocessor")
        dispatcher.add_event_handler(heard)
        try:
            rerank = LateInteractionRerank(index=filled.index, top_n=2, callback_manager=CallbackManager([called]))
            found = rerank.postprocess_nodes(scored(facts), query_str="capital of germany")
        finally:
            dispatcher.event_handlers.remove(heard)
        start, end = heard.events
        assert isinstance(start, ReRankStartEvent)
        assert isinstance(end, ReRankEndEvent)
        assert (start.top_n, start.model_name, len(start.nodes)) == (2, "WordEncoder", 4)
        assert end.nodes == found
        (kind, first), (last_kind, last) = called.calls
        assert kind == last_kind == CBEventType.RERANKING
        assert (first[EventPayload.QUERY_STR], first[EventPayload.TOP_K]) == ("capital of germany", 2)
        assert last[EventPayload.NODES] == found

    def test_the_first_score_is_kept_on_request(self, filled, facts):
        kept = copy.deepcopy(facts)
        rerank = LateInteractionRerank(index=filled.index, top_n=4, keep_retrieval_score=True)
        found = rerank.postprocess_nodes(scored(facts), query_str="river")
        assert [node.node.metadata["retrieval_score"] for node in found] == [0.25] * 4
        assert facts == kept
        assert (
            "retrieval_score"
            not in LateInteractionRerank(index=filled.index)
            .postprocess_nodes(scored(facts), query_str="river")[0]
            .node.metadata
        )

    def test_written_down_and_made_again(self, tmp_path, minilm, facts):
        Index.open(tmp_path / "index", encoder=minilm).close()
        over_index = LateInteractionRerank(index=tmp_path / "index", top_n=1, keep_retrieval_score=True)
        with_encoder = LateInteractionRerank(encoder="minilm", top_n=1)
        for rerank in (over_index, with_encoder):
            written = rerank.to_dict()
            assert all(isinstance(value, (str, int, bool, type(None))) for value in written.values())
            again = LateInteractionRerank.from_dict(written)
            assert again.to_dict() == rerank.to_dict()
            expected = rerank.postprocess_nodes(scored(facts), query_str="German capital")
            assert again.postprocess_nodes(scored(facts), query_str="German capital") == expected
        own = LateInteractionRerank(encoder=WordEncoder(), top_n=2).to_dict()
        assert LateInteractionRerank.from_dict(own, encoder=WordEncoder()).top_n == 2
        with pytest.raises(InvalidRequestError, match="either"):
            LateInteractionRerank.from_dict(own)

    def test_what_was_encoded_is_remembered(self, filled, facts, word_encoder):
        stranger = TextNode(text="the elbe", id_="elbe", metadata={"kind": "river"})
        rerank = LateInteractionRerank(index=filled.index, top_n=1, store=True)
        rerank.postprocess_nodes(scored([*facts, stranger]), query_str="elbe")
        encoded = word_encoder.documents_encoded
        assert rerank.postprocess_nodes(scored([*facts, stranger]), query_str="elbe")[0].node == stranger
        assert word_encoder.documents_encoded == encoded
        assert filled.as_retriever(similarity_top_k=1).retrieve("elbe")[0].node == stranger
        with pytest.raises(InvalidRequestError, match="store"):
            LateInteractionRerank(encoder=WordEncoder(), store=True)
