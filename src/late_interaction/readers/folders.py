"""Find the files at and below the given paths."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.readers.decoding import describe
from late_interaction.readers.kinds import ALL_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

__all__ = ["check_paths", "find_files"]


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
        raise InvalidRequestError(f"{path} is not a kind of file that can be read: {' '.join(suffixes)}.")
    return path


def find_files(roots: Iterable[Path], suffixes: Collection[str], report: Callable[[Path, str], None]) -> Iterator[Path]:
    """Yield the files with these suffixes at and below the roots, each name once, in a fixed order.

    Args:
        roots: Paths that `check_paths` returned.
        suffixes: The suffixes of the files to find.
        report: Called with the path and the reason if a folder cannot be listed.
    """
    seen: set[str] = set()  # ids are made of these names, so each may occur only once
    for root in roots:
        for path in _walk(root, suffixes, report):
            name = path.as_posix()
            if name not in seen:
                seen.add(name)
                yield path


def _walk(root: Path, suffixes: Collection[str], report: Callable[[Path, str], None]) -> Iterator[Path]:
    # A stack instead of recursion, for trees deeper than Python's recursion limit. With each path, the stack has the
    # resolved folders that contain the links followed on the way to it.
    stack: list[tuple[Path, tuple[Path, ...]]] = [(root, ())]
    while stack:
        path, jumps = stack.pop()
        if not _is_folder(path):
            if path.suffix.lower() in suffixes and not _is_special(path):
                yield path
            continue
        if path != root and path.is_symlink():
            target = path.resolve()
            jumps = (*jumps, path.parent.resolve())
            if any(folder.is_relative_to(target) for folder in jumps):
                continue  # the link leads back to a folder that is being walked
        try:
            names = sorted(os.listdir(path), reverse=True)  # noqa: PTH208  # only names are needed
        except OSError as error:
            report(path, describe(error))
        else:
            stack.extend((path / name, jumps) for name in names if not name.startswith("."))


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
