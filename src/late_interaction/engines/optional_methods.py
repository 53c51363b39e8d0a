"""The methods of an engine that belong to a capability. Those that an engine does not override are refused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from late_interaction.engines.capabilities import unsupported

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.engines.capabilities import Capabilities
    from late_interaction.engines.records import Ids, Match, Record, Verification
    from late_interaction.filters import Where

__all__ = ["OptionalMethods"]


class OptionalMethods(ABC):
    """The half of `late_interaction.engines.Engine` that belongs to capabilities."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this engine can do beyond the required core."""
        ...

    # Capability "lexical".

    def search_lexical(
        self, query: str, k: int = 10, *, where: Where | None = None, candidates: Ids | None = None
    ) -> list[Match]:
        """Return the k best documents by BM25 over the words of the query, best first. See `search`."""
        raise unsupported(self, "lexical")

    def highest_lexical_score(self, query: str) -> float | None:
        """Return what the score of `search_lexical` approaches in a document with every word of a query many times.

        It turns scores into relevance. None if the engine does not know; then relevance is ``score / (1 + score)``.
        """
        return None

    def lexical_bytes(self) -> int | None:
        """Return how many bytes are stored for `search_lexical` alone, without texts; None if the engine cannot tell.

        It may read all of them.
        """
        return None

    # Capability "vectors".

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """Return documents together with their token vectors, by id; unknown ids are left out.

        Document and vectors of one record belong together, also while others write.
        """
        raise unsupported(self, "vectors")

    def vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the stored token vectors by id, each (tokens, dim); unknown ids are left out."""
        raise unsupported(self, "vectors")

    # Capabilities "verify", "compact" and "copy".

    def verify(self) -> Verification:
        """Check everything stored against its checksums."""
        raise unsupported(self, "verify")

    def compact(self) -> None:
        """Reclaim the space of deleted documents and merge what was added in small pieces."""
        raise unsupported(self, "compact")

    def copy(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Write a copy into another directory; with ``replace``, in the place of an earlier copy."""
        raise unsupported(self, "copy")

    # Capability "sources".

    @property
    def roots(self) -> dict[str, Any]:
        """What `record_roots` wrote, or an empty dict."""
        raise unsupported(self, "sources")

    def record_roots(self, roots: Mapping[str, Any]) -> None:
        """Store, as JSON, the roots that documents are read from, by number (see `Record`)."""
        raise unsupported(self, "sources")

    def roots_of(self, ids: Sequence[str]) -> dict[str, int | None]:
        """Return the root of each of these documents, or None; unknown ids are left out."""
        raise unsupported(self, "sources")

    def set_root(self, ids: Sequence[str], root: int | None) -> None:
        """Note that stored documents were read from this root."""
        raise unsupported(self, "sources")

    def update_documents(
        self, documents: Iterable[Document], root: int | None, *, stored_ids: Mapping[str, str] | None = None
    ) -> int:
        """Replace text, metadata and page image of stored documents, keep their vectors, and return their number.

        For documents of which nothing that is encoded has changed. They are noted as read from this root.

        Args:
            documents: The documents, each id once.
            root: The root.
            stored_ids: The stored ids of documents that get another one, by the new id. Each stored id occurs once. A
                stored document with a new id is deleted, unless it gets another id itself.

        Raises:
            UnknownIdError: The engine holds no document of an id. Nothing is changed.
        """
        raise unsupported(self, "sources")

    # Capability "keeps_vectors".

    def upsert_keeping(
        self,
        records: Iterable[Record | Document],
        encode: Callable[[list[Document]], Iterable[Record]],
        *,
        replacing: Where | None = None,
    ) -> list[str]:
        """Upsert, where a document without vectors keeps those that are stored under its id. See `upsert`.

        Args:
            records: Records, and documents whose `Document.encoded_content` is that of the stored document.
            encode: Called at the end with those of them for which that is no longer true, because others have deleted
                or replaced the stored document meanwhile; returns their records, in order.
            replacing: As in `upsert`. What it deletes keeps its vectors where ``records`` has the document.
        """
        raise unsupported(self, "keeps_vectors")
