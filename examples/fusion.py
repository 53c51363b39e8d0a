"""Fuse late interaction with another retriever in LlamaIndex, then apply a custom reranker."""

from __future__ import annotations

import tempfile
from pydoc_data.topics import topics

from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.schema import NodeWithScore, TextNode

from late_interaction.llama_index import LateInteractionIndex


class Titles(BaseRetriever):
    """Another retriever: returns nodes whose id is a word of the query."""

    def __init__(self, nodes) -> None:
        super().__init__()
        self.nodes = {node.node_id: node for node in nodes}

    def _retrieve(self, query_bundle):
        words = query_bundle.query_str.lower().split()
        return [NodeWithScore(node=self.nodes[word], score=1.0) for word in words if word in self.nodes]


class ShortFirst(BaseNodePostprocessor):
    """A stand-in for a cross-encoder, which would score the query with the text of each remaining node."""

    def _postprocess_nodes(self, nodes, query_bundle=None):
        return sorted(nodes, key=lambda found: len(found.node.text))[:3]


def main() -> None:
    """Query the Python language reference."""
    nodes = [TextNode(text=body[:600], id_=topic) for topic, body in topics.items()]
    with tempfile.TemporaryDirectory() as folder:
        late = LateInteractionIndex(nodes, index=folder, encoder="minilm")
        fused = QueryFusionRetriever(
            [late.as_retriever(similarity_top_k=10), Titles(nodes)],
            llm=MockLLM(),
            num_queries=1,
            similarity_top_k=6,
            mode="reciprocal_rerank",
            use_async=False,
        )
        engine = RetrieverQueryEngine(
            fused, get_response_synthesizer(llm=MockLLM()), node_postprocessors=[ShortFirst()]
        )
        for found in engine.query("how do I slice a list with del").source_nodes:
            print(found.node.node_id)
        late.index.close()


if __name__ == "__main__":
    main()
