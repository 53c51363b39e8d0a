"""A stage of a model with one vector for each text: all documents in memory, or the candidates encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.cascades.stage import FirstStage, Restriction, reordered, text_of
from late_interaction.cascades.text_vectors import TextVectors, digest, text_only
from late_interaction.documents import Hit
from late_interaction.retrieval.truncation import Truncation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from late_interaction.cascades.models import TextModel
    from late_interaction.index import Index
    from late_interaction.retrieval.queries import Query

__all__ = ["TextStage"]

_MAX_ATTEMPTS = 3  # to find documents that nobody replaces meanwhile


class TextStage(FirstStage):
    """Ranks by the vectors that a model makes of texts.

    Args:
        index: The index of the documents.
        model: The model.
    """

    def __init__(self, index: Index, model: TextModel) -> None:
        self.name = model.name
        self._engine = index.engine
        self._model = model
        self._vectors = TextVectors(index.engine, model)

    def check(self, count: int, restriction: Restriction) -> None:
        """Any number of documents can be found."""

    def refresh(self) -> None:
        """Bring the vectors in memory up to date."""
        self._vectors.refresh()

    def encode(self, queries: Sequence[Query]) -> Sequence[Any]:
        """Return the vector of each query."""
        truncation = Truncation()
        encoded = self._model.queries([text_of(query, self.name) for query in queries], truncation)
        truncation.warn()
        return encoded

    def find(self, query: Query, encoded: Any, count: int, restriction: Restriction) -> list[Hit]:
        """Return the best of all documents.

        Where the engine cannot tell that something was written, a changed text is noticed here, and all are read again.
        """
        hits: list[Hit] = []
        for _ in range(_MAX_ATTEMPTS):
            found = self._vectors.best(encoded, count, restriction)
            documents = {document.id: document for document in self._engine.get([name for name, _, _ in found])}
            hits = [
                Hit(documents[name], score, self._model.relevance(score))
                for name, score, of_text in found
                if name in documents and digest(documents[name].text_to_encode) == of_text
            ]
            if len(hits) == len(found):
                break
            self._vectors.refresh()
        return hits

    def rank(self, query: Query, encoded: Any, hits: list[Hit]) -> list[Hit]:
        """Encode the texts of the candidates and rank them."""
        truncation = Truncation()
        vectors = self._model.documents([text_only(hit.id, hit.document.text_to_encode) for hit in hits], truncation)
        truncation.warn()
        scores = self._model.scores(encoded, vectors).tolist()
        scored = {
            hit.id: Hit(hit.document, score, self._model.relevance(score))
            for hit, score in zip(hits, scores, strict=True)
        }
        return reordered(hits, scored)
