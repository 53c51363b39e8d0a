"""Stages that rank by what an index stores: its modes, and another index over the same ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.cascades.stage import FirstStage, Restriction, is_unchanged, reordered, text_of
from late_interaction.documents import Hit
from late_interaction.engines.base import require
from late_interaction.filters import matches
from late_interaction.retrieval.fusion import reciprocal_rank_fusion
from late_interaction.retrieval.modes import search_encoded
from late_interaction.retrieval.queries import encode
from late_interaction.retrieval.request import SearchRequest
from late_interaction.retrieval.reranking import stored_scores
from late_interaction.retrieval.scores import LateRelevance, fused_relevance, lexical_relevance
from late_interaction.retrieval.truncation import Truncation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.engines import Match
    from late_interaction.index import Index, Mode
    from late_interaction.retrieval.queries import Query

__all__ = ["ModeStage", "OtherIndexStage", "current_hits"]

_RANKINGS = 2  # that the mode hybrid fuses


class ModeStage(FirstStage):
    """A mode of an index.

    Args:
        index: The index.
        mode: ``late``, ``lexical`` or ``hybrid``.
        is_same: Tells whether a stored document is the one that was found.

    Raises:
        UnsupportedError: The engine lacks the mode.
    """

    def __init__(
        self, index: Index, mode: Mode, *, is_same: Callable[[Document, Document | None], bool] = is_unchanged
    ) -> None:
        self.name: str = mode
        if mode != "late":
            require(index.engine, "lexical")
        self._index = index
        self._engine = index.engine
        self._mode = mode
        self._is_same = is_same

    def check(self, count: int, restriction: Restriction) -> None:
        """Raise unless the engine has the mode, and finds this many documents."""
        self._request(count, restriction)

    def encode(self, queries: Sequence[Query]) -> Sequence[Any]:
        """Return the token vectors of each query, (query tokens, dim); None of the mode ``lexical``."""
        if self._mode != "late":
            for query in queries:
                text_of(query, self.name)
        if self._mode == "lexical":
            return [None] * len(queries)
        truncation = Truncation()
        vectors = encode(queries, lambda: self._index.encoder, truncation)
        truncation.warn()
        return vectors

    def find(self, query: Query, encoded: Any, count: int, restriction: Restriction) -> list[Hit]:
        """Return what `Index.search` does."""
        return search_encoded(self._engine, self._request(count, restriction), query.text or "", encoded)

    def rank(self, query: Query, encoded: Any, hits: list[Hit]) -> list[Hit]:
        """Rank by MaxSim of stored vectors, by BM25, where documents without a word of the query score 0, or by both.

        The mode ``hybrid`` fuses the ranks that the documents have among the candidates. Documents that were deleted or
        got another text are left out.
        """
        if self._mode == "late":
            return self._late(encoded, hits)
        if self._mode == "lexical":
            return self._lexical(query, hits)
        late = self._late(encoded, hits)
        known = {hit.id for hit in late}
        lexical = self._lexical(query, [hit for hit in hits if hit.id in known])
        with_words = [hit.id for hit in lexical if hit.score > 0]
        fused = reciprocal_rank_fusion([[hit.id for hit in late], with_words])
        of_both = {hit.id for hit in lexical}
        scored = {
            hit.id: Hit(hit.document, fused[hit.id], fused_relevance(fused[hit.id], _RANKINGS))
            for hit in late
            if hit.id in of_both
        }
        return reordered(hits, scored)

    def _request(self, count: int, restriction: Restriction) -> SearchRequest:
        return SearchRequest.of(
            self._engine, count, mode=self._mode, where=restriction.clause, candidates=restriction.candidates
        )

    def _late(self, vectors: NDArray[np.float32], hits: list[Hit]) -> list[Hit]:
        documents, scores = stored_scores(self._engine, vectors, [hit.id for hit in hits])
        relevance = LateRelevance.of(vectors, self._engine.null_score(vectors))
        scored = {
            hit.id: Hit(hit.document, scores[hit.id], relevance(scores[hit.id]))
            for hit in hits
            if hit.id in scores and self._is_same(hit.document, documents.get(hit.id))
        }
        return reordered(hits, scored)

    def _lexical(self, query: Query, hits: list[Hit]) -> list[Hit]:
        text = text_of(query, self.name)
        ids = [hit.id for hit in hits]
        step = self._engine.capabilities.max_candidates or len(ids)
        with self._engine.one_state(short=True):
            found: list[Match] = []
            for start in range(0, len(ids), step):
                group = ids[start : start + step]
                found += self._engine.search_lexical(text, len(group), candidates=group)
            documents = self._engine.fetch(found)
            highest = self._engine.highest_lexical_score(text) if found else None
        scores = dict.fromkeys(ids, 0.0) | {match.id: match.score for match in found}
        scored = {
            hit.id: Hit(hit.document, scores[hit.id], lexical_relevance(scores[hit.id], highest))
            for hit in hits
            if not scores[hit.id] or self._is_same(hit.document, documents.get(hit.id))
        }
        return reordered(hits, scored)


class OtherIndexStage(FirstStage):
    """Another index over the same ids, which ranks by MaxSim of its own vectors.

    What the two do not have in common is left out: documents that only one of them has, or with another text.

    Args:
        index: The index of the cascade, whose documents are returned.
        other: The other index.
    """

    name = "index"

    def __init__(self, index: Index, other: Index) -> None:
        self._engine = index.engine
        self._late = ModeStage(other, "late", is_same=_has_same_text)

    def check(self, count: int, restriction: Restriction) -> None:
        """Raise unless the engine of the other index finds this many documents."""
        self._late.check(count, restriction)

    def encode(self, queries: Sequence[Query]) -> Sequence[Any]:
        """Return the vectors of each query, made by the encoder of the other index."""
        for query in queries:
            text_of(query, self.name)
        return self._late.encode(queries)

    def find(self, query: Query, encoded: Any, count: int, restriction: Restriction) -> list[Hit]:
        """Return what the other index finds and this one holds, too."""
        found = self._late.find(query, encoded, count, restriction)
        documents = {document.id: document for document in self._engine.get([hit.id for hit in found])}
        return [
            Hit(documents[hit.id], hit.score, hit.relevance)
            for hit in found
            if _has_same_text(hit.document, documents.get(hit.id)) and _passes(documents[hit.id], restriction)
        ]

    def rank(self, query: Query, encoded: Any, hits: list[Hit]) -> list[Hit]:
        """Rank by MaxSim of the vectors of the other index."""
        return self._late.rank(query, encoded, hits)


def current_hits(index: Index, hits: list[Hit]) -> list[Hit]:
    """Return the hits without those whose document was deleted or got another text since it was found."""
    documents = {document.id: document for document in index.engine.get([hit.id for hit in hits])}
    return [hit for hit in hits if is_unchanged(hit.document, documents.get(hit.id))]


def _has_same_text(document: Document, other: Document | None) -> bool:
    """Return whether the document of another index is the same; it may be the text of a page without its image."""
    if other is None or document.text_to_encode != other.text_to_encode:
        return False
    return None in (document.image, other.image) or document.encoded_content == other.encoded_content


def _passes(document: Document, restriction: Restriction) -> bool:
    return restriction.clause is None or matches(restriction.clause, document.metadata, document.text)
