"""Find the files at and below the given paths."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.readers.decoding import describe
from late_interaction.readers.kinds import ALL_SUFFIXES, UNREAD_SUFFIXES
from late_interaction.readers.patterns import Ignored, Selection
from late_interaction.readers.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

__all__ = ["check_paths", "find_files"]

_INDEX = frozenset(("catalog.sqlite", "segments"))  # names in the directory of an index, which has nothing to read


def check_paths(paths: Iterable[str | os.PathLike[str]], suffixes: Collection[str] = tuple(ALL_SUFFIXES)) -> list[Path]:
    """Return the paths, after checking that each is a folder, or a file of a kind that can be read.

    Args:
        paths: Files and folders.
        suffixes: The suffixes of the files to read.

    Raises:
        InvalidRequestError: A path does not exist, is another kind of file, or cannot be accessed.
    """
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise InvalidRequestError("paths must be a list of paths. For a single one, pass [path].")
    return [_check_path(path, suffixes) for path in paths]


def _check_path(given: str | os.PathLike[str], suffixes: Collection[str]) -> Path:
    if not os.fspath(given):
        raise InvalidRequestError("A path is empty. Use '.' for the current folder.")
    path = Path(given)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InvalidRequestError(f"{path} does not exist.") from None
    except (OSError, ValueError) as error:  # ValueError: the name has a NUL
        raise InvalidRequestError(f"{str(path)!r} cannot be read: {error}.") from None
    if stat.S_ISDIR(mode):
        return path
    if not stat.S_ISREG(mode):
        raise InvalidRequestError(f"{path} is neither a file nor a folder.")
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        modality = ALL_SUFFIXES.get(suffix)
        if modality is not None:
            raise InvalidRequestError(f"{path} needs an encoder that reads {modality}, and modalities=[{modality!r}].")
        advice = UNREAD_SUFFIXES.get(suffix)
        raise InvalidRequestError(
            f"{path} is not a kind of file that can be read: {' '.join(suffixes)}."
            f"{'' if advice is None else f' {advice[:1].upper()}{advice[1:]}.'}"
        )
    return path


def find_files(
    roots: Iterable[Path],
    suffixes: Collection[str],
    report: Callable[[Path, str], None],
    selection: Selection | None = None,
    unread: Unread | None = None,
) -> Iterator[Path]:
    """Yield the files with these suffixes at and below the roots, each name once, in a fixed order.

    Args:
        roots: Paths that `check_paths` returned.
        suffixes: The suffixes of the files to find.
        report: Called with the path and the reason if a folder cannot be listed.
        selection: Which of these files to find.
        unread: Counts files with other suffixes, and what git ignores.
    """
    walk = _Walk(
        suffixes, report, Selection() if selection is None else selection, Unread() if unread is None else unread
    )
    seen: set[str] = set()  # ids are made of these names, so each may occur only once
    for root in roots:
        for path in walk.files(root):
            name = path.as_posix()
            if name not in seen:
                seen.add(name)
                yield path


@dataclass(frozen=True)
class _Walk:
    """Walks through folders; see `find_files`."""

    suffixes: Collection[str]
    report: Callable[[Path, str], None]
    selection: Selection
    unread: Unread

    def files(self, root: Path) -> Iterator[Path]:
        """Yield the files at and below a path. Report a folder of which all is left out: a pattern may be wrong."""
        causes: dict[str, None] = {}  # of what was left out
        found = False
        for path, cause in self._files(root):
            if cause is None:
                found = True
                yield path
            elif path.suffix.lower() in self.suffixes or _is_folder(path):
                causes[cause] = None
        if causes and not found and _is_folder(root):
            self.report(root, f"everything in it is left out by {' and '.join(causes)}")

    def _files(self, root: Path) -> Iterator[tuple[Path, str | None]]:
        """Yield each file to read, with None, and each file or folder that is left out, with what leaves it out."""
        # A stack instead of recursion, for trees deeper than Python's recursion limit. With each path, the stack has
        # the resolved folders that contain the links followed on the way to it, and the rules of git that apply to it.
        around = Ignored.around(root) if self.selection.gitignore and _is_folder(root) else Ignored()
        stack: list[tuple[Path, tuple[Path, ...], Ignored]] = [(root, (), around)]
        while stack:
            path, jumps, ignored = stack.pop()
            is_folder = _is_folder(path)
            is_place = is_folder and path == root
            if not is_place and self.selection.excludes(path, root, is_folder=is_folder):
                yield path, "exclude"
            elif path != root and ignored.covers(path.name, is_folder=is_folder):
                self.unread.add_ignored()
                yield path, ".gitignore"
            elif not is_folder:
                if not self.selection.includes(path, root):
                    yield path, "glob"
                elif not _is_special(path) and self._is_kind(path):
                    yield path, None
            else:
                if path != root and path.is_symlink():
                    target = path.resolve()
                    jumps = (*jumps, path.parent.resolve())
                    if any(folder.is_relative_to(target) for folder in jumps):
                        continue  # the link leads back to a folder that is being walked
                stack += [(path / name, jumps, inner) for name, inner in self._names(path, ignored, is_place=is_place)]

    def _is_kind(self, path: Path) -> bool:
        if path.suffix.lower() in self.suffixes:
            return True
        if path.exists():
            self.unread.add_kind(path)
        return False

    def _names(self, folder: Path, ignored: Ignored, *, is_place: bool) -> Iterator[tuple[str, Ignored]]:
        """Yield the names in a folder that are not hidden, in reverse order, with the rules of git in the folder."""
        try:
            names = sorted(os.listdir(folder), reverse=True)  # noqa: PTH208  # only names are needed
        except OSError as error:
            self.report(folder, describe(error))
            return
        if _INDEX.issubset(names):
            if is_place:
                self.report(folder, "it is the directory of an index, whose files are not read")
            return
        if self.selection.gitignore:
            name = Path(os.path.realpath(folder)).name
            ignored = ignored.within(folder, name, is_work_tree=".git" in names)
        yield from ((name, ignored) for name in names if not name.startswith("."))


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:
        return False


def _is_special(path: Path) -> bool:
    """Return whether the path is a pipe, socket or device, which may block when opened.

    A dangling symlink is reported instead.
    """
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
