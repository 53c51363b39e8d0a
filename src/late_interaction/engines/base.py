"""What an engine is: the protocol that `Index` speaks, and the records that pass through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from late_interaction.documents import Document
    from late_interaction.filters import Where

LEGACY_ROOT = 0
"""The root of documents that an earlier release indexed from a folder it did not record."""


@dataclass(frozen=True)
class Record:
    """A document with its token vectors.

    Attributes:
        document: The document.
        vectors: (tokens, dim). A document of zero tokens is allowed and scores 0.
        root: The number of the root that the document was read from (see `late_interaction.ingestion`); None for
            documents that come from elsewhere.
    """

    document: Document
    vectors: NDArray[np.floating[Any]]
    root: int | None = None


@dataclass(frozen=True)
class Match:
    """A stored document with the score an engine gave it."""

    document: Document
    score: float

    @property
    def id(self) -> str:
        """The document's id."""
        return self.document.id


@dataclass(frozen=True)
class Verification:
    """What `verify` found. True where nothing is wrong.

    Attributes:
        problems: One sentence for each thing that is wrong, naming the file or document.
    """

    problems: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.problems


@runtime_checkable
class Engine(Protocol):
    """Where an index keeps its documents.

    Every call is atomic: it happens whole or not at all, and once it has returned it is durable. Engines may be called
    from any thread. Documents come back with the id and metadata they were given.
    """

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        ...

    @property
    def encoder_record(self) -> dict[str, Any] | None:
        """What `record_encoder` wrote, or None."""
        ...

    def record_encoder(self, record: Mapping[str, Any]) -> None:
        """Remember, as JSON, which encoder made the vectors."""
        ...

    @property
    def roots(self) -> dict[str, Any]:
        """What `record_roots` wrote, or nothing."""
        ...

    def record_roots(self, roots: Mapping[str, Any]) -> None:
        """Remember, as JSON, the roots that documents are read from, by number (see `Record`)."""
        ...

    def roots_of(self, ids: Sequence[str]) -> dict[str, int | None]:
        """Return the root of each of these documents, or None; unknown ids are left out."""
        ...

    def set_root(self, ids: Sequence[str], root: int | None) -> None:
        """Note that stored documents were read from this root."""
        ...

    def update_documents(self, documents: Iterable[Document], root: int | None) -> int:
        """Replace the text, metadata and page image of stored documents, and keep their vectors; return their number.

        For documents of which nothing changed that is encoded. They are noted as read from this root.

        Raises:
            UnknownIdError: The engine holds no document of an id. Nothing is changed.
        """
        ...

    def upsert(self, records: Iterable[Record], *, replacing: Where | None = None) -> list[str]:
        """Add records, replacing those of the same id; return the ids, in order.

        Consumes the iterable in bounded memory. Stored documents that pass ``replacing`` are deleted in the same
        commit, before the records are added.
        """
        ...

    def delete(self, *, ids: Iterable[str] | None = None, where: Where | None = None) -> int:
        """Delete by ids or by filter and return how many there were. Unknown ids are skipped.

        Raises:
            InvalidRequestError: Every document matches the filter, as ``{}``. `clear` deletes everything.
        """
        ...

    def clear(self) -> int:
        """Delete every document and return how many there were."""
        ...

    def one_state(self) -> AbstractContextManager[None]:
        """What this thread reads inside the block is of one commit, as far as the engine can promise it."""
        ...

    def search(
        self,
        query_vectors: ArrayLike,
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: Iterable[str] | None = None,
    ) -> list[Match]:
        """The k best documents by MaxSim among those that pass ``where`` and, if given, are ``candidates`` (ids)."""
        ...

    def search_lexical(
        self, query: str, k: int = 10, *, where: Where | None = None, candidates: Iterable[str] | None = None
    ) -> list[Match]:
        """The k best documents by BM25 over the words of the query."""
        ...

    def get(self, ids: Sequence[str]) -> list[Document]:
        """The documents of these ids, in this order; unknown ids are left out."""
        ...

    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The stored token vectors by id, each (tokens, dim); unknown ids are left out."""
        ...

    def scan(self, *, where: Where | None = None, root: int | None = None) -> Iterator[Document]:
        """Yield every document that passes, of a root only those read from it, in the order of addition.

        All are of one commit.
        """
        ...

    def count(self, *, where: Where | None = None) -> int:
        """How many documents pass."""
        ...

    def info(self) -> dict[str, Any]:
        """Size, layout and settings, as JSON values."""
        ...

    def verify(self) -> Verification:
        """Check everything stored against its checksums."""
        ...

    def compact(self) -> None:
        """Give back the room of deleted documents and merge what was added in small pieces."""
        ...

    def close(self) -> None:
        """Release files and locks. Closing twice is no error."""
        ...
