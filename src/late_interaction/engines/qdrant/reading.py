"""The part of `QdrantEngine` that reads documents and vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client import models

from late_interaction.engines.qdrant.filters import compile_filter
from late_interaction.engines.qdrant.points import document_point_id, vectors_of
from late_interaction.engines.qdrant.schema import TOKENS, documents
from late_interaction.engines.qdrant.settings import ROOTS
from late_interaction.engines.qdrant.state import State
from late_interaction.engines.qdrant.versions import check_operators
from late_interaction.engines.records import Record
from late_interaction.engines.remote.batches import chunks_of
from late_interaction.engines.remote.payload import (
    ID,
    ORDER,
    ROOT,
    TRUNCATED,
    VERSION,
    document_of,
    field_keys,
    fields_of,
    id_of,
    root_of,
    truncated_of,
)
from late_interaction.validation import check_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.documents import Document, FieldName
    from late_interaction.engines.records import Match
    from late_interaction.filters import Where

__all__ = ["FIELDS_READ_TOGETHER", "READ_TOGETHER", "VECTORS_READ_TOGETHER", "Reading", "order_of"]

READ_TOGETHER = 128  # documents; with a thumbnail, one may take 200 kB
FIELDS_READ_TOGETHER = 1000  # documents of which only some fields are read, without thumbnails
VECTORS_READ_TOGETHER = 32  # documents with their token vectors; a page of 1,030 vectors takes 3 MB as JSON


class Reading(State):
    """The part of `QdrantEngine` that reads documents and vectors."""

    def check_filter(self, where: Where) -> None:
        """Raise `InvalidFilterError` unless the filter can be applied."""
        self._compiled(where)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents of these ids, in this order; unknown ids are left out."""
        ids = check_ids(ids)
        found = {id_of(payload): payload for payload in self._payloads(ids, field_keys())}
        return [document_of(found[key]) for key in ids if key in found]

    def fetch(self, matches: Sequence[Match]) -> dict[str, Document]:
        """Return the documents of these matches, by id, without those deleted or replaced since they were found."""
        versions = {match.id: match.version for match in matches}
        found = self._payloads(versions, [*field_keys(), VERSION])
        current = {id_of(one): one for one in found if one.get(VERSION) == versions[id_of(one)]}
        return {key: document_of(current[key]) for key in versions if key in current}

    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the stored token vectors by id, each (tokens, dim), rounded to float16; unknown ids are left out."""
        ids = check_ids(ids)
        found = {id_of(point.payload): vectors_of(point, self.dim) for point in self._with_vectors(ids, [ID])}
        return {key: found[key] for key in ids if key in found}

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return documents together with their token vectors, by id; unknown ids are left out."""
        ids = check_ids(ids)
        found = {}
        for point in self._with_vectors(ids, [*field_keys(), ROOT, TRUNCATED]):
            document, payload = document_of(point.payload), point.payload or {}
            found[document.id] = Record(
                document, vectors_of(point, self.dim), root_of(payload), truncated=truncated_of(payload)
            )
        return {key: found[key] for key in ids if key in found}

    def scan(
        self, *, where: Where | None = None, root: int | None = None, fields: Iterable[FieldName] | None = None
    ) -> Iterator[Any]:
        """Yield every document that passes, in the order of addition. See `Engine.scan`.

        What is written meanwhile may come or not: pages of documents are read one after the other.
        """
        of_root = None if root is None else models.FieldCondition(key=ROOT, match=models.MatchValue(value=root))
        condition = documents(self._condition(where), of_root)
        if fields is None:
            points = self._scroll(condition, field_keys(), READ_TOGETHER)
            return (document_of(point.payload) for point in points)
        names = list(fields)
        together = READ_TOGETHER if "image" in names else FIELDS_READ_TOGETHER
        points = self._scroll(condition, field_keys(names), together)
        return (fields_of(point.payload, names) for point in points)

    def count(self, *, where: Where | None = None) -> int:
        """Return how many documents pass."""
        return self._count(documents(self._condition(where)))

    @property
    def roots(self) -> dict[str, Any]:
        """What `record_roots` wrote, or nothing."""
        self._collection  # noqa: B018  # raises if there is none
        return self._settings.read(ROOTS) or {}

    def roots_of(self, ids: Sequence[str]) -> dict[str, int | None]:
        """Return the root of each of these documents, or None; unknown ids are left out."""
        ids = check_ids(ids)
        found = {id_of(payload): root_of(payload) for payload in self._payloads(ids, [ID, ROOT])}
        return {key: found[key] for key in ids if key in found}

    def _condition(self, where: Where | None) -> models.Filter | None:
        """Return a filter as Qdrant's."""
        self._collection  # noqa: B018  # raises if there is none
        return None if where is None else self._compiled(where)

    def _compiled(self, where: Where) -> models.Filter:
        check_operators(where, self._connection.server_version)
        return compile_filter(where)

    def _count(self, condition: models.Filter) -> int:
        return int(self._connection.call("count", count_filter=condition, exact=True).count)

    def _payloads(self, ids: Iterable[str], keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield these keys of the payloads of documents, each once, in any order."""
        for point in self._retrieve(ids, keys, READ_TOGETHER, with_vectors=False):
            yield point.payload or {}

    def _with_vectors(self, ids: Iterable[str], keys: Sequence[str]) -> Iterator[models.Record]:
        """Yield these keys and the token vectors of documents, each once, in any order."""
        return self._retrieve(ids, keys, VECTORS_READ_TOGETHER, with_vectors=[TOKENS])

    def _retrieve(
        self, ids: Iterable[str], keys: Sequence[str], together: int, *, with_vectors: list[str] | bool
    ) -> Iterator[models.Record]:
        self._collection  # noqa: B018  # raises if there is none
        for chunk in chunks_of(dict.fromkeys(ids), together):
            yield from self._connection.call(
                "retrieve",
                ids=[document_point_id(one) for one in chunk],
                with_payload=list(keys),
                with_vectors=with_vectors,
            )

    def _scroll(self, condition: models.Filter, keys: Sequence[str], together: int) -> Iterator[models.Record]:
        """Yield points in the order of addition, those that were there when the second page was read.

        Documents that are written later get greater numbers, so the scan ends. One of the first page that was replaced
        before the second is not yielded again.
        """
        page = self._page(condition, keys, together, None)
        yield from page
        if len(page) < together:
            return
        (last,) = self._page(documents(), [], 1, None, models.Direction.DESC) or page[-1:]
        end = models.FieldCondition(key=ORDER, range=models.Range(lte=order_of(last.payload)))
        bounded = models.Filter(must=[condition, end])
        seen = {point.id for point in page}
        start, limit = order_of(page[-1].payload), together
        border = {point.id for point in page if order_of(point.payload) == start}  # they come again
        while len(page) >= limit:
            limit = together + len(border)
            page = self._page(bounded, keys, limit, start)
            yield from (point for point in page if point.id not in border and point.id not in seen)
            if page:
                before, start = start, order_of(page[-1].payload)
                border = {point.id for point in page if order_of(point.payload) == start} | (
                    border if start == before else set()
                )

    def _page(
        self,
        condition: models.Filter,
        keys: Sequence[str],
        limit: int,
        start: int | None,
        direction: models.Direction = models.Direction.ASC,
    ) -> list[models.Record]:
        """Return the points from this place in the order of addition on."""
        points: list[models.Record]
        points, _ = self._connection.call(
            "scroll",
            scroll_filter=condition,
            limit=limit,
            order_by=models.OrderBy(key=ORDER, direction=direction, start_from=start),
            with_payload=[*keys, ORDER],
            with_vectors=False,
        )
        return points


def order_of(payload: Mapping[str, Any] | None) -> int:
    """Return the place of a document in the order of addition."""
    order = (payload or {}).get(ORDER)
    return order if type(order) is int else 0
