"""Options that differ from file to file, given by the path or name of each file."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from late_interaction.errors import InvalidRequestError
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["ByFile", "by_file_or_one"]

_logger = logging.getLogger(__name__)
_Value = TypeVar("_Value")
_MAX_NAMES = 5  # in a message


class ByFile(Generic[_Value]):
    """A value for each of some files.

    A file is named by its path, absolute or relative to the current folder, or by its path relative to a folder that is
    read. Files that do not exist are named in one warning.

    Args:
        values: The value of each name.
        paths: The files and folders that are read.
        what: The argument, for messages.
        base: Another folder that names may be relative to.
        default: The value of all other files.

    Raises:
        InvalidRequestError: A name is not a path.
    """

    def __init__(
        self,
        values: Mapping[str, _Value],
        paths: Sequence[Path],
        what: str,
        *,
        base: Path | None = None,
        default: _Value | None = None,
    ) -> None:
        self._default = default
        self._values: dict[str, _Value] = {}
        missing: list[str] = []
        for name, value in values.items():
            if not isinstance(name, (str, os.PathLike)) or not os.fspath(name):
                raise InvalidRequestError(f"{what} must be given by the paths of files, got the name {name!r}.")
            found = _places(Path(name), paths, base)
            if not found:
                missing.append(str(name))
            for path in found:
                self._values[_resolved(path)] = value
        if missing:
            more = ", …" if len(missing) > _MAX_NAMES else ""
            names = ", ".join(missing[:_MAX_NAMES])
            number = counted(len(missing), "file")
            _logger.warning("%s names %s that cannot be found: %s%s.", what, number, names, more)

    def __call__(self, path: Path) -> _Value | None:
        """Return the value of a file; the default if it has none."""
        return self._values.get(_resolved(path), self._default) if self._values else self._default


def by_file_or_one(
    given: Mapping[str, str] | str | None, paths: Sequence[Path], what: str, parse: Callable[[str], _Value]
) -> ByFile[_Value]:
    """Return the values of an argument that is one string for all files, or a mapping from files to strings.

    Raises:
        InvalidRequestError: It is neither.
    """
    if given is None or isinstance(given, str):
        return ByFile({}, paths, what, default=None if given is None else parse(given))
    if not hasattr(given, "items") or not all(isinstance(value, str) for value in given.values()):
        raise InvalidRequestError(f"{what} must be a string, or a dict of strings by file.")
    return ByFile({name: parse(value) for name, value in given.items()}, paths, what)


def _places(name: Path, paths: Iterable[Path], base: Path | None) -> list[Path]:
    """Return the files that a name stands for: the path itself if it is read, otherwise below each folder."""
    try:
        if os.path.lexists(name) and any(_is_below(name, path) for path in paths):
            return [name]
        found = [path / name for path in paths if os.path.lexists(path / name)]
        found += [path for path in paths if path.name == str(name)]
        if not found and base is not None and os.path.lexists(base / name):
            found = [base / name]
        return found or ([name] if os.path.lexists(name) else [])
    except ValueError:  # the name has a NUL
        return []


def _is_below(name: Path, path: Path) -> bool:
    return Path(_resolved(name)).is_relative_to(os.path.realpath(path))


def _resolved(path: Path) -> str:
    """Return the absolute path of a file, with all folders resolved. A file may be a symbolic link."""
    return os.path.join(os.path.realpath(path.parent), path.name)  # noqa: PTH118  # a string
