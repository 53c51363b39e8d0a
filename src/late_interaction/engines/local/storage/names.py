"""Names for new directories of segments and codebooks.

A name is recorded in the catalog durably before its directory is made. Only directories of recorded names are ever
removed. To avoid a commit for each name, every commit records the names that the next ones will need.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from typing import TYPE_CHECKING

from late_interaction.engines.local.storage.files import CODEBOOKS, SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["RESERVED_NAMES", "Names", "Taken", "exists", "new_name"]

RESERVED_NAMES = 4
"""Names that are recorded ahead."""


def new_name() -> str:
    """Return a random name that no other directory has."""
    return secrets.token_hex(8)


class Names:
    """Names that the catalog has recorded and that no directory has yet.

    Args:
        root: The directory of the index.
        reserve: Makes a commit that records more names and passes them to `add`.
    """

    def __init__(self, root: Path, reserve: Callable[[], object]) -> None:
        self._root = root
        self._reserve = reserve
        self._names: deque[str] = deque()  # appending and popping are atomic

    @property
    def missing(self) -> int:
        """The number of names that the next commit should record."""
        return max(0, RESERVED_NAMES - len(self._names))

    def add(self, names: Iterable[str]) -> None:
        """Add names that a commit has recorded."""
        self._names.extend(names)

    def take(self) -> str:
        """Return a recorded name, for one directory."""
        while True:
            try:
                name = self._names.popleft()
            except IndexError:
                self._reserve()
                continue
            if not exists(self._root, name):  # a writer that has lost its lock may have made it
                return name


class Taken:
    """Names taken by one rewrite, so that their directories can be removed if it fails.

    Args:
        names: The names to take from.

    Attributes:
        taken: The names taken so far.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self.taken: list[str] = []

    def take(self) -> str:
        """Return a recorded name, for one directory."""
        self.taken.append(self._names.take())
        return self.taken[-1]


def exists(root: Path, name: str) -> bool:
    """Return whether a segment or a codebook of this name exists."""
    return any(os.path.lexists(root / parent / name) for parent in (SEGMENTS, CODEBOOKS))
