"""The vectors of text queries: each query is encoded once, however many calls ask for it."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

from late_interaction.forking import renew_in_child
from late_interaction.retrieval.encoding import encode_queries
from late_interaction.validation import check_query

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.encoders.protocol import Encoder

__all__ = ["forget_queries", "query_vectors"]

_MAX_QUERIES = 64
_MAX_BYTES = 16 * 2**20


class _RecentQueries:
    """The vectors of the last queries of one encoder. Any thread may call."""

    def __init__(self) -> None:
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._bytes = 0
        self._make_mutex()
        renew_in_child(self._make_mutex)

    def _make_mutex(self) -> None:
        self._mutex = threading.RLock()  # reentrant, so that a signal handler may search

    def get(self, query: str) -> NDArray[np.float32] | None:
        with self._mutex:
            vectors = self._vectors.get(query)
            if vectors is not None:
                self._vectors.move_to_end(query)
            return vectors

    def put(self, query: str, vectors: NDArray[np.float32]) -> None:
        with self._mutex:
            replaced = self._vectors.pop(query, None)
            self._bytes += vectors.nbytes - (0 if replaced is None else replaced.nbytes)
            self._vectors[query] = vectors
            while len(self._vectors) > _MAX_QUERIES or self._bytes > _MAX_BYTES:
                self._bytes -= self._vectors.popitem(last=False)[1].nbytes


# Not WeakKeyDictionary: a custom encoder may define equality, or no hash.
_recent: dict[int, tuple[weakref.ref[Encoder], _RecentQueries]] = {}


def query_vectors(encoder: Encoder, queries: Sequence[str]) -> list[NDArray[np.float32]]:
    """Return the token vectors of each query, (query tokens, dim) float32, read-only.

    Those of the last queries are kept as long as the encoder is in use, so that retrieving, explaining and reranking
    encode a query once.

    Raises:
        InvalidVectorsError: The encoder returns something else.
    """
    recent = _recent_queries(encoder)
    found: dict[str, NDArray[np.float32]] = {}
    missing: list[str] = []
    for query in dict.fromkeys(map(check_query, queries)):
        known = recent.get(query)
        if known is None:
            missing.append(query)
        else:
            found[query] = known
    for query, vectors in zip(missing, encode_queries(encoder, missing), strict=True):
        kept = vectors.copy()  # the encoder may use its array again
        kept.flags.writeable = False
        recent.put(query, kept)
        found[query] = kept
    return [found[query] for query in queries]


def forget_queries() -> None:
    """Keep no vectors of earlier queries, so that the next search takes the time of a first one."""
    _recent.clear()


def _recent_queries(encoder: Encoder) -> _RecentQueries:
    key = id(encoder)
    known = _recent.get(key)
    if known is not None and known[0]() is encoder:
        return known[1]
    recent = _RecentQueries()
    try:
        reference = weakref.ref(encoder, lambda _: _recent.pop(key, None))
    except TypeError:  # a class with __slots__: its queries are encoded at each call
        return recent
    # Two threads may get here at once; both use what the first has put in.
    return _recent.setdefault(key, (reference, recent))[1]
