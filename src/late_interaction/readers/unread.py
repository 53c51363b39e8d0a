"""Count the files of which nothing is read, and say so in one message."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import TYPE_CHECKING

from late_interaction.readers.kinds import ALL_SUFFIXES, UNREAD_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Unread"]

_logger = logging.getLogger(__name__)
_SUFFIX = re.compile(r"\.[a-z0-9+-]{1,12}")
_MAX_OTHER_KINDS = 6  # named in the message


class Unread:
    """The files and folders that one call of `late_interaction.readers.read_paths` does not read, by kind."""

    def __init__(self) -> None:
        self._known: Counter[str] = Counter()
        self._other: Counter[str] = Counter()
        self._ignored = 0
        self._empty = 0

    def add_kind(self, path: Path) -> None:
        """Count a file of a kind that is not read."""
        suffix = path.suffix.lower()
        if suffix in ALL_SUFFIXES or suffix in UNREAD_SUFFIXES:
            self._known[suffix] += 1
        else:
            self._other[suffix if _SUFFIX.fullmatch(suffix) else ""] += 1

    def add_ignored(self) -> None:
        """Count a file or folder that git ignores."""
        self._ignored += 1

    def add_empty(self) -> None:
        """Count a file that has nothing to read, such as an empty one or a table without rows."""
        self._empty += 1

    def log(self) -> None:
        """Log one warning with the number of files of each kind and the reason, if there are any."""
        reasons = [
            f"{count} {suffix} ({UNREAD_SUFFIXES.get(suffix) or f'needs an encoder that reads {ALL_SUFFIXES[suffix]}'})"
            for suffix, count in sorted(self._known.items())
        ]
        if self._other:
            kinds = [suffix or "without a known suffix" for suffix, _ in self._other.most_common(_MAX_OTHER_KINDS)]
            more = ", …" if len(self._other) > _MAX_OTHER_KINDS else ""
            reasons.append(f"{self._other.total()} of other kinds ({', '.join(kinds)}{more})")
        if self._ignored:
            reasons.append(f"{self._ignored} ignored by git")
        if self._empty:
            reasons.append(f"{self._empty} without text or rows")
        if reasons:
            _logger.warning("Files that are not read: %s.", ", ".join(reasons))
