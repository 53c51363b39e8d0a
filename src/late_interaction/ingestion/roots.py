"""The roots of an index, and the names of the files below them.

A root is a folder. A file belongs to the innermost root that contains it, and its name is its path relative to that
root. So file names are unique, and each file has exactly one name. The index stores each root as a number, which
documents refer to (see `late_interaction.engines.Record`), the path of the folder, and a label. The label of the first
root is empty, so its files are named ``docs/a.md``. Files of later roots are named ``label//docs/a.md``, which cannot
be a relative path.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import CorruptIndexError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from late_interaction.engines import Engine

__all__ = ["Root", "Roots", "is_folder", "real_path"]

_SEPARATOR = "//"  # between a label and a path
_BATCH = 512  # documents whose image paths are updated in one commit


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file or folder with all folders resolved. A file may be a symbolic link."""
    given = Path(path)
    if is_folder(given):
        return Path(os.path.realpath(given))
    return Path(os.path.realpath(given.parent), given.name)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether the path is a folder; False if permissions prevent the check."""
    return os.path.isdir(path)  # noqa: PTH112  # Path.is_dir raises PermissionError


@dataclass(frozen=True)
class Root:
    """A folder that files are read from.

    Attributes:
        number: The number that documents refer to.
        path: The folder, absolute and without symbolic links.
        label: The prefix of its files' names; empty for the first root of an index.
    """

    number: int
    path: Path
    label: str

    def name_of(self, path: Path) -> str:
        """Return the name of a file below this root."""
        name = path.relative_to(self.path).as_posix()
        return f"{self.label}{_SEPARATOR}{name}" if self.label else name

    def path_of(self, name: str) -> Path:
        """Return the path of the file with this name."""
        return self.path.joinpath(*name.rpartition(_SEPARATOR)[2].split("/"))


class Roots:
    """The roots of an index that have documents, and new roots.

    Args:
        engine: The engine of the index.
        dry_run: Write nothing.

    Raises:
        CorruptIndexError: The roots stored in the index are damaged.
    """

    def __init__(self, engine: Engine, *, dry_run: bool = False) -> None:
        self._engine = engine
        self._dry_run = dry_run
        self._folder = None if engine.path is None else Path(os.path.realpath(engine.path.parent))
        # Ignore roots without documents, which a run leaves if it fails before its first commit.
        self._roots = {root.number: root for root, _ in self._read() if any(engine.scan(root=root.number, fields=()))}
        self._has_new = False

    def __iter__(self) -> Iterator[Root]:
        return iter(self._roots.values())

    def of(self, path: Path) -> Root | None:
        """Return the innermost root that contains a file or folder (an absolute path), or None."""
        holding = [root for root in self if path.is_relative_to(root.path)]
        return max(holding, key=lambda root: len(root.path.parts), default=None)

    def of_place(self, path: Path) -> Root:
        """Return the root for a file or folder to read: a known root that contains it, or a new one.

        A new root is the current folder if it contains the place. Otherwise it is the place itself if that is a folder,
        or else the folder that contains the file. It is not stored until `record` is called.
        """
        known = self.of(path)
        if known is not None:
            return known
        current = Path(os.path.realpath(os.curdir))
        folder = path if is_folder(path) else path.parent
        return self._add(current if path.is_relative_to(current) else folder)

    def record(self) -> None:
        """Write new roots to the index. Call this before adding documents that refer to them."""
        if self._has_new and not self._dry_run:
            self._write()

    def take(self, others: Roots) -> None:
        """Take over the roots of another index, with their numbers, to hold its documents. `record` stores them.

        Raises:
            InvalidRequestError: This index has another root of the same number.
        """
        for root in others:
            own = self._roots.setdefault(root.number, root)
            if own != root:
                raise InvalidRequestError(
                    f"The source has files of {root.path} where the target has files of {own.path}, so they cannot "
                    "become one index. Transfer into a new index; or if this folder has moved, pass its location to "
                    "the target: late-interaction index … --root."
                )
            self._has_new = self._has_new or own is root

    def move(self, where: str) -> None:
        """Record the new location of a root: ``DIR``, or ``LABEL=DIR`` for the root with this label.

        ``DIR`` without a label selects the only root, or the root whose label or folder name equals that of ``DIR``. A
        folder name is accepted in place of a label. Nothing is encoded again: file names stay the same, and page images
        refer to the new location.

        Raises:
            InvalidRequestError: ``DIR`` is not a folder, does not select exactly one root, or is another root.
        """
        label, has_label, folder = where.partition("=")
        if is_folder(where) or not has_label:
            label, folder = "", where
            chosen = list(self) if len(self._roots) == 1 else self._called(real_path(folder).name)
        else:
            chosen = self._called(label)
        if not is_folder(folder):
            raise InvalidRequestError(
                f"{folder!r} is not a folder. Pass the folder that contains the files of the root now."
            )
        if len(chosen) != 1:
            known = ", ".join(f"{root.label!r} ({root.path})" for root in self) or "none"
            raise InvalidRequestError(
                f"{where!r} must select exactly one root of the index, and selects {len(chosen)}. The roots are: "
                f"{known}. Pass LABEL=DIR, where LABEL is the label or the folder name of a root."
            )
        path = real_path(folder)
        if any(root.path == path for root in self if root != chosen[0]):
            raise InvalidRequestError(f"{path} is already another root of the index.")
        self._move(chosen[0], path)

    def follow(self, places: Collection[Path]) -> None:
        """Update the roots that have moved, or were copied, together with the index, as with a project of both.

        Args:
            places: The files and folders to read, as `real_path` returns them. A root that still exists was copied if
                they are in the copy and not in the root.
        """
        for root, beside in list(self._read()):
            if beside is None or self._folder is None or root.number not in self._roots:
                continue
            path = Path(os.path.realpath(self._folder / beside))
            if not is_folder(path) or any(other.path == path for other in self):
                continue
            if is_folder(root.path):
                if {_innermost(place, (path, root.path)) for place in places} - {None} != {path}:
                    continue
            elif self._is_nested(path):
                self._move(root, path)
                continue
            if self._has_files_of(root, path):
                self._move(root, path)

    def _has_files_of(self, root: Root, path: Path) -> bool:
        """Return whether a folder has at least half of the files of a root, by name."""
        fields = self._engine.scan(root=root.number, fields=("metadata",))
        names = {name for document in fields if isinstance(name := (document.metadata or {}).get("source"), str)}
        found = sum(os.path.lexists(replace(root, path=path).path_of(name)) for name in names)
        return 0 < len(names) <= 2 * found

    def _is_nested(self, path: Path) -> bool:
        """Return whether a folder contains that of the index, or is in it."""
        return self._folder is not None and (path.is_relative_to(self._folder) or self._folder.is_relative_to(path))

    def _called(self, name: str) -> list[Root]:
        by_label = [root for root in self if root.label == name]
        return by_label or [root for root in self if root.path.name == name]

    def _add(self, path: Path) -> Root:
        taken = {root.label for root in self}
        root = Root(max(self._roots, default=0) + 1, path, _label_of(path, taken) if "" in taken else "")
        self._roots[root.number] = root
        self._has_new = True
        return root

    def _move(self, root: Root, path: Path) -> None:
        self._roots[root.number] = replace(root, path=path)
        if self._dry_run:
            return
        # References first: if this is interrupted before the root is written, the next run repeats it.
        documents = self._engine.scan(root=root.number)
        moved = (_with_image_at(document, root.path, path) for document in documents)
        changed = (document for document in moved if document is not None)
        while batch := list(islice(changed, _BATCH)):
            self._engine.update_documents(batch, root.number)
        self._write()

    def _write(self) -> None:
        self._engine.record_roots(
            {
                str(root.number): {"path": str(root.path), "label": root.label, "beside": self._beside(root.path)}
                for root in self
            }
        )
        self._has_new = False

    def _beside(self, path: Path) -> str | None:
        """Return the path of a root relative to the parent of the index; None if the index is in no folder."""
        return None if self._folder is None else os.path.relpath(path, self._folder)

    def _read(self) -> Iterator[tuple[Root, str | None]]:
        for key, values in self._engine.roots.items():
            try:
                number, path, label, beside = int(key), values["path"], values["label"], values["beside"]
            except (KeyError, TypeError, ValueError):
                raise _damage(key, values) from None
            is_path = isinstance(path, str) and "\0" not in path and Path(path).is_absolute()
            is_label = isinstance(label, str) and "/" not in label
            is_beside = beside is None or (isinstance(beside, str) and "\0" not in beside)
            if not (number > 0 and is_path and is_label and is_beside):
                raise _damage(key, values)
            yield Root(number, Path(path), label), beside


def _innermost(place: Path, folders: Iterable[Path]) -> Path | None:
    holding = [folder for folder in folders if place.is_relative_to(folder)]
    return max(holding, key=lambda folder: len(folder.parts), default=None)


def _damage(key: str, values: Any) -> CorruptIndexError:
    return CorruptIndexError(f"The root {key!r} of the index is damaged: {values!r:.200}.")


def _label_of(path: Path, taken: set[str]) -> str:
    """Return the folder name of a path, with a number appended if another root has this label."""
    name = path.name.encode(errors="replace").decode() or "root"
    numbered = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(label for label in numbered if label not in taken)


def _with_image_at(document: Document, old: Path, new: Path) -> Document | None:
    """Return the document with its image path moved to another folder; None if the image is not in the old folder."""
    image = document.image
    if image is None or image.path is None or not Path(image.path).is_relative_to(old):
        return None
    return Document(
        document.text,
        id=document.id,
        metadata=document.metadata,
        encoded_text=document.encoded_text,
        image=replace(image, path=str(new / Path(image.path).relative_to(old))),
    )
