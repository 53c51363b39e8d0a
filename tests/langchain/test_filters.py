"""Filters against LangChain's own reference store, which asks a function about every document."""

from __future__ import annotations

import random

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

from tests.engines import naive_filters
from tests.engines.test_local_filters import Generator

DOCUMENTS, FILTERS = 20, 1000


def test_a_thousand_random_nested_filters(store):
    generator = Generator(random.Random(7))
    documents = [Document(f"word{n}", id=str(n), metadata=generator.metadata()) for n in range(DOCUMENTS)]
    theirs = InMemoryVectorStore(DeterministicFakeEmbedding(size=4))
    store.add_documents(documents)
    theirs.add_documents(documents)
    some = 0
    for _ in range(FILTERS):
        where = generator.where()
        expected = theirs.similarity_search(
            "word1", DOCUMENTS, filter=lambda document, where=where: naive_filters.passes(where, document.metadata)
        )
        found = store.similarity_search("word1", DOCUMENTS, filter=where)
        assert {document.id for document in found} == {document.id for document in expected}, where
        some += 0 < len(found) < DOCUMENTS
    assert some > FILTERS / 4  # the filters do tell documents apart
