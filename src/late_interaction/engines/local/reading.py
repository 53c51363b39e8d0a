"""What a local index answers."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from late_interaction.engines.base import Match, Verification
from late_interaction.engines.local.search.plan import search
from late_interaction.engines.local.search.positions import positions_of
from late_interaction.engines.local.states import States
from late_interaction.engines.local.storage.files import CATALOG
from late_interaction.engines.local.verify import verify
from late_interaction.profiling import stage
from late_interaction.validation import check_ids, check_k, check_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from late_interaction.documents import Document
    from late_interaction.engines.local.opening import Opened
    from late_interaction.engines.local.search.device import Device
    from late_interaction.engines.local.states import OneState
    from late_interaction.filters import Where

__all__ = ["Reading"]

_SCANNED_TOGETHER = 64  # documents


class Reading:
    """The half of `LocalEngine` that reads.

    Args:
        opened: The directory of the index.
        device: Scores compressed documents; None for the processor.
    """

    def __init__(self, opened: Opened, device: Device | None) -> None:
        self._opened = opened
        self._root = opened.location.root
        self._device = device
        self._dim, self._bits = opened.catalog.dim, opened.catalog.bits
        self._states = States(opened.catalog, self._dim)

    @property
    def path(self) -> Path:
        """The directory of the index."""
        return self._root

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        return self._dim

    @property
    def bits(self) -> int | None:
        """Bits for each dimension of a compressed vector; None if vectors stay exact."""
        return self._bits

    @property
    def encoder_record(self) -> dict[str, Any] | None:
        """What `record_encoder` wrote, or None."""
        with self._opened.catalog.reading() as reader:
            record: dict[str, Any] | None = reader.setting("encoder")
            return record

    @property
    def roots(self) -> dict[str, Any]:
        """What `record_roots` wrote, or nothing."""
        with self._opened.catalog.reading() as reader:
            roots: dict[str, Any] | None = reader.setting("roots")
            return roots or {}

    def roots_of(self, ids: Sequence[str]) -> dict[str, int | None]:
        """Return the root of each of these documents, or None; unknown ids are left out."""
        with self._states.reading() as (reader, _):
            return reader.roots_of(check_ids(ids))

    def one_state(self) -> OneState:
        """Return a context manager: what is read inside the block is of one commit, whatever others write meanwhile.

        Nothing can be written inside of it.
        """
        return self._states.one_state()

    def search(
        self,
        query_vectors: ArrayLike,
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: Iterable[str] | None = None,
    ) -> list[Match]:
        """The k best documents by MaxSim, best first.

        Args:
            query_vectors: Token vectors of the query, (query tokens, dim).
            k: How many; fewer only if fewer pass.
            where: Only documents that pass this filter.
            candidates: Only documents of these ids, for example another retriever's hits; unknown ids are left out.
        """
        k = check_k(k)
        query = check_vectors(query_vectors, self._dim, "Query vectors")
        if candidates is not None:
            candidates = check_ids(candidates)
        with self._states.reading() as (reader, snapshot):
            with stage("filter"):
                positions = positions_of(reader, snapshot, where, candidates)
            found = search(query, snapshot, positions, k, self._device)
            with stage("fetch"):
                return [Match(reader.document_at(place), score) for place, score in found]

    def search_lexical(
        self, query: str, k: int = 10, *, where: Where | None = None, candidates: Iterable[str] | None = None
    ) -> list[Match]:
        """The k best documents by BM25 over the words of the query (English stems, diacritics folded)."""
        k = check_k(k)
        if candidates is not None:
            candidates = check_ids(candidates)
        with self._states.reading() as (reader, _):
            found = reader.search_words(query, k, where=where, candidates=candidates)
            return [Match(document, score) for document, score in found]

    def get(self, ids: Sequence[str]) -> list[Document]:
        """The documents of these ids, in this order; unknown ids are left out."""
        with self._states.reading() as (reader, _):
            return reader.documents(check_ids(ids))

    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The token vectors by id, as they are stored, each (tokens, dim); unknown ids are left out."""
        with self._states.reading() as (reader, snapshot):
            places = {document_id: reader.place_of(document_id) for document_id in check_ids(ids)}
            return {document_id: snapshot.vectors(place) for document_id, place in places.items() if place is not None}

    def scan(self, *, where: Where | None = None, root: int | None = None) -> Iterator[Document]:
        """Yield every document that passes, of a root only those read from it, in the order of addition.

        All are of one commit.
        """
        state = self._states.pinned
        if state is None:
            with self._states.reading(lasting=True) as (reader, _):
                yield from reader.scan(where=where, root=root)
            return
        with state.reading() as (reader, _):
            documents = reader.scan(where=where, root=root)
            chunk = list(islice(documents, _SCANNED_TOGETHER))
        while chunk:  # so that other threads of the state have their turns
            yield from chunk
            with state.reading():
                chunk = list(islice(documents, _SCANNED_TOGETHER))

    def count(self, *, where: Where | None = None) -> int:
        """How many documents pass."""
        with self._states.reading() as (reader, _):
            return reader.count(where=where)

    def info(self) -> dict[str, Any]:
        """Size, layout and settings, as JSON values."""
        with self._states.reading() as (reader, snapshot):
            entries = [segment.entry for segment in snapshot.segments.values()]
            return {
                "engine": "local",
                "path": str(self._root),
                "format_version": reader.setting("format_version"),
                "documents": reader.count(),
                "tokens": sum(entry.tokens for entry in entries),
                "deleted_documents": len(reader.tombstones()),
                "dim": self._dim,
                "bits": self._bits,
                "centroids": 0 if snapshot.codebook_entry is None else snapshot.codebook_entry.centroids,
                "segments": len(entries),
                "exact_tokens": sum(entry.tokens for entry in entries if not entry.is_coded),
                "vector_bytes": sum(file.size for folder in snapshot.folders for file in folder.files),
                "catalog_bytes": (self._root / CATALOG).stat().st_size,
            }

    def verify(self) -> Verification:
        """Read everything back and compare it: with checksums, and words and filter rows with the documents."""
        return Verification(verify(self._opened.catalog, self._states.reading))
