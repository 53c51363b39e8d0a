"""What an index holds of files that are gone or have become shorter, and whether it may be deleted."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.ingestion.roots import is_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from late_interaction.documents import Document
    from late_interaction.engines import Engine
    from late_interaction.ingestion.naming import Passage
    from late_interaction.ingestion.roots import Root, Roots

__all__ = ["Reading", "find_stale"]

_ALLOW = "if the files are gone for good, pass --allow-empty (allow_empty=True)"


@dataclass
class Reading:
    """What a run has read.

    Attributes:
        places: The files and folders that it was to read, as `late_interaction.ingestion.roots.real_path` gives them.
    """

    places: frozenset[Path]
    _ends: dict[tuple[str, bool], int] = field(default_factory=dict)  # by name, and whether as page images
    _paths: dict[str, Path] = field(default_factory=dict)  # by name
    _roots: set[int] = field(default_factory=set)

    def note(self, passage: Passage) -> None:
        """Take down a passage that was read."""
        name, number = passage.document.metadata["source"], passage.document.metadata["passage"]
        kind = name, passage.document.image is not None
        # The last number, not how many: a damaged page may be missing between them.
        self._ends[kind] = max(number + 1, self._ends.get(kind, 0))
        self._paths[name] = passage.path
        self._roots.add(passage.root)

    def concerns(self, root: Root) -> bool:
        """Return whether files of this root were read, or should have been."""
        return root.number in self._roots or any(
            place.is_relative_to(root.path) or root.path.is_relative_to(place) for place in self.places
        )

    def has(self, name: str) -> bool:
        """Return whether something of a file was read."""
        return name in self._paths

    def has_below(self, place: Path) -> bool:
        """Return whether something of a file at or in this place was read."""
        return any(path.is_relative_to(place) for path in self._paths.values())

    def is_beyond(self, document: Document, *, is_kept: bool) -> bool:
        """Return whether a stored passage of a file that was read is not in the file any more."""
        end = self._ends.get((document.metadata["source"], document.image is not None))
        return end is None or (document.metadata["passage"] >= end and not is_kept)


def find_stale(
    engine: Engine,
    roots: Roots,
    reading: Reading,
    kept: frozenset[Path],
    *,
    allow_empty: bool,
    on_skip: Callable[[Path, str], None] | None,
) -> list[str]:
    """Return the ids of the stored passages that are in no file any more.

    Those are passages from a root whose file is at or in one of the places that were read, and was not read or has
    become shorter. See `late_interaction.ingestion.update` for ``allow_empty`` and ``on_skip``.

    Raises:
        InvalidRequestError: ``allow_empty`` would be needed.
    """
    stale: list[str] = []
    vanished: dict[Path, list[str]] = defaultdict(list)  # ids by file
    for root in roots:
        if not reading.concerns(root):
            continue
        lost: dict[Path, list[str]] = defaultdict(list)
        for document in engine.scan(root=root.number):
            name, passage = document.metadata.get("source"), document.metadata.get("passage")
            if not isinstance(name, str) or not isinstance(passage, int):
                continue
            path = root.path_of(name)
            if reading.has(name):
                if reading.is_beyond(document, is_kept=_is_in(path, kept)):
                    stale.append(document.id)
            elif _is_in(path, reading.places) and not _is_in(path, kept):
                lost[path].append(document.id)
        if lost and not allow_empty and not is_folder(root.path):
            raise InvalidRequestError(
                f"{root.path} is gone, and the index holds {_count(lost)} passages of files in it. Nothing was "
                f"deleted. If the folder has moved, name its new place with --root; {_ALLOW}."
            )
        for path, ids in lost.items():
            vanished[path] += ids
    if vanished and not allow_empty:
        _check_places(vanished, reading, kept)
        _leave_out_empty_folders(vanished, reading.places, on_skip or _refuse)
    return [*stale, *(document_id for ids in vanished.values() for document_id in ids)]


def _check_places(vanished: dict[Path, list[str]], reading: Reading, kept: frozenset[Path]) -> None:
    """Refuse to delete everything of a place in which there is nothing any more."""
    for place in reading.places:
        lost = {path: ids for path, ids in vanished.items() if path.is_relative_to(place)}
        if not lost or reading.has_below(place) or any(path.is_relative_to(place) for path in kept):
            continue
        if not any(path.is_file() for path in lost):  # a file that is there has become blank
            raise InvalidRequestError(
                f"{place} has no files to read, and the index holds {_count(lost)} passages of files in it. Nothing "
                f"was deleted. If a disk is not mounted, mount it; {_ALLOW}."
            )


def _leave_out_empty_folders(
    vanished: dict[Path, list[str]], places: frozenset[Path], skip: Callable[[Path, str], None]
) -> None:
    """Keep what was in folders that are empty now, as a folder is on which a disk is not mounted."""
    empty: dict[Path, list[Path]] = defaultdict(list)
    for path in vanished:
        folder = next((parent for parent in path.parents if is_folder(parent)), None)
        if folder is not None and _is_in(folder, places) and _is_empty(folder):
            empty[folder].append(path)
    for folder, paths in empty.items():
        passages = _count({path: vanished.pop(path) for path in paths})
        reason = f"it is empty, and the index holds {passages} passages of files in it, which stay"
        skip(folder, f"{reason}; if the folder is no longer needed, remove it; {_ALLOW}")


def _is_empty(folder: Path) -> bool:
    """Whether there is nothing in a folder but hidden files, which are not read."""
    try:
        return all(name.startswith(".") for name in os.listdir(folder))  # noqa: PTH208  # names are all that is needed
    except OSError:
        return False


def _is_in(path: Path, places: Collection[Path]) -> bool:
    return path in places or any(parent in places for parent in path.parents)


def _count(passages: dict[Path, list[str]]) -> int:
    return sum(map(len, passages.values()))


def _refuse(folder: Path, reason: str) -> None:
    raise InvalidRequestError(f"{folder} cannot be brought up to date: {reason}.")
