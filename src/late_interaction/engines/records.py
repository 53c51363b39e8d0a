"""What passes between `Index` and an engine: documents with vectors, matches, and what `verify` found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.documents import Document

__all__ = ["LEGACY_ROOT", "Ids", "Match", "Record", "Verification"]

Ids: TypeAlias = Iterable[str]
"""Ids of documents."""

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
        truncated: Whether the text is longer than the encoder reads, so that the vectors stand for its beginning. An
            engine that stores this counts such documents in `Engine.info`, as ``truncated_documents``.
    """

    document: Document
    vectors: NDArray[np.floating[Any]]
    root: int | None = None
    truncated: bool = False


@dataclass(frozen=True)
class Match:
    """The id and score of a document that a search found.

    Attributes:
        id: The document's id.
        score: The greater, the better.
        version: Differs when the document has been replaced, so that `Engine.fetch` never returns another text for the
            score. None if the engine has no versions.
    """

    id: str
    score: float
    version: Hashable = None


@dataclass(frozen=True)
class Verification:
    """What `Engine.verify` found. True if there are no problems.

    Attributes:
        problems: One sentence for each problem, naming the file or document.
    """

    problems: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.problems
