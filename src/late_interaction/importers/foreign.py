"""The contract between the reader of a foreign index and the import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.documents import Document

__all__ = ["ForeignFormat", "ForeignIndex", "SourceOptions"]


@dataclass(frozen=True)
class SourceOptions:
    """What the caller knows of a source, for formats that keep no texts or ids.

    Attributes:
        documents: Reads the documents in the order in which they were added to the source; None if the source has to
            have them. A new iterator each time.
    """

    documents: Callable[[], Iterator[Document]] | None = None


class ForeignIndex(Protocol):
    """An index of another tool, opened for reading. Nothing in it is trusted."""

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        ...

    @property
    def documents(self) -> int:
        """The number of documents."""
        ...

    @property
    def tokens(self) -> int:
        """The number of token vectors."""
        ...

    @property
    def encoder(self) -> str | None:
        """The model that the source names, for the report; it is never loaded because of that."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the source says of itself, as JSON values, for example ``bits``."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost or unknown, as sentences for the user, for example that the source keeps no texts."""
        ...

    def read(self, start: int = 0) -> Iterator[tuple[Document, NDArray[np.float32]]]:
        """Yield the documents from position ``start`` on, in a fixed order, each with its decompressed vectors.

        Vectors are (tokens, dim). Memory is bounded by one file or block of the source. Ids are the same in each run.

        Raises:
            CorruptIndexError: A file is missing, truncated or inconsistent.
        """
        ...


@dataclass(frozen=True)
class ForeignFormat:
    """A kind of source.

    Attributes:
        name: For users, for example ``fast-plaid``.
        matches: Returns whether a folder is of this kind, by the names of its files and the keys of its settings.
        open: Opens the folder, and checks it so far that `ForeignIndex.read` can begin.
        layout: The files by which it is recognized, for the error about a folder that is of no known kind.
    """

    name: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, SourceOptions], ForeignIndex]
    layout: str
