"""LangChain's own suites, whole."""

from __future__ import annotations

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

from late_interaction.langchain import LateInteractionRetriever


class TestStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, store):
        return store


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def over_an_index(self, filled):
        self.index = filled.index

    @property
    def retriever_constructor(self):
        return LateInteractionRetriever

    @property
    def retriever_constructor_params(self):
        return {"index": self.index}

    @property
    def retriever_query_example(self):
        return "river"


class TestRetrieverOfAStore(RetrieversIntegrationTests):
    """`store.as_retriever`, through the same suite."""

    @pytest.fixture(autouse=True)
    def over_a_store(self, filled):
        self.store = filled

    @property
    def retriever_constructor(self):
        return lambda **search_kwargs: self.store.as_retriever(search_kwargs=search_kwargs)

    @property
    def retriever_query_example(self):
        return "river"
