"""Two-stage retrieval in LangChain: candidates from a single-vector store, reranked by late interaction.

The index stores the token vectors of the passages, so reranking encodes only the query. The first stage can be any
retriever.
"""

from __future__ import annotations

import tempfile
from pydoc_data.topics import topics

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from late_interaction import Index, load_encoder
from late_interaction.langchain import LateInteractionReranker, LateInteractionVectorStore


class MeanPooled(Embeddings):
    """One vector per text: the mean of its token vectors. Any embedding model can take its place."""

    def __init__(self, encoder) -> None:
        self.encoder = encoder

    def embed_documents(self, texts):
        return [
            (vectors.mean(axis=0) / np.linalg.norm(vectors.mean(axis=0))).tolist() for vectors in self._encode(texts)
        ]

    def embed_query(self, text):
        return self.embed_documents([text])[0]

    def _encode(self, texts):
        return self.encoder.encode_documents(list(texts))


def main() -> None:
    """Query the Python language reference."""
    encoder = load_encoder("minilm")
    passages = [Document(body[:600], id=topic, metadata={"topic": topic}) for topic, body in sorted(topics.items())]
    with tempfile.TemporaryDirectory() as folder, Index.open(folder, encoder=encoder) as index:
        LateInteractionVectorStore(index=index).add_documents(passages)
        first = InMemoryVectorStore(MeanPooled(encoder))
        first.add_documents(passages)
        reranker = LateInteractionReranker(index=index, top_n=3)
        rerank = RunnableLambda(lambda given: reranker.compress_documents(given["documents"], given["query"]))
        retriever = first.as_retriever(search_kwargs={"k": 20})
        chain = {"documents": retriever, "query": RunnablePassthrough()} | rerank
        for document in chain.invoke("what does the with statement do"):
            print(f"{document.metadata['relevance_score']:.2f}  {document.id}")


if __name__ == "__main__":
    main()
