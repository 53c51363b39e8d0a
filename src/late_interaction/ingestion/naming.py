"""Rename passages: from file paths as given by the caller to names relative to a root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.documents import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from late_interaction.ingestion.places import Places
    from late_interaction.ingestion.roots import Roots

__all__ = ["Naming", "Passage"]


@dataclass(frozen=True)
class Passage:
    """A passage of a file.

    Attributes:
        document: The passage. Its id and the metadata ``source`` begin with the name of the file relative to the root.
        root: The number of the root.
        path: The path of the file, resolved by `late_interaction.ingestion.places.Places`.
        given: The path of the file, as the caller gave it.
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
    """Rename passages relative to the roots of an index.

    Args:
        roots: The roots of the index. Missing roots are added.
        places: Files and folders that the passages were read from.
    """

    def __init__(self, roots: Roots, places: Places) -> None:
        self._roots = roots
        self._places = places
        self._files: dict[str, _File] = {}  # by source as given
        self._given: dict[str, str] = {}  # name to source as given

    def named(self, documents: Iterable[Document]) -> Iterator[Passage]:
        """Yield the renamed passages, in order. If a file is given by two paths, only the first path is used."""
        for document in documents:
            source = document.metadata["source"]
            file = self._files.get(source) or self._file(source)
            if self._given[file.name] == source:
                yield Passage(_renamed(document, source, file.name), file.root, file.path, file.given)

    def _file(self, source: str) -> _File:
        given = Path(source)
        place, path = self._places.resolve(given)
        self._roots.of_place(place)
        root = self._roots.of_place(path)  # may be a more deeply nested root
        file = _File(root.name_of(path), root.number, path, given)
        self._files[source] = file
        self._given.setdefault(file.name, source)
        return file


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
