"""Shared by the driver and its workers. Needs only NumPy, because it runs in the environment of every engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

K = 10  # documents that every search returns
BUCKETS = 100  # values of the metadata "bucket": 1% of the documents match a filter for one value


@dataclass(frozen=True)
class Columns:
    """The documents and queries of one run.

    Attributes:
        tokens: Token vectors of all documents, (tokens, dim) float16, memory-mapped.
        offsets: Start of each document, and the end of the last, (documents + 1,).
        queries: Token vectors of each query, (query tokens, dim) float32.
        texts: The text of each document, or nothing.
        words: The text of each query, or nothing.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    queries: list[np.ndarray]
    texts: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path) -> Columns:
        """Return the columns that `write` has written."""
        queries, starts = np.load(folder / "queries.npy"), np.load(folder / "query_offsets.npy")
        return cls(
            np.load(folder / "tokens.npy", mmap_mode="r"),
            np.load(folder / "offsets.npy"),
            [queries[start:end] for start, end in pairwise(starts)],
            **json.loads((folder / "texts.json").read_text()),
        )

    def write(self, folder: Path) -> None:
        """Write the columns for the workers. Token vectors that a kept folder has already stay as they are.

        Raises:
            ValueError: The folder has those of other documents, so its indexes are of these.
        """
        folder.mkdir(parents=True, exist_ok=True)
        tokens = folder / "tokens.npy"
        if not tokens.exists():
            np.save(folder / "unfinished.npy", self.tokens)
            (folder / "unfinished.npy").rename(tokens)
        elif np.load(tokens, mmap_mode="r").shape != self.tokens.shape:
            raise ValueError(f"{folder.parent} has indexes of other documents. Give another folder, or remove it.")
        np.save(folder / "offsets.npy", self.offsets)
        np.save(folder / "queries.npy", np.concatenate(self.queries).astype(np.float32))
        np.save(folder / "query_offsets.npy", np.cumsum([0, *map(len, self.queries)]))
        (folder / "texts.json").write_text(json.dumps({"texts": self.texts, "words": self.words}))

    @property
    def documents(self) -> int:
        """The number of documents."""
        return len(self.offsets) - 1

    def document(self, at: int) -> np.ndarray:
        """Return the token vectors of one document, (tokens, dim) float32."""
        return self.tokens[self.offsets[at] : self.offsets[at + 1]].astype(np.float32)


class Peer:
    """An engine that a worker runs: `build` in one process on all cores, then `open` and `search` in another.

    Attributes:
        packages: Distributions whose versions are reported.
        settings: Keyword arguments of `search`, by their name in the table.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[dict[str, dict[str, Any]]] = {"default": {}}

    def prepare(self, columns: Columns) -> None:
        """Do what only the first build of a machine needs, such as compiling. It is not timed."""

    def build(self, columns: Columns, folder: Path) -> int:
        """Write an index of the documents to the empty folder and return its size in bytes."""
        raise NotImplementedError

    def open(self, columns: Columns, folder: Path) -> None:
        """Open the index that `build` wrote, to search on one thread."""
        raise NotImplementedError

    def search(self, query: np.ndarray, **setting: Any) -> list[int]:
        """Return the numbers of the K best documents, best first."""
        raise NotImplementedError


def bytes_in(folder: Path) -> int:
    """Return the total size of all files in the folder, in bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
