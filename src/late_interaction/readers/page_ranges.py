"""Page ranges such as ``1-3,7``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["PageRanges"]

_PART = re.compile(r"\s*(?P<first>\d{1,9})?\s*(?P<dash>-)?\s*(?P<last>\d{1,9})?\s*", re.ASCII)


@dataclass(frozen=True)
class PageRanges:
    """Pages of a file, numbered from 1.

    Attributes:
        ranges: The first and the last page of each range; a last page of None is the last one of the file.

    Example:
        >>> list(PageRanges.parse("1-3,7,9-").within(10))
        [1, 2, 3, 7, 9, 10]
    """

    ranges: tuple[tuple[int, int | None], ...]

    @classmethod
    def parse(cls, text: str) -> PageRanges:
        """Return the pages that a text names.

        Raises:
            InvalidRequestError: It is malformed, page 0, or a range that ends before it begins.
        """
        return cls(tuple(_range(part, text) for part in text.split(","))) if isinstance(text, str) else _refuse(text)

    def within(self, pages: int) -> list[int]:
        """Return the pages that a file with so many pages has, each once, in the order of the file."""
        chosen: set[int] = set()
        for first, last in self.ranges:
            chosen.update(range(first, min(pages, pages if last is None else last) + 1))
        return sorted(chosen)

    def __str__(self) -> str:
        return ",".join(
            f"{first}-" if last is None else f"{first}" if first == last else f"{first}-{last}"
            for first, last in self.ranges
        )


def _range(part: str, text: str) -> tuple[int, int | None]:
    match = _PART.fullmatch(part)
    if match is None or not (match["first"] or (match["dash"] and match["last"])):
        return _refuse(text)
    first = int(match["first"] or 1)
    last = int(match["last"]) if match["last"] else None if match["dash"] else first
    if first < 1 or (last is not None and last < first) or (match["last"] and not match["dash"]):
        return _refuse(text)
    return first, last


def _refuse(text: object) -> NoReturn:
    raise InvalidRequestError(f"pages must be page numbers and ranges from 1, such as '1-3,7' or '5-', got {text!r}.")
