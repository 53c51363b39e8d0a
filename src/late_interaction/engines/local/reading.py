"""The half of `LocalEngine` that reads."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from late_interaction.engines.base import Capabilities, Engine
from late_interaction.engines.fields import check_fields
from late_interaction.engines.local.catalog.lexical import highest_score, search_words, word_bytes
from late_interaction.engines.local.quantization.rotation import rotation
from late_interaction.engines.local.search.gate import search_gate
from late_interaction.engines.local.search.plan import search
from late_interaction.engines.local.search.positions import selected
from late_interaction.engines.local.snapshot import Snapshots
from late_interaction.engines.local.states import States
from late_interaction.engines.local.storage.files import CATALOG
from late_interaction.engines.local.verify import verify
from late_interaction.engines.records import Record, Verification
from late_interaction.profiling import stage
from late_interaction.validation import check_ids, check_k, check_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from late_interaction.documents import Document, FieldName
    from late_interaction.engines.background import Background
    from late_interaction.engines.local.catalog.reader import Reader
    from late_interaction.engines.local.opening import Opened
    from late_interaction.engines.local.search.device import Device
    from late_interaction.engines.local.states import OneState
    from late_interaction.engines.records import Ids, Match
    from late_interaction.filters import Where

__all__ = ["Reading"]

_Scanned = TypeVar("_Scanned")

_SCANNED_TOGETHER = 64  # documents


class Reading(Engine):
    """The half of `LocalEngine` that reads.

    Args:
        opened: The directory of the index.
        device: Scores compressed documents; None for the processor.
        snapshots: Opens segments; None for an object of its own.
    """

    def __init__(self, opened: Opened, device: Device | None, snapshots: Snapshots | None = None) -> None:
        self._opened = opened
        self._root = opened.location.root
        self._device = device
        self._dim, self._bits, self._language = opened.catalog.dim, opened.catalog.bits, opened.catalog.language
        self._states = States(opened.catalog, snapshots or Snapshots(self._root, self._dim))
        self._capabilities = Capabilities(
            snapshots=True,
            atomic_upsert=True,
            exact_search=self._bits is None,
            lexical=True,
            vectors=True,
            verify=True,
            compact=True,
            copy=True,
            sources=True,
            keeps_vectors=True,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do: everything; search is exact for uncompressed vectors alone."""
        return self._capabilities

    @property
    def path(self) -> Path:
        """The directory of the index."""
        return self._root

    @property
    def reopening(self) -> tuple[str, dict[str, Any]]:
        """The directory, and the device if there is one."""
        return str(self._root), {} if self._device is None else {"device": str(self._device.torch_device)}

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        return self._dim

    @property
    def bits(self) -> int | None:
        """Bits for each dimension of a compressed vector; None if vectors stay exact."""
        return self._bits

    @property
    def language(self) -> str | None:
        """Language of the words of lexical search, which are reduced to stems; None for no stems."""
        return self._language

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

    def one_state(self, *, short: bool = False) -> OneState:
        """Return a context manager: what is read inside the block is of one commit, whatever others write meanwhile.

        Nothing can be written inside of it.

        Args:
            short: The block only calls this engine and ends soon, so a fork of the process waits for it.
        """
        return self._states.one_state(lasting=not short)

    def change_token(self) -> int:
        """Return the number of the last commit."""
        with self._states.reading() as (reader, _):
            return reader.generation

    def search(
        self, query_vectors: ArrayLike, k: int = 10, *, where: Where | None = None, candidates: Ids | None = None
    ) -> list[Match]:
        """Return the k best documents by MaxSim, best first, of equal ones the older first. See `Engine.search`."""
        k = check_k(k)
        query = check_vectors(query_vectors, self._dim, "Query vectors")
        if candidates is not None:
            candidates = check_ids(candidates)
        with search_gate.admitted(), self._states.reading() as (reader, snapshot):
            with stage("filter"):
                selection = selected(reader, snapshot, where, candidates)
            found = search(query, snapshot, selection, k, self._device)
            with stage("matches"):
                return reader.matches(found)

    def score(self, query_vectors: ArrayLike, ids: Ids) -> dict[str, float]:
        """Return the exact MaxSim of every document of these ids, by id; unknown ids are left out.

        Args:
            query_vectors: Token vectors of the query, (query tokens, dim).
            ids: Any number of ids.
        """
        query = check_vectors(query_vectors, self._dim, "Query vectors")
        ids = check_ids(ids)
        with search_gate.admitted(), self._states.reading() as (reader, snapshot):
            selection = selected(reader, snapshot, None, ids)
            # As many as there are: no document is left out by an earlier stage.
            found = search(query, snapshot, selection, max(1, len(ids)), self._device)
            return {match.id: match.score for match in reader.matches(found)}

    def fetch(self, matches: Sequence[Match]) -> dict[str, Document]:
        """Return the documents of these matches, by id, without those deleted or replaced since they were found."""
        with self._states.reading() as (reader, _):
            return reader.fetch(matches)

    def search_lexical(
        self, query: str, k: int = 10, *, where: Where | None = None, candidates: Ids | None = None
    ) -> list[Match]:
        """Return the k best documents by BM25 over the words of the query, their stems and forms without diacritics."""
        k = check_k(k)
        if candidates is not None:
            candidates = check_ids(candidates)
        with search_gate.admitted(), self._states.reading() as (reader, snapshot):
            return search_words(reader, snapshot.words, query, k, where=where, candidates=candidates)

    def highest_lexical_score(self, query: str) -> float:
        """Return what the score of a document approaches in which every word of a query occurs many times."""
        with self._states.reading() as (reader, snapshot):
            return highest_score(reader, snapshot.words, query)

    def lexical_bytes(self) -> int:
        """Return the size of the full-text index, without texts and without the words that only deletions need."""
        with self._states.reading() as (reader, _):
            return word_bytes(reader.connection)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents of these ids, in this order; unknown ids are left out."""
        with self._states.reading() as (reader, _):
            return reader.documents(check_ids(ids))

    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the stored token vectors by id, each (tokens, dim); unknown ids are left out."""
        with self._states.reading() as (reader, snapshot):
            places = {document_id: reader.place_of(document_id) for document_id in check_ids(ids)}
            return {document_id: snapshot.vectors(place) for document_id, place in places.items() if place is not None}

    def background(self) -> Background:
        """Return the token vectors of evenly spaced documents, 32 at most.

        They are kept until the next commit: 1 MB at 128 dimensions, up to 16 MB for pages of 1,024 patches.
        """
        with self._states.reading() as (_, snapshot):
            return snapshot.background

    def centroids(self) -> NDArray[np.float32] | None:
        """Return the centroids of the codebook, (centroids, dim); None before there is one."""
        with self._states.reading() as (_, snapshot):
            codebook = snapshot.codebook
        return None if codebook is None else codebook.centroids @ rotation(self._dim)

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return documents together with their token vectors, by id; unknown ids are left out."""
        with self.one_state(short=True):
            documents, vectors, roots = self.get(ids), self.vectors(ids), self.roots_of(ids)
            with self._states.reading() as (reader, _):
                truncated = reader.truncated(ids)
        return {
            found.id: Record(found, vectors[found.id], roots[found.id], truncated=found.id in truncated)
            for found in documents
        }

    def scan(
        self, *, where: Where | None = None, root: int | None = None, fields: Iterable[FieldName] | None = None
    ) -> Iterator[Any]:
        """Yield every document that passes, in the order of addition. All are of one commit.

        Args:
            where: Only documents that pass this filter.
            root: Only documents that were read from this root.
            fields: Read only these fields besides the id; yield `DocumentFields`. None for whole documents.
        """
        if fields is None:
            return self._scan(lambda reader: reader.scan(where=where, root=root))
        names = check_fields(fields)
        return self._scan(lambda reader: reader.scan_fields(names, where=where, root=root))

    def _scan(self, begin: Callable[[Reader], Iterator[_Scanned]]) -> Iterator[_Scanned]:
        state = self._states.pinned
        if state is None:
            with self._states.reading(lasting=True) as (reader, _):
                yield from begin(reader)
            return
        with state.reading() as (reader, _):
            documents = begin(reader)
            chunk = list(islice(documents, _SCANNED_TOGETHER))
        while chunk:  # lets other threads read the same state in between
            yield from chunk
            with state.reading():
                chunk = list(islice(documents, _SCANNED_TOGETHER))

    def count(self, *, where: Where | None = None) -> int:
        """Return how many documents pass."""
        with self._states.reading() as (reader, _):
            return reader.count(where=where)

    def info(self) -> dict[str, Any]:
        """Return size, layout and settings, as JSON values."""
        with self._states.reading() as (reader, snapshot):
            entries = [segment.entry for segment in snapshot.segments.values()]
            return {
                "engine": "local",
                "path": str(self._root),
                "format_version": reader.setting("format_version"),
                "documents": reader.count(),
                "tokens": sum(entry.tokens for entry in entries),
                "deleted_documents": len(reader.tombstones()),
                "truncated_documents": reader.count_truncated(),
                "dim": self._dim,
                "bits": self._bits,
                "language": self._language,
                "centroids": snapshot.centroids,
                "segments": len(entries),
                "exact_tokens": sum(entry.tokens for entry in entries if not entry.is_compressed),
                "vector_bytes": sum(file.size for folder in snapshot.folders for file in folder.files),
                "catalog_bytes": (self._root / CATALOG).stat().st_size,
            }

    def verify(self) -> Verification:
        """Compare everything stored with checksums, and words and filter rows with the documents."""
        return Verification(verify(self._opened.catalog, self._states.reading))
