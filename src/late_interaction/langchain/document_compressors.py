"""Second-stage reranking in LangChain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import BaseDocumentCompressor
from langchain_core.documents import Document as LangChainDocument
from pydantic import ConfigDict, Field, model_validator

from late_interaction.adapters.rerank import opened, ranked, sharing_encoder
from late_interaction.adapters.results import RELEVANCE_SCORE
from late_interaction.index import Index
from late_interaction.langchain.documents import from_langchain

__all__ = ["LateInteractionReranker"]


class LateInteractionReranker(BaseDocumentCompressor):
    """Orders documents by MaxSim and keeps the best.

    With an index, documents it holds (same id, same text) are scored from their stored vectors; only the rest are
    encoded. With an encoder alone, all are encoded. The documents given are never changed: copies come back, with the
    relevance in [0, 1] under ``relevance_score``. Relevance 0 is what the median document of the index gets; with an
    encoder alone, the median of the documents given.

    **Thread safety.** Any thread may call.

    A pickled reranker is the path of its index, opened for reading where it arrives, or its encoder: the name of one
    that was loaded by name; one of your own must pickle itself.

    **Limits.** Documents that the index does not hold are encoded again at every call, unless ``store`` is set.

    Attributes:
        index: An `Index`, or the path or address of one, which is opened for reading; with ``store`` for writing.
        encoder: An `Encoder`, or what `load_encoder` takes; instead of an index.
        top_n: How many documents to keep.
        store: Add documents that the index does not hold to it, so that they are encoded once. One with a known id
            but another text replaces the stored document.
    """

    # Of an address, pydantic would show what our own message leaves out: a password in it.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    index: Index | None = None
    encoder: Any = None
    top_n: int = Field(default=3, gt=0)
    store: bool = False

    @model_validator(mode="before")
    @classmethod
    def _open(cls, values: dict[str, Any]) -> dict[str, Any]:
        index, encoder, store = (values.get(name) for name in ("index", "encoder", "store"))
        return {**values, **opened(index=index, encoder=encoder, store=bool(store))}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> LateInteractionReranker:
        return super().__deepcopy__(sharing_encoder(memo, self.encoder))

    def compress_documents(
        self, documents: Sequence[LangChainDocument], query: str, callbacks: Any = None
    ) -> list[LangChainDocument]:
        """Return copies of the ``top_n`` best documents for the query, best first."""
        source: dict[str, Any] = {"index": self.index, "encoder": self.encoder, "store": self.store}
        best = []
        for position, relevance in ranked(query, documents, from_langchain, top_n=self.top_n, **source):
            metadata = {**documents[position].metadata, RELEVANCE_SCORE: relevance}
            best.append(documents[position].model_copy(update={"metadata": metadata}))
        return best
