"""`LanceDBEngine`: how it is opened, what it says of itself, and how it is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from late_interaction.engines.first_stage import Centroids
from late_interaction.engines.lancedb.addresses import DEFAULT_TABLE, address_of
from late_interaction.engines.lancedb.database import Database
from late_interaction.engines.lancedb.schema import Format
from late_interaction.engines.lancedb.sources import Sources
from late_interaction.engines.lancedb.verifying import problems_of
from late_interaction.engines.records import Verification
from late_interaction.errors import (
    InvalidRequestError,
    InvalidVectorsError,
    ReadOnlyIndexError,
)
from late_interaction.validation import check_k, check_vectors
from late_interaction.words import DEFAULT_LANGUAGE, check_language

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["LanceDBEngine"]

_MAX_DIM = 4096


class LanceDBEngine(Sources):
    """Documents and token vectors in tables of LanceDB, in a directory or an object store.

    A quarter of the candidates is found by mean vectors, in LanceDB, the others by centroids of token vectors, in
    memory. They are scored by exact MaxSim of the stored float16 vectors. Any number of processes may read and write:
    each write is one commit, and of two writes of one document the last wins. A forked child connects again.

    Args:
        uri: A directory, ``s3://bucket/path``, ``gs://…``, ``az://…``, or ``memory://`` for one that only this engine
            sees. A directory with anything but tables of LanceDB in it is refused.
        table: The name of the table of documents. Others begin with it. A table that late-interaction did not create is
            refused.
        dim: Dimension of the token vectors: creates the tables if there are none. Without it, `Index` creates them with
            the dimension of its encoder.
        read_only: Refuse to write.
        language: Language of the words of lexical search, ``english`` for a new index; None for no stems.
        storage_options: Options of the object store, such as a region or an endpoint. Credentials are better left to
            the environment: an index with options cannot be pickled.
        candidates: Documents that the first stages find; by default 500, or four times k if that is more.

    Raises:
        InvalidRequestError: An argument is invalid, or the table or the directory is not one of late-interaction.
        InvalidVectorsError: The index has another dimension.
        EngineUnavailableError: The object store cannot be reached.
        EngineRefusedError: The object store refuses the credentials.

    Example:
        >>> import numpy as np
        >>> from late_interaction import Document
        >>> from late_interaction.engines import LanceDBEngine, Record
        >>> engine = LanceDBEngine("memory://", dim=2)
        >>> engine.upsert([Record(Document("east", id="e"), np.array([[1.0, 0.0]]))])
        ['e']
        >>> engine.search([[1.0, 0.0]], k=1)[0].score
        1.0
        >>> engine.close()
    """

    def __init__(
        self,
        uri: str | os.PathLike[str],
        *,
        table: str = DEFAULT_TABLE,
        dim: int | None = None,
        read_only: bool = False,
        language: str | None = "default",
        storage_options: Mapping[str, str] | None = None,
        candidates: int | None = None,
    ) -> None:
        if language not in ("default", None):
            check_language(language)
        if dim is not None:
            _check_dim(dim)
        candidates = None if candidates is None else check_k(candidates, "candidates")
        self._new_language = DEFAULT_LANGUAGE if language == "default" else language
        self._has_options = bool(storage_options)
        super().__init__(Database(address_of(uri, table), storage_options), candidates, read_only=read_only)
        found = self._database.open()
        if found is None and dim is not None and not read_only:
            self.prepare(dim)
        found = self._database.open()
        if found is None:
            return
        if dim not in (None, found.dim):
            raise InvalidVectorsError(
                f"The index {self._database.address} holds vectors of dimension {found.dim}, not {dim}."
            )
        if language not in ("default", found.language):
            raise InvalidRequestError(
                f"The index {self._database.address} was created with language={found.language!r}, which cannot be "
                f"changed (got language={language!r})."
            )

    @classmethod
    def open(
        cls,
        location: str,
        *,
        dim: int | None = None,
        read_only: bool = False,
        bits: int | Literal["default"] | None = "default",
        language: str | None = "default",
        device: str | None = None,
        candidates: int | None = None,
    ) -> LanceDBEngine:
        """Open the index of a location, such as ``lancedb:DIR`` or ``lancedb+s3://bucket/path``.

        It is created if ``dim`` is given and there is none. The other arguments are those of the class.

        Args:
            location: The location.
            dim: Dimension of the token vectors.
            read_only: Refuse to write.
            bits: Refused: LanceDB stores float16.
            language: Language of the words of lexical search.
            device: Refused, but for the processor.
            candidates: Documents that the first stages find.

        Raises:
            IndexNotFoundError: There is no index, and ``dim`` is not given.
        """
        if bits not in ("default", None):
            raise InvalidRequestError(f"An index in LanceDB stores float16 vectors, so bits={bits!r} is not possible.")
        if device not in (None, "cpu"):
            raise InvalidRequestError(
                f"An index in LanceDB is searched on the processor, so device={device!r} is not possible."
            )
        engine = cls(location, dim=dim, read_only=read_only, language=language, candidates=candidates)
        try:
            _ = engine.dim
        except BaseException:
            engine.close()
            raise
        return engine

    def prepare(self, dim: int) -> None:
        """Create the tables for vectors of this dimension, unless they exist.

        Raises:
            InvalidRequestError: The directory has something else in it.
        """
        if self._database.open() is not None:
            return
        _check_dim(dim)
        if self._read_only:
            raise ReadOnlyIndexError(f"There is no index at {self._database.address}, and read_only=True creates none.")
        self._database.create(Format(dim, self._new_language))

    def adopt_centroids(self, centroids: NDArray[np.float32]) -> None:
        """Use these centroids for candidate generation, instead of training some; no-op if there are some.

        Args:
            centroids: (centroids, dim).
        """
        values = check_vectors(centroids, self.dim, "Centroids")
        self._check_writable()
        if len(values) and self._codebooks.last() is None:
            self._codebooks.store(Centroids(values))
            self._codebooks.assign()

    def compact(self) -> None:
        """Merge what was added in small pieces, find missing centroids, and remove what was deleted.

        Files of states that were current within the last ten minutes stay until the next call, because others may be
        reading them.
        """
        self._check_writable()
        self._maintenance.compact()

    def verify(self) -> Verification:
        """Compare documents, token vectors and thumbnails with their checksums, and with each other."""
        return Verification(problems_of(self._states.current(), self._codebooks, self.dim))

    def info(self) -> dict[str, Any]:
        """Return size, layout and settings, as JSON values."""
        snapshot, address = self._states.current(), self._database.address
        format_ = self._database.format
        centroids = self._codebooks.last()
        tokens = int(snapshot.rows.tokens.sum(dtype=np.int64))
        return {
            "engine": "lancedb",
            "uri": address.uri,
            "table": address.table,
            "format_version": format_.format_version,
            "version": snapshot.version,
            "documents": len(snapshot.rows),
            "tokens": tokens,
            "truncated_documents": len(snapshot.scan(["order"], "truncated")),
            "dim": format_.dim,
            "bits": None,
            "language": format_.language,
            "centroids": 0 if centroids is None else len(centroids),
            "first_stage": "none" if centroids is None else "means and centroids",
            "vector_bytes": 2 * tokens * format_.dim,
        }

    @property
    def path(self) -> Path | None:
        """The directory of the tables; None for an object store."""
        return self._database.address.path

    @property
    def reopening(self) -> tuple[str, dict[str, Any]] | None:
        """The location, and the number of candidates if it was given; None with storage options or another table."""
        location = self._database.address.location
        if location is None or self._has_options:
            return None
        return location, {} if self._candidates is None else {"candidates": self._candidates}

    def close(self) -> None:
        """Disconnect. Closing twice is no error."""
        self._database.close()
        self._states.forget()

    def __enter__(self) -> LanceDBEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LanceDBEngine({self._database.address.uri!r}, table={self._database.address.table!r})"


def _check_dim(dim: int) -> None:
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)) or not 0 < dim <= _MAX_DIM:
        raise InvalidRequestError(f"dim must be an integer from 1 to {_MAX_DIM}, got {dim!r}.")
