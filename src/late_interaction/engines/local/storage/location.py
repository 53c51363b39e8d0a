"""The directory of an index, which may be renamed or replaced while it is open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from late_interaction.engines.local.storage.files import CATALOG
from late_interaction.errors import IndexReplacedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Location"]


class Location:
    """A directory and its catalog, identified by device and inode.

    The directory stays open, so that the system cannot give its inode to another one.

    Args:
        root: The directory. It must contain a catalog.

    Raises:
        OSError: The directory cannot be opened.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._descriptor: int | None = None
        self._catalog = root / CATALOG
        if os.name != "nt":
            self._descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
        self._identities = self._found()

    def check(self) -> None:
        """Raise `IndexReplacedError` if the path leads to another directory or another catalog by now."""
        try:
            if self._found() == self._identities:
                return
        except OSError:
            pass
        raise IndexReplacedError(
            f"The index at {self.root} was moved, replaced or removed after it was opened. Open it again."
        )

    def close(self) -> None:
        """Close the directory."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "An open index cannot be copied or pickled: the copy would close the same descriptor. Open it again."
        )

    def _found(self) -> tuple[tuple[int, int], ...]:
        found = os.stat(self.root), os.lstat(self._catalog)  # noqa: PTH116  # twice as fast as Path.stat
        return tuple((status.st_dev, status.st_ino) for status in found)
