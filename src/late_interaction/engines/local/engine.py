"""The local engine: a directory that holds documents, their metadata and their token vectors."""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from late_interaction.documents import Document, check_id
from late_interaction.engines.base import Match, Record, Verification, check_k, check_vectors
from late_interaction.engines.local import compaction
from late_interaction.engines.local.catalog import Catalog
from late_interaction.engines.local.codec import BITS
from late_interaction.engines.local.columns import ColumnsMissingError
from late_interaction.engines.local.device import Device
from late_interaction.engines.local.document_rows import DocumentRow, field_rows
from late_interaction.engines.local.files import CATALOG, collect_garbage, copy_directories, removed_on_failure
from late_interaction.engines.local.incoming import Incoming
from late_interaction.engines.local.locking import release_lock, take_lock
from late_interaction.engines.local.search import search
from late_interaction.engines.local.segment import SegmentWriter
from late_interaction.engines.local.snapshot import Snapshot, Snapshots
from late_interaction.errors import (
    CorruptIndexError,
    IndexNotFoundError,
    InvalidRequestError,
    InvalidVectorsError,
    LateInteractionError,
    ReadOnlyIndexError,
)
from late_interaction.filters import parse
from late_interaction.profiling import stage

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import filelock
    from numpy.typing import ArrayLike, NDArray

    from late_interaction.engines.local.rows import Place, Reader
    from late_interaction.engines.local.writer import Replacement, Writer
    from late_interaction.filters import Where

__all__ = ["LocalEngine"]

_logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_DEFAULT_BITS = 4
_REMEMBERED_FILTERS = 64
_OPEN_ATTEMPTS = 8  # a reader may meet a merge between reading the catalog and mapping the files; rarely twice


class LocalEngine:
    """Token vectors and documents in one directory: compressed, durable commits, many readers and one writer.

    Open one with `LocalEngine.open`. Any thread may call any method. A search sees the last commit of any process; a
    write is one transaction that survives a crash once it has returned.

    Example:
        >>> import numpy as np, tempfile
        >>> engine = LocalEngine.open(tempfile.mkdtemp(), dim=2)
        >>> engine.upsert([Record(Document("east", id="e"), np.array([[1.0, 0.0]]))])
        ['e']
        >>> engine.search([[1.0, 0.0]], k=1)[0].score
        1.0
        >>> engine.close()
    """

    def __init__(
        self, root: Path, catalog: Catalog, lock: filelock.BaseFileLock | None, device: Device | None = None
    ) -> None:
        self._root = root
        self._catalog = catalog
        self._lock = lock
        self._device = device
        self._write_mutex = threading.Lock()
        self._rewriting = threading.Lock()
        self._pinned = threading.local()
        with catalog.reading() as reader:
            self._dim = int(reader.setting("dim"))
            self._bits: int | None = reader.setting("bits")
        if self._bits is not None and (type(self._bits) is not int or self._bits not in BITS):
            raise CorruptIndexError(f"The setting 'bits' of {catalog.path} is {self._bits!r}, which no release writes.")
        self._snapshots = Snapshots(root, self._dim)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        dim: int | None = None,
        bits: int | Literal["default"] | None = "default",
        device: str | None = None,
        read_only: bool = False,
    ) -> LocalEngine:
        """Open the index in a directory, creating it if ``dim`` is given and there is none.

        Args:
            path: The directory.
            dim: Dimension of the token vectors; may be left out for an index that exists.
            bits: 1, 2, 4 (the default) or 8 for each dimension of a compressed vector, or None to keep vectors exact.
                May be left out for an index that exists.
            device: Score compressed documents on this device of torch, for example ``cuda``; None or ``cpu`` for the
                processor.
            read_only: Do not write, and do not take the writer's lock.

        Raises:
            IndexNotFoundError: There is no index, and none was asked for.
            IndexLockedError: Another writer has it open.
            InvalidVectorsError: The index has another dimension.
            InvalidRequestError: The index has other bits, or there are no such bits.
            CorruptIndexError: The files are damaged.
        """
        root = Path(path).absolute()  # the working directory may change
        exists = (root / CATALOG).is_file()
        if not exists and (read_only or dim is None):
            raise IndexNotFoundError(
                f"There is no index at {path}. To create one: Index.open(path, encoder=…), or `late-interaction index`."
            )
        if dim is not None and (isinstance(dim, bool) or not isinstance(dim, int) or dim < 1):
            raise InvalidVectorsError(f"dim must be a positive integer, not {dim!r}.")
        if bits not in (None, "default") and (type(bits) is not int or bits not in BITS):
            raise InvalidRequestError(f"bits must be one of {', '.join(map(str, BITS))} or None, not {bits!r}.")
        on_device = None if device in (None, "cpu") else Device(device)
        lock = None if read_only else take_lock(root, create=not exists)
        try:
            if not exists and dim is not None:
                Catalog.create(root, dim=dim, bits=_DEFAULT_BITS if bits == "default" else bits)
            engine = cls(root, Catalog(root, read_only=read_only), lock, on_device)
        except BaseException:
            if lock is not None:
                release_lock(root, lock)
            raise
        try:
            if dim is not None and dim != engine.dim:
                raise InvalidVectorsError(f"The index at {root} holds vectors of dimension {engine.dim}, not {dim}.")
            if bits not in ("default", engine.bits):
                raise InvalidRequestError(
                    f"The index at {root} has bits={engine.bits}, which stays what it was made with, not {bits}."
                )
            with engine._reading() as (_, snapshot):
                if lock is not None:
                    collect_garbage(root, snapshot.names)
        except BaseException:
            engine.close()
            raise
        return engine

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
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._lock is None

    @property
    def encoder_record(self) -> dict[str, Any] | None:
        """What `record_encoder` wrote, or None."""
        with self._catalog.reading() as reader:
            record: dict[str, Any] | None = reader.setting("encoder")
            return record

    def record_encoder(self, record: Mapping[str, Any]) -> None:
        """Remember, as JSON, which encoder made the vectors."""
        self._commit(lambda writer: writer.set_setting("encoder", dict(record)))

    @property
    def roots(self) -> dict[str, Any]:
        """What `record_roots` wrote, or nothing."""
        with self._catalog.reading() as reader:
            roots: dict[str, Any] | None = reader.setting("roots")
            return roots or {}

    def record_roots(self, roots: Mapping[str, Any]) -> None:
        """Remember, as JSON, the roots that documents are read from, by number (see `Record`)."""
        self._commit(lambda writer: writer.set_setting("roots", dict(roots)))

    def roots_of(self, ids: Sequence[str]) -> dict[str, int | None]:
        """Return the root of each of these documents, or None; unknown ids are left out."""
        with self._reading() as (reader, _):
            return reader.roots_of(_check_ids(ids))

    def set_root(self, ids: Sequence[str], root: int | None) -> None:
        """Note that stored documents were read from this root."""
        ids = _check_ids(ids)
        self._commit(lambda writer: writer.set_root(ids, root))

    def update_documents(self, documents: Iterable[Document], root: int | None) -> int:
        """Replace the text, metadata and page image of stored documents, and keep their vectors; return their number.

        For documents of which nothing changed that is encoded. They are noted as read from this root.

        Raises:
            UnknownIdError: The index holds no document of an id. Nothing is changed.
        """
        # Rows are made before the transaction begins: a thumbnail may have to be rendered.
        rows = [(DocumentRow.of(document, root), list(field_rows(document.metadata))) for document in documents]
        return self._commit(lambda writer: writer.update_documents(rows)) if rows else 0

    def upsert(self, records: Iterable[Record], *, replacing: Where | None = None) -> list[str]:
        """Add records, replacing those of the same id; return the ids, in order.

        All or nothing: an error in any record, or in the iterable itself, leaves the index as it was. The iterable is
        consumed one record at a time, so memory stays bounded. It may read and write the same index.

        Args:
            records: Documents with their vectors.
            replacing: Delete the stored documents that pass this filter in the same commit, before the records are
                added.

        Raises:
            InvalidVectorsError: Vectors of another shape or dimension, or NaN or infinity.
            DuplicateIdError: Two records have the same id.
        """
        self._check_writable()
        if replacing is not None:
            parse(replacing)  # a bad filter is an error before anything is encoded
        try:
            with self._catalog.gathering() as connection, SegmentWriter(self._root, self._dim) as files:
                incoming = Incoming(connection)
                for record in _shielded(records):
                    vectors = check_vectors(record.vectors, self._dim, f"Vectors of {record.document.id!r}")
                    incoming.append(record, files.append_documents([len(vectors)], vectors=vectors))
                incoming.finish()
                if not incoming.ids and replacing is None:
                    return []
                entry = files.finish_segment()

                def add(writer: Writer) -> None:
                    if replacing is not None:
                        writer.delete_where(replacing)
                    segment = writer.add_segment()
                    writer.finish_segment(segment, entry)
                    writer.add_incoming(segment)

                self._commit(add, connection)
        except _SourceError as error:
            raise error.original from None
        self._tidy()
        return incoming.ids

    def delete(self, *, ids: Iterable[str] | None = None, where: Where | None = None) -> int:
        """Delete by ids or by filter; how many there were. Unknown ids are no error."""
        if (ids is None) == (where is None):
            raise InvalidRequestError("delete takes either ids or where.")
        if ids is not None:
            ids = _check_ids(ids)
        deleted = self._commit(
            lambda writer: writer.delete_ids(ids or ()) if where is None else writer.delete_where(where)
        )
        self._tidy()
        return deleted

    @contextmanager
    def one_state(self) -> Iterator[None]:
        """What this thread reads inside the block is of one commit, whatever others write meanwhile."""
        outer = getattr(self._pinned, "state", None)
        with self._reading() as state:
            self._pinned.state = state
            try:
                yield
            finally:
                self._pinned.state = outer

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
            candidates = _check_ids(candidates)
        with self._reading() as (reader, snapshot):
            with stage("filter"):
                positions = _asked_for(reader, snapshot, where, candidates)
            found = search(query, snapshot, positions, k, self._device)
            with stage("fetch"):
                return [Match(reader.document_at(place), score) for place, score in found]

    def search_lexical(
        self, query: str, k: int = 10, *, where: Where | None = None, candidates: Iterable[str] | None = None
    ) -> list[Match]:
        """The k best documents by BM25 over the words of the query (English stems, diacritics folded)."""
        k = check_k(k)
        if candidates is not None:
            candidates = _check_ids(candidates)
        with self._reading() as (reader, _):
            found = reader.search_words(query, k, where=where, candidates=candidates)
            return [Match(document, score) for document, score in found]

    def get(self, ids: Sequence[str]) -> list[Document]:
        """The documents of these ids, in this order; unknown ids are left out."""
        with self._reading() as (reader, _):
            return reader.documents(_check_ids(ids))

    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The token vectors by id, as they are stored, each (tokens, dim); unknown ids are left out."""
        with self._reading() as (reader, snapshot):
            places = {document_id: reader.place_of(document_id) for document_id in _check_ids(ids)}
            return {document_id: snapshot.vectors(place) for document_id, place in places.items() if place is not None}

    def scan(self, *, where: Where | None = None, root: int | None = None) -> Iterator[Document]:
        """Yield every document that passes, of a root only those read from it, in the order of addition.

        All are of one commit.
        """
        with self._reading() as (reader, _):
            yield from reader.scan(where=where, root=root)

    def count(self, *, where: Where | None = None) -> int:
        """How many documents pass."""
        with self._reading() as (reader, _):
            return reader.count(where=where)

    def info(self) -> dict[str, Any]:
        """Size, layout and settings, as JSON values."""
        with self._reading() as (reader, snapshot):
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
        """Read every byte back and compare it with its checksum, and every document with its place."""
        problems = self._catalog.integrity_problems()
        if problems:  # what a damaged catalog says about the segments means nothing
            return Verification(tuple(problems))
        for attempt in range(1, _OPEN_ATTEMPTS + 1):
            try:
                with self._reading() as (reader, snapshot):
                    for folder in snapshot.folders:
                        problems += folder.problems()
                    stored = set(reader.places())
                    problems += reader.damaged_documents()
            except ColumnsMissingError as error:  # perhaps merged away meanwhile by another process
                if attempt == _OPEN_ATTEMPTS:
                    return Verification((str(error),))
            except CorruptIndexError as error:
                return Verification((str(error),))
            else:
                break
        living = {(number, at) for number, alive in snapshot.alive.items() for at in alive.tolist()}
        problems += [f"The document at {place} of the catalog has no vectors." for place in sorted(stored - living)]
        problems += [f"The vectors at {place} belong to no document." for place in sorted(living - stored)]
        return Verification(tuple(problems))

    def compact(self) -> None:
        """Give back the room of deleted documents, compress what is still exact and merge all segments into one."""
        self._check_writable()
        with self._rewriting:
            while self._rewrite(compaction.compact):
                pass

    def copy(self, path: str | os.PathLike[str]) -> None:
        """Write a copy into another directory. Writers wait; a crash leaves a whole copy or none that can be opened.

        Raises:
            InvalidRequestError: The directory has something in it, or is inside this one.
            StorageError: The disk would not take it; what was written is removed.
        """
        self._check_writable()
        target = Path(path).absolute()
        if target.is_relative_to(self._root.absolute()):
            raise InvalidRequestError(f"{target} is inside the index, which would remove it. Name another directory.")
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InvalidRequestError(f"{target} has something in it. Name a directory that is empty or new.")
        with self._write_mutex, self._reading() as (_, snapshot), removed_on_failure(target):
            copy_directories(self._root, target, snapshot.names)
            self._catalog.copy(target)

    def close(self) -> None:
        """Release files and locks. Closing twice is no error."""
        with self._write_mutex:
            self._catalog.close()
            if self._lock is not None:
                release_lock(self._root, self._lock)

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LocalEngine({str(self._root)!r}, dim={self._dim}, read_only={self.read_only})"

    @contextmanager
    def _reading(self) -> Iterator[tuple[Reader, Snapshot]]:
        """The last commit, or that of `one_state`: its rows and its segments, for as long as the block lasts."""
        pinned: tuple[Reader, Snapshot] | None = getattr(self._pinned, "state", None)
        if pinned is not None:
            yield pinned
            return
        for attempt in range(1, _OPEN_ATTEMPTS + 1):
            with self._catalog.reading() as reader:
                try:
                    snapshot = self._snapshots.at(reader)
                except ColumnsMissingError:
                    if attempt == _OPEN_ATTEMPTS:
                        raise
                    continue
                yield reader, snapshot
                return

    def _commit(self, change: Callable[[Writer], _Result], connection: sqlite3.Connection | None = None) -> _Result:
        """Make a change in one transaction on the catalog, one writer at a time."""
        self._check_writable()
        with self._write_mutex:
            return self._catalog.commit(change, connection)

    def _check_writable(self) -> None:
        if self._lock is None:
            raise ReadOnlyIndexError(f"The index at {self._root} is open with read_only=True.")
        if getattr(self._pinned, "state", None) is not None:
            raise InvalidRequestError("Nothing can be written inside one_state().")

    def _tidy(self) -> None:
        """Keep segments few and compressed after a write, which is done and durable whatever becomes of this.

        A thread that finds another at it leaves it to that one.
        """
        if not self._rewriting.acquire(blocking=False):
            return
        try:
            while self._rewrite(compaction.tidy):
                pass
        except (OSError, LateInteractionError) as error:
            _logger.warning("Segments could not be merged, the next write tries again: %s", error)
        finally:
            self._rewriting.release()

    def _rewrite(self, step: Callable[[Path, Snapshot], Replacement | None]) -> bool:
        """Take a step of compaction, if there is one. Others read and write while its files are made."""
        with self._reading() as (_, snapshot):
            pass  # its files stay mapped, and nobody else removes any
        replacement = step(self._root, snapshot)
        if replacement is None:
            return False
        self._commit(lambda writer: writer.replace_segments(replacement))
        with self._write_mutex, self._reading() as (_, snapshot):
            collect_garbage(self._root, snapshot.names)
        return True


class _SourceError(Exception):
    """An SQLite error of the code that documents come from, which is none of the catalog's."""

    def __init__(self, original: sqlite3.Error) -> None:
        super().__init__(str(original))
        self.original = original


def _shielded(records: Iterable[Record]) -> Iterator[Record]:
    try:
        yield from records
    except sqlite3.Error as error:
        raise _SourceError(error) from None


def _check_ids(ids: Iterable[str]) -> list[str]:
    if isinstance(ids, str):
        raise InvalidRequestError(f"ids must be a list of strings, not the string {ids!r}.")
    ids = list(ids)
    for document_id in ids:
        check_id(document_id)
    return ids


def _asked_for(
    reader: Reader, snapshot: Snapshot, where: Where | None, candidates: Iterable[str] | None
) -> Mapping[int, NDArray[np.int64]]:
    """Positions by segment of the documents that pass a filter, remembered for the next query, and are candidates."""
    if candidates is not None:
        return _by_segment(reader.places(where=where, candidates=candidates))
    if where is None:
        return snapshot.alive
    key = repr(parse(where))
    positions = snapshot.filtered.get(key)
    if positions is None:
        positions = _by_segment(reader.places(where=where))
        if len(snapshot.filtered) < _REMEMBERED_FILTERS:
            snapshot.filtered[key] = positions
    return positions


def _by_segment(places: list[Place]) -> dict[int, NDArray[np.int64]]:
    """Sorted places as ascending positions by segment."""
    return {
        number: np.array([position for _, position in group], np.int64)
        for number, group in groupby(places, key=itemgetter(0))
    }
