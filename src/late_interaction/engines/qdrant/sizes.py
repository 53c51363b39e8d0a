"""How many documents and token vectors a collection has, without asking each time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from qdrant_client import models

from late_interaction.engines.qdrant.schema import TOKEN_COUNT, documents
from late_interaction.engines.remote.payload import ORDER

if TYPE_CHECKING:
    from late_interaction.engines.qdrant.client import Connection

__all__ = ["Size"]

_KEPT_SECONDS = 60.0
_SAMPLED_DOCUMENTS = 256


class Size:
    """Counts the documents of a collection, and estimates their token vectors. A count is used for a minute."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._documents: tuple[int, float] | None = None  # and until when it is used, in monotonic seconds
        self._tokens: tuple[int, float] | None = None

    def added(self, documents: int, tokens: int) -> None:
        """Note what this object has written. It may have replaced others, so the numbers become upper bounds."""
        if self._documents is not None:
            self._documents = self._documents[0] + documents, self._documents[1]
        if self._tokens is not None:
            self._tokens = self._tokens[0] + tokens, self._tokens[1]

    @property
    def documents(self) -> int:
        """Return how many documents there are, or were at most a minute ago and were added by this object."""
        known = self._documents
        if known is None or known[1] < time.monotonic():
            known = self.count(), time.monotonic() + _KEPT_SECONDS
            self._documents = known
        return known[0]

    @property
    def tokens(self) -> int:
        """Return about how many token vectors there are, or were at most a minute ago."""
        known = self._tokens
        if known is None or known[1] < time.monotonic():
            known = self.estimate(), time.monotonic() + _KEPT_SECONDS
            self._tokens = known
        return known[0]

    def count(self) -> int:
        """Count the documents."""
        return int(self._connection.call("count", count_filter=documents(), exact=True).count)

    def estimate(self) -> int:
        """Estimate the number of token vectors from the documents that were added last."""
        latest, _ = self._connection.call(
            "scroll",
            scroll_filter=documents(),
            limit=_SAMPLED_DOCUMENTS,
            order_by=models.OrderBy(key=ORDER, direction=models.Direction.DESC),
            with_payload=[TOKEN_COUNT],
            with_vectors=False,
        )
        counts = [number for point in latest if type(number := (point.payload or {}).get(TOKEN_COUNT)) is int]
        if len(counts) < _SAMPLED_DOCUMENTS:
            return sum(counts)
        return round(sum(counts) / len(counts) * self.count())

    def forget(self) -> None:
        """Count again when asked the next time."""
        self._documents = self._tokens = None
