"""LangChain's own suites again, whole, with the offline encoder's real vectors."""

from __future__ import annotations

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

from late_interaction import Index
from late_interaction.langchain import LateInteractionRetriever, LateInteractionVectorStore


@pytest.fixture(scope="module")
def real_store(tmp_path_factory, minilm):
    """A store of four texts, which no test changes."""
    with Index.open(tmp_path_factory.mktemp("real") / "index", encoder=minilm) as index:
        store = LateInteractionVectorStore(index=index)
        store.add_texts(
            [
                "The Nile is a river in Africa.",
                "The Amazon is a river in America.",
                "Paris is the capital of France.",
                "Berlin is the capital of Germany.",
            ]
        )
        yield store


class TestStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path, minilm):
        with Index.open(tmp_path / "empty", encoder=minilm) as index:
            yield LateInteractionVectorStore(index=index)


class OverAnIndex(RetrieversIntegrationTests):
    mode: str

    @pytest.fixture(autouse=True)
    def over_an_index(self, real_store):
        self.index = real_store.index

    @property
    def retriever_constructor(self):
        return LateInteractionRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.index, "mode": self.mode}

    @property
    def retriever_query_example(self):
        return "the river is a capital of the"  # a word of every text, so that lexical search also finds enough


class TestLate(OverAnIndex):
    mode = "late"


class TestLexical(OverAnIndex):
    mode = "lexical"


class TestHybrid(OverAnIndex):
    mode = "hybrid"


class OfAStore(RetrieversIntegrationTests):
    """`store.as_retriever`."""

    search_type: str

    @pytest.fixture(autouse=True)
    def over_a_store(self, real_store):
        self.store = real_store

    @property
    def retriever_constructor(self):
        return lambda **search_kwargs: self.store.as_retriever(
            search_type=self.search_type, search_kwargs=search_kwargs
        )

    @property
    def retriever_query_example(self):
        return "African streams"


class TestSimilarity(OfAStore):
    search_type = "similarity"


class TestDiversity(OfAStore):
    search_type = "mmr"
