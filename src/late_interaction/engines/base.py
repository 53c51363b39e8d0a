"""The contract between `Index` and the engines that keep and search its documents.

An engine has a small required core, and declares in its `Capabilities` what else it can do. Callers ask the
capabilities, or call and get an `UnsupportedError`; they never test for a class.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, overload

from late_interaction.engines.background import null_score_without_vectors, read_background
from late_interaction.engines.capabilities import Capabilities, Capability, require
from late_interaction.engines.metadata import with_metadata
from late_interaction.engines.optional_methods import OptionalMethods
from late_interaction.errors import InvalidFilterError, UnsupportedError
from late_interaction.filters import operators_of, parse

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from late_interaction.documents import Document, DocumentFields, FieldName
    from late_interaction.engines.background import Background
    from late_interaction.engines.records import Ids, Match, Record
    from late_interaction.filters import Where

__all__ = ["Capabilities", "Capability", "Engine", "require"]


class Engine(OptionalMethods):
    """Where an index keeps its documents. Subclass it to write one.

    **Required** are the abstract methods. The others belong to a capability: declare it and override them, or leave
    them, and they raise `UnsupportedError`.

    **Durability.** When a call has returned, its writes are durable, and visible to this object.

    **Concurrency.** Any thread may call. Others may write between two calls: a document that has disappeared is left
    out of results, never an error.

    **Fidelity.** Documents come back with the id, text and metadata they were given. Filters mean what
    `late_interaction.filters.matches` says.
    """

    _background: tuple[Background, float] | None = None  # kept by the default of `background`

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this engine can do beyond the required core."""
        ...

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension of the token vectors."""
        ...

    @property
    @abstractmethod
    def encoder_record(self) -> dict[str, Any] | None:
        """What `record_encoder` wrote, or None."""
        ...

    @abstractmethod
    def record_encoder(self, record: Mapping[str, Any]) -> None:
        """Store, as JSON, which encoder made the vectors, unless a record is stored already, which stays."""
        ...

    @abstractmethod
    def upsert(self, records: Iterable[Record], *, replacing: Where | None = None) -> list[str]:
        """Add records, replacing those of the same id; return the ids, in order.

        Consumes the iterable in bounded memory. Documents that pass ``replacing`` are deleted before the records are
        added.

        Raises:
            InvalidVectorsError: Vectors of another shape or dimension, NaN or infinity.
            DuplicateIdError: Two records have the same id.
        """
        ...

    @abstractmethod
    def delete(self, *, ids: Iterable[str] | None = None, where: Where | None = None) -> int:
        """Delete by ids or by filter and return how many there were. Unknown ids are skipped.

        Raises:
            InvalidRequestError: Every document matches the filter, as ``{}``. `clear` deletes everything.
        """
        ...

    @abstractmethod
    def clear(self) -> int:
        """Delete every document and return how many there were."""
        ...

    @abstractmethod
    def search(
        self, query_vectors: ArrayLike, k: int = 10, *, where: Where | None = None, candidates: Ids | None = None
    ) -> list[Match]:
        """Return the k best documents by MaxSim, best first; fewer only if fewer pass.

        Args:
            query_vectors: (query tokens, dim).
            k: The number of matches.
            where: Only documents that pass this filter.
            candidates: Only documents of these ids; unknown ids are left out.
        """
        ...

    @abstractmethod
    def score(self, query_vectors: ArrayLike, ids: Ids) -> dict[str, float]:
        """Return the exact MaxSim of every document of these ids, by id, without any candidate generation.

        Unknown ids are left out. A document of zero tokens scores 0.

        Args:
            query_vectors: (query tokens, dim).
            ids: Any number of ids.
        """
        ...

    @abstractmethod
    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents of these ids, in this order; unknown ids are left out."""
        ...

    @overload
    def scan(self, *, where: Where | None = None, root: int | None = None) -> Iterator[Document]: ...

    @overload
    def scan(
        self, *, where: Where | None = None, root: int | None = None, fields: Iterable[FieldName]
    ) -> Iterator[DocumentFields]: ...

    @abstractmethod
    def scan(
        self, *, where: Where | None = None, root: int | None = None, fields: Iterable[FieldName] | None = None
    ) -> Iterator[Document] | Iterator[DocumentFields]:
        """Yield every document that passes, in the order of addition.

        The scan ends, also while documents are added: those may or may not come, each at most once.

        Args:
            where: Only documents that pass this filter.
            root: Only documents that were read from this root (capability ``sources``).
            fields: Read only these fields besides the id, for example ``("metadata",)``, or ``()`` for ids alone; yield
                `DocumentFields`. None for whole documents.
        """
        ...

    @abstractmethod
    def count(self, *, where: Where | None = None) -> int:
        """Return how many documents pass."""
        ...

    @abstractmethod
    def close(self) -> None:
        """Release files, locks and connections. Closing twice is no error."""
        ...

    # Defaults that an engine overrides where it knows better.

    def prepare(self, dim: int) -> None:
        """Create what documents are stored in, for vectors of this dimension, unless it exists.

        `Index` calls it with the dimension of its encoder before anything else. This default does nothing: it is for
        engines that exist as soon as they are open.
        """

    def update_metadata(self, ids: Iterable[str], metadata: Mapping[str, Any]) -> int:
        """Set these keys in the metadata of documents, keep their other keys, and return the number of documents.

        Unknown ids are skipped. Text, image, vectors and root stay. This default reads each document with its vectors
        and replaces it; a change that another thread makes to it meanwhile is lost.

        Raises:
            UnsupportedError: The engine has neither a method of its own nor the capability ``vectors``.
        """
        if not self.capabilities.vectors:
            raise UnsupportedError(
                f"{type(self).__name__} cannot change metadata alone. Add the documents again, with the new metadata."
            )
        return len(self.upsert(with_metadata(self, ids, metadata)))

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return False

    @property
    def path(self) -> Path | None:
        """The directory of the index on this machine; None for an engine that is not in one."""
        return None

    @property
    def reopening(self) -> tuple[str, dict[str, Any]] | None:
        """Location and settings with which `open_engine` opens it again, also in another process; None if it cannot."""
        return None

    def info(self) -> dict[str, Any]:
        """Return size, layout and settings, as JSON values; ``engine``, ``documents`` and ``dim`` in every engine."""
        return {"engine": type(self).__name__, "documents": self.count(), "dim": self.dim}

    def fetch(self, matches: Sequence[Match]) -> dict[str, Document]:
        """Return the documents of these matches, by id, without those deleted or replaced since they were found.

        This default cannot recognize replaced documents: an engine without snapshots overrides it, and gives every
        match a version.
        """
        return {document.id: document for document in self.get([match.id for match in matches])}

    def one_state(self, *, short: bool = False) -> AbstractContextManager[None]:
        """Return a context manager inside which reads of this thread use one snapshot (capability ``snapshots``).

        Args:
            short: The block only calls this engine and ends soon, so a fork of the process may wait for it.
        """
        return nullcontext()

    def change_token(self) -> Hashable | None:
        """Return a value that differs after every write, of any process; None if the engine has none.

        Inside `one_state`, it is that of the state that is read. What was computed of all documents, such as vectors of
        another model, is up to date while the value stays the same.
        """
        return None

    def check_filter(self, where: Where) -> None:
        """Raise unless this engine can apply the filter.

        Raises:
            InvalidFilterError: The filter is malformed, or has an operator that this engine does not have.
        """
        known = self.capabilities.filter_operators
        if unknown := sorted(operators_of(parse(where)) - known):
            raise InvalidFilterError(
                f"{type(self).__name__} cannot filter by {', '.join(unknown)}. It can by {', '.join(sorted(known))}."
            )

    def null_score(self, query_vectors: NDArray[np.float32]) -> float | None:
        """Return the MaxSim that an unrelated document gets; None if the documents are too few to tell.

        Without the capability ``vectors``, the first 32 documents are scored, and fewer than 16 are too few.
        """
        if self.capabilities.vectors:
            return self.background().null_score(query_vectors)
        return null_score_without_vectors(self, query_vectors)

    def background(self) -> Background:
        """Return the token vectors of a sample of the documents: what is usual in the index (capability ``vectors``).

        This default reads the first 32 documents, with one `scan` and one call of `vectors`. It keeps them for a
        minute; fewer documents it reads anew. Override it to sample all documents, or to keep the sample otherwise.
        """
        require(self, "vectors")
        if self._background is None or self._background[1] < time.monotonic():
            self._background = read_background(self)
        return self._background[0]

    def centroids(self) -> NDArray[np.float32] | None:
        """Return the centroids of the token vectors, (centroids, dim), which another engine may `adopt_centroids`.

        None if the engine has none.
        """
        return None

    def adopt_centroids(self, centroids: NDArray[np.float32]) -> None:
        """Use these centroids for candidate generation, instead of training some; no-op if the engine has its own.

        This default does nothing: it is for engines that generate candidates in another way.

        Args:
            centroids: (centroids, dim).
        """
