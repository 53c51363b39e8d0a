"""Find stored passages whose files were removed or have become shorter, and decide whether to delete them."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.ingestion.roots import is_folder
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from late_interaction.documents import Document
    from late_interaction.engines import Engine
    from late_interaction.ingestion.naming import Passage
    from late_interaction.ingestion.roots import Root, Roots

__all__ = ["Reading", "find_stale", "is_empty", "is_in"]

_ALLOW = "if the files were removed on purpose, pass --allow-empty (allow_empty=True)"


@dataclass
class Reading:
    """Track which passages a run has read.

    Attributes:
        places: The files and folders to read, resolved by `late_interaction.ingestion.roots.real_path`.
    """

    places: frozenset[Path]
    # The ranges of numbers, each with its end, by name, and whether a page image.
    _ranges: dict[tuple[str, bool], list[tuple[int, int]]] = field(default_factory=dict)
    _paths: dict[str, Path] = field(default_factory=dict)  # by name
    _roots: set[int] = field(default_factory=set)

    def note(self, passage: Passage) -> None:
        """Record that a passage was read."""
        name, number = passage.document.metadata["source"], passage.document.metadata["passage"]
        kind = name, passage.document.image is not None
        ranges = self._ranges.setdefault(kind, [])
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        else:
            ranges.append((number, number + 1))
        self._paths[name] = passage.path
        self._roots.add(passage.root)

    def concerns(self, root: Root) -> bool:
        """Return whether files of this root were read, or were to be read."""
        return root.number in self._roots or any(
            place.is_relative_to(root.path) or root.path.is_relative_to(place) for place in self.places
        )

    def has(self, name: str) -> bool:
        """Return whether any passage of the file with this name was read."""
        return name in self._paths

    def has_below(self, place: Path) -> bool:
        """Return whether any passage of a file at or below this place was read."""
        return any(path.is_relative_to(place) for path in self._paths.values())

    def is_beyond(self, document: Document, *, is_kept: bool) -> bool:
        """Return whether a stored passage is no longer in its file, which was read.

        Args:
            document: The stored passage.
            is_kept: The file was only partly read, so passages that were not read are kept.
        """
        ranges = self._ranges.get((document.metadata["source"], document.image is not None))
        number = document.metadata["passage"]
        return ranges is None or not (is_kept or any(start <= number < end for start, end in ranges))


def find_stale(
    engine: Engine,
    roots: Roots,
    reading: Reading,
    kept: frozenset[Path],
    *,
    allow_empty: bool,
    on_skip: Callable[[Path, str], None] | None,
) -> list[str]:
    """Return the ids of stored passages that are no longer in any file.

    Only passages with a root are considered, and only if their file is at or below one of the places. A passage is
    stale if its file was not read or has become shorter. See `late_interaction.ingestion.update` for ``allow_empty``
    and ``on_skip``.

    Raises:
        InvalidRequestError: Deleting needs ``allow_empty``.
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
                if reading.is_beyond(document, is_kept=is_in(path, kept)):
                    stale.append(document.id)
            elif is_in(path, reading.places) and not is_in(path, kept):
                lost[path].append(document.id)
        if lost and not allow_empty and not is_folder(root.path):
            raise InvalidRequestError(
                f"{root.path} does not exist, and the index contains {_count(lost)} of files in it. Nothing "
                f"was deleted. If the folder has moved, pass its new location with --root; {_ALLOW}."
            )
        for path, ids in lost.items():
            vanished[path] += ids
    if vanished and not allow_empty:
        _check_places(vanished, reading, kept)
        _leave_out_empty_folders(vanished, reading.places, on_skip or _refuse)
    return [*stale, *(document_id for ids in vanished.values() for document_id in ids)]


def _check_places(vanished: dict[Path, list[str]], reading: Reading, kept: frozenset[Path]) -> None:
    """Raise if every stored passage of a place would be deleted because the place no longer has files."""
    for place in reading.places:
        lost = {path: ids for path, ids in vanished.items() if path.is_relative_to(place)}
        if not lost or reading.has_below(place) or any(path.is_relative_to(place) for path in kept):
            continue
        if not any(path.is_file() for path in lost):  # else an existing file has become blank
            raise InvalidRequestError(
                f"{place} has no files to read, and the index contains {_count(lost)} of files in it. Nothing "
                f"was deleted. If a disk is not mounted, mount it; {_ALLOW}."
            )


def _leave_out_empty_folders(
    vanished: dict[Path, list[str]], places: frozenset[Path], skip: Callable[[Path, str], None]
) -> None:
    """Keep the passages of folders that are now empty, because an unmounted disk looks the same."""
    empty: dict[Path, list[Path]] = defaultdict(list)
    for path in vanished:
        folder = next((parent for parent in path.parents if is_folder(parent)), None)
        if folder is not None and is_in(folder, places) and is_empty(folder):
            empty[folder].append(path)
    for folder, paths in empty.items():
        passages = _count({path: vanished.pop(path) for path in paths})
        reason = f"it is empty, and the index contains {passages} of files in it, which are kept"
        skip(folder, f"{reason}; if the folder is no longer needed, remove it; {_ALLOW}")


def is_empty(folder: Path) -> bool:
    """Return whether a folder has no files except hidden ones, which are not read."""
    try:
        return all(name.startswith(".") for name in os.listdir(folder))  # noqa: PTH208  # only names are needed
    except OSError:
        return False


def is_in(path: Path, places: Collection[Path]) -> bool:
    """Return whether a path is one of the places or below one."""
    return path in places or any(parent in places for parent in path.parents)


def _count(passages: dict[Path, list[str]]) -> str:
    return counted(sum(map(len, passages.values())), "passage")


def _refuse(folder: Path, reason: str) -> None:
    raise InvalidRequestError(f"Cannot update the index from {folder}: {reason}.")
