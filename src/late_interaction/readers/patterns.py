"""Which files of a folder are read: patterns to include and to exclude, and those of ``.gitignore`` files."""

from __future__ import annotations

import logging
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Ignored", "Selection"]

_GIT = ".git"
_MAX_RULES_BYTES = 1 << 18  # of a file of rules; what comes later is not read
_STARS = re.compile(r"\*+")
_MAX_STARS = 3  # in one name of a pattern: matching takes time in proportion to this power of the length of the name
_MAX_DEEP = 2  # of "**" in a pattern, in proportion to the depth of the path
_logger = logging.getLogger(__name__)


class Selection:
    """Which files to read, by patterns as in ``.gitignore``, relative to the folder that is read.

    Args:
        glob: Read only the files in folders that match one of these patterns. None for all.
        exclude: Read no files and folders that match one of these patterns.
        gitignore: Leave out what git ignores, in folders inside a work tree of git.

    Raises:
        InvalidRequestError: A pattern is invalid.
    """

    def __init__(
        self, glob: str | Iterable[str] | None = None, exclude: str | Iterable[str] = (), *, gitignore: bool = True
    ) -> None:
        self._included = None if glob is None else _spec_of(glob, "glob")
        self._excluded = _spec_of(exclude, "exclude")
        self.gitignore = gitignore

    def includes(self, path: Path, folder: Path) -> bool:
        """Return whether a file at or below a path that is read matches ``glob``, as a file that is the path does."""
        return self._included is None or path == folder or self._included.match_file(_name(path, folder))

    def excludes(self, path: Path, folder: Path, *, is_folder: bool) -> bool:
        """Return whether a pattern excludes a file or folder below a path that is read, or a file that is the path."""
        name = _name(path, folder)
        return self._excluded.match_file(f"{name}/" if is_folder else name)


@dataclass(frozen=True)
class Ignored:
    """What git ignores in one folder, by the ``.gitignore`` files in it and in the folders around it.

    Attributes:
        rules: The rules of each file, the outermost first, with the path of the folder relative to that of the file.
            None outside of a work tree of git.
    """

    rules: tuple[tuple[str, GitIgnoreSpec], ...] | None = None

    @classmethod
    def around(cls, folder: Path) -> Ignored:
        """Return the rules for the parent of a folder to read, without any if they ignore the folder itself."""
        place = Path(os.path.realpath(folder))
        top = next((parent for parent in place.parents if os.path.lexists(parent / _GIT)), None)
        if top is None:
            return cls()
        rules, path = cls().within(top, "", is_work_tree=True), top
        for name in place.parent.relative_to(top).parts:
            if rules.covers(name, is_folder=True):
                return cls(())
            path = path / name
            rules = rules.within(path, name, is_work_tree=False)
        return cls(()) if rules.covers(place.name, is_folder=True) else rules

    def within(self, folder: Path, name: str, *, is_work_tree: bool) -> Ignored:
        """Return the rules in a folder, where these are the rules in its parent.

        Args:
            folder: The folder.
            name: Its name.
            is_work_tree: Whether it has a ``.git``, so that the rules around it do not apply.
        """
        own = _rules_in(folder / ".gitignore")
        if is_work_tree:
            return Ignored((("", _rules_in(folder / _GIT / "info" / "exclude")), ("", own)))
        if self.rules is None:
            return self
        return Ignored((*((f"{path}{name}/", spec) for path, spec in self.rules), ("", own)))

    def covers(self, name: str, *, is_folder: bool) -> bool:
        """Return whether git ignores the file or folder of this name. Of the rules that match, the last one decides."""
        for path, spec in reversed(self.rules or ()):
            decided = spec.check_file(f"{path}{name}/" if is_folder else f"{path}{name}").include
            if decided is not None:
                return decided
        return False


def _name(path: Path, folder: Path) -> str:
    return path.name if path == folder else path.relative_to(folder).as_posix()


def _spec_of(patterns: str | Iterable[str], argument: str) -> GitIgnoreSpec:
    lines = [patterns] if isinstance(patterns, str) else list(patterns)
    for line in lines:
        if not isinstance(line, str) or not line.strip():
            raise InvalidRequestError(f"{argument} must be a pattern such as '*.md', got {line!r}.")
    try:
        return GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise InvalidRequestError(
            f"{argument} has an invalid pattern: {error}. Patterns are as in .gitignore."
        ) from None


def _rules_in(path: Path) -> GitIgnoreSpec:
    """Return the rules in a file; none if it does not exist. Lines that git would not accept are left out.

    So are patterns that take very long to match with a name made for that: the file may come from a stranger.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):  # as git does not follow a link; and reading a pipe may never end
            return GitIgnoreSpec.from_lines([])
        with path.open("rb") as file:
            lines = file.read(_MAX_RULES_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return GitIgnoreSpec.from_lines([])
    bounded = [line for line in lines if line.startswith("#") or _is_bounded(line)]
    if len(bounded) < len(lines):
        _logger.warning("%s: %d patterns with very many wildcards are not applied.", path, len(lines) - len(bounded))
    try:
        return GitIgnoreSpec.from_lines(bounded)
    except ValueError:
        return GitIgnoreSpec.from_lines(filter(_is_valid, bounded))


def _is_bounded(line: str) -> bool:
    names = line.split("/")
    deep = sum("**" in name for name in names)
    return deep <= _MAX_DEEP and all(len(_STARS.findall(name)) <= _MAX_STARS for name in names)


def _is_valid(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
