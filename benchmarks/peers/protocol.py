"""What the driver and its workers share. Needs numpy alone, for it runs in the environment of every peer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

K = 10  # documents that every search returns


@dataclass(frozen=True)
class Columns:
    """The documents and queries of one run.

    Attributes:
        tokens: Token vectors of all documents, (tokens, dim) f16, mapped from disk.
        offsets: Where each document begins and the last ends, (documents + 1,).
        queries: Token vectors of each query, (query tokens, dim) f32.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    queries: list[np.ndarray]

    @classmethod
    def load(cls, folder: Path) -> Columns:
        """What `write` has written."""
        queries, starts = np.load(folder / "queries.npy"), np.load(folder / "query_offsets.npy")
        return cls(
            np.load(folder / "tokens.npy", mmap_mode="r"),
            np.load(folder / "offsets.npy"),
            [queries[start:end] for start, end in pairwise(starts)],
        )

    def write(self, folder: Path) -> None:
        """Write them for the workers."""
        folder.mkdir(parents=True)
        np.save(folder / "tokens.npy", self.tokens)
        np.save(folder / "offsets.npy", self.offsets)
        np.save(folder / "queries.npy", np.concatenate(self.queries).astype(np.float32))
        np.save(folder / "query_offsets.npy", np.cumsum([0, *map(len, self.queries)]))

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.offsets) - 1

    def document(self, at: int) -> np.ndarray:
        """Token vectors of one document, (tokens, dim) f32."""
        return self.tokens[self.offsets[at] : self.offsets[at + 1]].astype(np.float32)


class Peer:
    """One engine, as a worker drives it: `build` in one process on all cores, then `open` and `search` in another.

    Attributes:
        packages: Distributions whose versions are part of the result.
        settings: Keyword arguments of `search` under the names they have in the table.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[dict[str, dict[str, Any]]] = {"default": {}}

    def build(self, columns: Columns, folder: Path) -> int:
        """Write an index of the documents into the empty folder; its size in bytes."""
        raise NotImplementedError

    def open(self, columns: Columns, folder: Path) -> None:
        """Get ready to search what `build` wrote, on one thread."""
        raise NotImplementedError

    def search(self, query: np.ndarray) -> list[int]:
        """The numbers of the K best documents, best first."""
        raise NotImplementedError


def bytes_in(folder: Path) -> int:
    """Size of all files in the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
