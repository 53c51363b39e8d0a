"""The directory of an index, which may be renamed or replaced while it is open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from late_interaction.engines.local.storage.files import CATALOG
from late_interaction.errors import IndexReplacedError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TypeAlias

    Identity: TypeAlias = tuple[tuple[int, int], ...]

__all__ = ["Location", "identity_of"]


class Location:
    """A directory and its catalog, identified by device and inode.

    The directory stays open, so that the system cannot give its inode to another one.

    Args:
        root: The directory. It must contain a catalog.

    Attributes:
        root: The directory.
        identity: What `identity_of` gave when it was opened.

    Raises:
        OSError: The directory cannot be opened.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._descriptor: int | None = None
        if os.name != "nt":
            self._descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
        self.identity = identity_of(root)

    def check(self) -> None:
        """Raise `IndexReplacedError` if the path leads to another directory or another catalog by now."""
        try:
            if identity_of(self.root) == self.identity:
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


def identity_of(root: Path) -> Identity:
    """Return the device and inode of a directory and of its catalog.

    Raises:
        OSError: One of them does not exist.
    """
    found = os.stat(root), os.lstat(root / CATALOG)  # noqa: PTH116  # twice as fast as Path.stat
    return tuple((status.st_dev, status.st_ino) for status in found)
