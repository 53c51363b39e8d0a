"""Blank texts and queries, through the classes of both frameworks, with an encoder whose markers have vectors."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import NodeWithScore, TextNode

from late_interaction import Index
from late_interaction.langchain import LateInteractionVectorStore
from late_interaction.llama_index import LateInteractionIndex
from tests.adapters.frameworks import LangChain

PASSAGES = ["The Nile flows through eleven countries.", "Paris is the capital of France.", "A violin has four strings."]
BLANK = ["", " \n ", "\u200b", "\ufeff\u00ad", "\0"]


def given(framework, texts):
    if framework is LangChain:
        return [LangChainDocument(text, id=str(number)) for number, text in enumerate(texts)]
    return [TextNode(text=text, id_=str(number)) for number, text in enumerate(texts)]


@pytest.fixture
def index(tmp_path, framework, minilm):
    with Index.open(tmp_path / "index", encoder=minilm) as index:
        documents = given(framework, [*BLANK, *PASSAGES])
        if framework is LangChain:
            LateInteractionVectorStore(index=index).add_documents(documents)
        else:
            LateInteractionIndex(index=index).insert_nodes(documents)
        yield index


def text_of(found):
    return found.page_content if isinstance(found, LangChainDocument) else found.node.get_content()


def test_blank_documents_are_not_retrieved_before_others(framework, index):
    for query in ("hello", "price", "what is the refund policy?"):
        assert {text_of(found) for found in framework(index).retrieve(query)} == set(PASSAGES)


def test_blank_documents_are_ranked_last(framework, index, minilm):
    candidates = given(framework, [*BLANK, *PASSAGES])
    if framework is not LangChain:
        candidates = [NodeWithScore(node=node) for node in candidates]
    for source in ({"index": index}, {"encoder": minilm}):
        ranked = framework.rerank(framework, candidates, "price", top_n=3, **source)
        assert {text_of(found) for found in ranked} == set(PASSAGES)


def test_blank_queries_retrieve_nothing(framework, index):
    for query in BLANK:
        assert framework(index, explain=True).retrieve(query) == []
        assert framework(index, mode="hybrid").retrieve(query) == []
