"""Where files are: below the folders that a run reads, with symbolic links below these as they were followed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.ingestion.roots import real_path

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Places"]


class Places:
    """The files and folders that a run reads.

    Symbolic links below a place are not resolved, so a link that was followed to a file remains in the file's path. The
    paths of files that are read, kept and stored are compared, so all of them are found by `resolve`.

    Args:
        given: The files and folders, as the caller gave them.
    """

    def __init__(self, given: Collection[str | os.PathLike[str]]) -> None:
        self._real: dict[Path, Path] = {}
        for place in map(Path, given):
            real = real_path(place)
            self._real.update({place: real, _absolute(place): real, real: real})

    @property
    def real(self) -> frozenset[Path]:
        """The places, resolved by `late_interaction.ingestion.roots.real_path`."""
        return frozenset(self._real.values())

    def resolve(self, given: Path) -> tuple[Path, Path]:
        """Return the real paths of the innermost place that contains a file or folder, and of the file or folder.

        One outside all places is its own place.
        """
        for path in (given, _absolute(given)):
            for place in (path, *path.parents):
                rest = path.relative_to(place)
                if place in self._real and os.pardir not in rest.parts:  # "./.." is below "." only lexically
                    return self._real[place], self._real[place] / rest
        return real_path(given), real_path(given)

    def paths_of(self, given: Collection[str | os.PathLike[str]]) -> frozenset[Path]:
        """Return the real paths of files and folders."""
        return frozenset(self.resolve(Path(path))[1] for path in given)


def _absolute(path: Path) -> Path:
    """Return the absolute path without resolving anything."""
    return Path(os.path.realpath(os.curdir)) / path
