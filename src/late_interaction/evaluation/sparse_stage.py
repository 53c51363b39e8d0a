"""`SparseStage`: exact search by the vectors of a `sentence_transformers.SparseEncoder`, in memory."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.cascades.models import SparseModel
from late_interaction.cascades.stage import FirstStage, reordered, text_of
from late_interaction.documents import Document, Hit
from late_interaction.errors import UnsupportedError
from late_interaction.retrieval.truncation import Truncation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from late_interaction.cascades.stage import Restriction
    from late_interaction.index import Index
    from late_interaction.retrieval.queries import Query

__all__ = ["SparseStage"]

_WINDOW_DOCUMENTS = 1024  # whose texts are in memory at once
_BYTES_PER_NONZERO = 8  # a 4-byte number of the word, and its float32


class SparseStage(FirstStage):
    """Ranks by sparse vectors, which are made of all documents at once and kept. For an index that does not change.

    Args:
        model: The `sentence_transformers.SparseEncoder`.
        index: Holds the documents. A page is encoded by the text on it.
        documents: Its documents.

    Raises:
        InvalidRequestError: The model compares by something else than dot product and cosine.
    """

    name = "sparse-encoder"

    def __init__(self, model: Any, index: Index, documents: Iterator[Document]) -> None:
        self._engine = index.engine
        self._model = SparseModel(model)
        self._ids: list[str] = []
        parts = [self._model.none()]
        truncation = Truncation()
        while window := list(islice(documents, _WINDOW_DOCUMENTS)):
            self._ids += [document.id for document in window]
            parts.append(self._model.documents(window, truncation))
        truncation.warn()
        self._vectors = self._model.stacked(parts)
        self._rows = {name: row for row, name in enumerate(self._ids)}

    @property
    def bytes(self) -> int:
        """What the vectors take: 8 bytes for each nonzero, a 4-byte number of the word and a float32."""
        return _BYTES_PER_NONZERO * int(self._vectors.nnz)

    def check(self, count: int, restriction: Restriction) -> None:
        """Raise if only some documents may be found, which no evaluation asks for."""
        if restriction != (None, None):
            raise UnsupportedError("An evaluation searches all documents.")

    def encode(self, queries: Sequence[Query]) -> Sequence[Any]:
        """Return the vector of each query."""
        truncation = Truncation()
        encoded = self._model.queries([text_of(query, self.name) for query in queries], truncation)
        truncation.warn()
        return encoded

    def find(self, query: Query, encoded: Any, count: int, restriction: Restriction) -> list[Hit]:
        """Return the best documents, without those that share no word with the query, which score 0."""
        scores = self._model.scores(encoded, self._vectors)
        best = np.argsort(-scores, kind="stable")[:count]
        found = {self._ids[at]: float(scores[at]) for at in best.tolist() if scores[at] > 0}
        documents = self._engine.get([*found])
        return [self._hit(document, found[document.id]) for document in documents]

    def rank(self, query: Query, encoded: Any, hits: list[Hit]) -> list[Hit]:
        """Rank by the vectors that are kept."""
        vectors = self._vectors[np.array([self._rows[hit.id] for hit in hits], np.int64)]
        scores = self._model.scores(encoded, vectors).tolist()
        return reordered(
            hits, {hit.id: self._hit(hit.document, score) for hit, score in zip(hits, scores, strict=True)}
        )

    def _hit(self, document: Document, score: float) -> Hit:
        return Hit(document, score, self._model.relevance(score))
