"""From passages that are named as their files were given to passages that are named by root."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.documents import Document
from late_interaction.ingestion.roots import real_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from late_interaction.ingestion.roots import Roots

__all__ = ["Naming", "Passage"]


@dataclass(frozen=True)
class Passage:
    """A passage of a file.

    Attributes:
        document: The passage; its id and the metadata ``source`` name the file by its root.
        root: The number of the root.
        path: The file, as `late_interaction.ingestion.roots.real_path` gives it.
        given: The file, as it was given.
    """

    document: Document
    root: int
    path: Path
    given: Path


@dataclass(frozen=True)
class _File:
    name: str
    root: int
    path: Path
    given: Path


class Naming:
    """Names passages by the roots of an index.

    Args:
        roots: The roots. Those that are missing are added to them.
        places: Files and folders that the passages were read from. Folders below one of them are not resolved: a
            symbolic link that was followed on the way to a file stays in its name.
    """

    def __init__(self, roots: Roots, places: Collection[str | os.PathLike[str]]) -> None:
        self._roots = roots
        self._places = {Path(place): real_path(place) for place in places}
        self._files: dict[str, _File] = {}  # by the source as it is given
        self._given: dict[str, str] = {}  # by name: the source as it is given

    def named(self, documents: Iterable[Document]) -> Iterator[Passage]:
        """Yield the passages under their new names. A file that is given in two ways is taken in the first alone."""
        for document in documents:
            source = document.metadata["source"]
            file = self._files.get(source) or self._file(source)
            if self._given[file.name] == source:
                yield Passage(_renamed(document, source, file.name), file.root, file.path, file.given)

    def _file(self, source: str) -> _File:
        given = Path(source)
        place, path = self._resolve(given)
        self._roots.of_place(place)
        root = self._roots.of_place(path)  # perhaps one that is farther in
        file = _File(root.name_of(path), root.number, path, given)
        self._files[source] = file
        self._given.setdefault(file.name, source)
        return file

    def _resolve(self, given: Path) -> tuple[Path, Path]:
        """The real paths of the innermost place that holds a file and of the file; a file in none is a place itself."""
        for place in (given, *given.parents):
            rest = given.relative_to(place)
            if place in self._places and os.pardir not in rest.parts:  # ".." is in "." by its name alone
                return self._places[place], self._places[place] / rest
        return real_path(given), real_path(given)


def _renamed(document: Document, source: str, name: str) -> Document:
    if source == name:
        return document
    own = document.id.removeprefix(source)
    return Document(
        document.text,
        image=document.image,
        id=document.id if own == document.id else name + own,
        metadata={**document.metadata, "source": name},
        encoded_text=document.encoded_text,
    )
