"""The part of `QdrantEngine` that searches: a first stage inside Qdrant, MaxSim over its candidates, and words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from late_interaction.engines import first_stage
from late_interaction.engines.first_stage import MEAN_SHARE, query_mean
from late_interaction.engines.qdrant.points import document_point_id, sparse_vector
from late_interaction.engines.qdrant.reading import FIELDS_READ_TOGETHER, Reading
from late_interaction.engines.qdrant.schema import CENTROIDS, MEAN, TOKEN_COUNT, TOKENS, WORDS, documents
from late_interaction.engines.records import Match
from late_interaction.engines.remote.batches import chunks_of
from late_interaction.engines.remote.payload import ID, VERSION, id_of
from late_interaction.engines.remote.words import highest_score, query_vector
from late_interaction.validation import check_ids, check_k, check_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from late_interaction.engines.records import Ids
    from late_interaction.filters import Where

__all__ = ["Searching"]

_MIN_CANDIDATES, _CANDIDATES_FACTOR = 500, 4
"""Documents that the first stage finds: 500, or four times as many as are wanted."""

_IDS_TOGETHER = 500  # whose scores are one request
_COUNTED_K = 10_000  # a greater k is compared with the number of documents, since a server makes room for k
_OVERSAMPLING = 4.0  # of quantized candidates, which are then scored exactly

_EXACT = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))
_RESCORED = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING))


class Searching(Reading):
    """The part of `QdrantEngine` that searches."""

    def search(
        self, query_vectors: ArrayLike, k: int = 10, *, where: Where | None = None, candidates: Ids | None = None
    ) -> list[Match]:
        """Return the k best documents by MaxSim, best first.

        Candidates are found by mean vectors and centroids, 500 or 4 k of them unless `QdrantEngine` got another number,
        and scored exactly. Everything is scored in a collection of no more documents, or of fewer than 131,072 token
        vectors unless the number was given, in local mode, with ``candidates``, and where fewer than k candidates pass
        the filter.

        Raises:
            IndexReplacedError: The collection was deleted and created again after it was opened. It is looked at once a
                minute.
        """
        k = check_k(k)
        query = check_vectors(query_vectors, self.dim, "Query vectors")
        condition = self._condition(where)
        if candidates is not None:
            return _best(self._scored(query, check_ids(candidates), condition), k)
        if k > _COUNTED_K:
            k = max(1, min(k, self._count(documents(condition))))
        if not len(query):
            return list(self._zeros(condition, k))
        found = self._late(query, k, condition)
        if len(found) < k or found[-1].score < 0:
            found += self._zeros(documents(condition, _EMPTY), k)
        return _best(found, k)

    def score(self, query_vectors: ArrayLike, ids: Ids) -> dict[str, float]:
        """Return the exact MaxSim of every document of these ids, by id; unknown ids are left out."""
        query = check_vectors(query_vectors, self.dim, "Query vectors")
        return {match.id: match.score for match in self._scored(query, check_ids(ids), self._condition(None))}

    def search_lexical(
        self, query: str, k: int = 10, *, where: Where | None = None, candidates: Ids | None = None
    ) -> list[Match]:
        """Return the k best documents by BM25 over words and stems, with the server's document frequencies."""
        k = check_k(k)
        condition = self._condition(where)
        words = query_vector(query, self.language)
        chunks: Iterator[Any] = iter([None])
        if candidates is not None:
            chunks = chunks_of(dict.fromkeys(check_ids(candidates)), _IDS_TOGETHER)
        if not len(words.indices):
            return []
        if k > _COUNTED_K:
            k = max(1, min(k, self._count(documents(condition))))
        found: list[Match] = []
        for chunk in chunks:
            those = documents(condition, None if chunk is None else _with_ids(chunk))
            found += self._query(sparse_vector(words), WORDS, k, those, None)
        return _best(found, k)

    def highest_lexical_score(self, query: str) -> float:
        """Return what the score of a document approaches in which every word of a query occurs many times.

        One request asks for a document with each word, whose score tells the word's document frequency.
        """
        indices = query_vector(query, self.language).indices.tolist()
        requests = [
            models.QueryRequest(
                query=models.SparseVector(indices=[index], values=[1.0]), using=WORDS, limit=1, with_vector=[WORDS]
            )
            for index in indices
        ]
        found = self._connection.call("query_batch_points", requests=requests) if requests else []
        idf: dict[int, float] = {}
        for index, response in zip(indices, found, strict=True):
            for point in response.points:
                words = point.vector[WORDS]
                idf[index] = point.score / words.values[words.indices.index(index)]
        return highest_score(query, self.language, idf, self._size.documents)

    def _late(self, query: NDArray[np.float32], k: int, condition: models.Filter | None) -> list[Match]:
        """Return the k best documents with token vectors; fewer only if fewer pass."""
        depth = self._depth(k)
        those = documents(condition)
        if self._finds_candidates(k):
            prefetch = self._prefetch(query, depth, those, is_filtered=condition is not None)
            params = _RESCORED if self._collection.is_quantized else None
            found = self._query(query.tolist(), TOKENS, k, None, params, prefetch=prefetch)
            if len(found) == k:
                return found
        return self._query(query.tolist(), TOKENS, k, those, _EXACT)

    def _depth(self, k: int) -> int:
        """Return how many candidates the first stage finds."""
        chosen = self._options.candidates
        return max(k, _MIN_CANDIDATES, _CANDIDATES_FACTOR * k) if chosen is None else max(k, chosen)

    def _finds_candidates(self, k: int = 10) -> bool:
        """Return whether candidates are found first, since scoring everything would take longer.

        Before there are enough token vectors for centroids, it takes no longer, and mean vectors alone miss documents.
        """
        if self._capabilities.exact_search or self._options.candidates is not None:
            return not self._capabilities.exact_search
        state = self._stage.current
        if self._size.documents <= self._depth(k):
            return False
        has_centroids = state.centroids is not None and state.is_complete
        return has_centroids or self._size.tokens >= first_stage.MIN_TRAINING_TOKENS

    def _prefetch(
        self, query: NDArray[np.float32], depth: int, those: models.Filter, *, is_filtered: bool
    ) -> list[models.Prefetch]:
        """Return the first stage: candidates by mean vectors and by centroids; by mean vectors alone without centroids.

        With a filter, mean vectors give as many candidates as there may be in all. So if no more documents pass, all of
        them are candidates, and nobody has to count them first.
        """
        state = self._stage.current
        sparse = None
        if state.centroids is not None and state.is_complete:
            sparse = state.centroids.query(query)
        mean = query_mean(query).tolist()
        if sparse is None or not len(sparse.indices):
            return [models.Prefetch(query=mean, using=MEAN, filter=those, limit=depth)]
        by_mean = math.ceil(MEAN_SHARE * depth)
        return [
            models.Prefetch(query=mean, using=MEAN, filter=those, limit=depth if is_filtered else by_mean),
            models.Prefetch(query=sparse_vector(sparse), using=CENTROIDS, filter=those, limit=max(1, depth - by_mean)),
        ]

    def _scored(self, query: NDArray[np.float32], ids: Sequence[str], condition: models.Filter | None) -> list[Match]:
        """Return the exact score of every document of these ids that passes."""
        found: list[Match] = []
        for chunk in chunks_of(dict.fromkeys(ids), _IDS_TOGETHER):
            those = documents(condition, _with_ids(chunk))
            scored = self._query(query.tolist(), TOKENS, len(chunk), those, _EXACT) if len(query) else []
            if len(scored) < len(chunk):  # the others are unknown, do not pass, or have no token vectors
                scored += self._zeros(documents(those, _EMPTY) if len(query) else those, len(chunk))
            found += scored
        return found

    def _zeros(self, condition: models.Filter | None, count: int) -> Iterator[Match]:
        """Yield documents that score 0, in the order of addition."""
        points = self._scroll(documents(condition), [ID, VERSION], min(count, FIELDS_READ_TOGETHER))
        for _, point in zip(range(count), points, strict=False):
            yield _match(point, 0.0)

    def _query(
        self,
        query: Any,
        using: str,
        limit: int,
        condition: models.Filter | None,
        params: models.SearchParams | None,
        **options: Any,
    ) -> list[Match]:
        if params is not None and not self._connection.is_local:  # where they have no effect
            options["search_params"] = params
        response = self._connection.call(
            "query_points",
            query=query,
            using=using,
            query_filter=condition,
            limit=limit,
            with_payload=[ID, VERSION],
            with_vectors=False,
            **options,
        )
        return [_match(point, float(point.score)) for point in response.points]


_EMPTY = models.FieldCondition(key=TOKEN_COUNT, match=models.MatchValue(value=0))


def _with_ids(ids: Sequence[str]) -> models.HasIdCondition:
    return models.HasIdCondition(has_id=[document_point_id(one) for one in ids])


def _match(point: Any, score: float) -> Match:
    return Match(id_of(point.payload), score, version=(point.payload or {}).get(VERSION))


def _best(found: Sequence[Match], k: int) -> list[Match]:
    once: dict[str, Match] = {}  # another writer may have replaced a document between two requests
    for match in sorted(found, key=lambda match: -match.score):
        once.setdefault(match.id, match)
    return list(once.values())[:k]
