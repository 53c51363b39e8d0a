"""Conditions in the SQL of LanceDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["conditions_of_ids", "conditions_of_numbers", "quoted"]

_MAX_TERMS = 5_000  # in one condition


def quoted(text: str) -> str:
    """Return a string literal.

    Example:
        >>> quoted("it's")
        "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def conditions_of_ids(ids: Sequence[str]) -> Iterator[str]:
    """Yield conditions that together are true for the documents of these ids."""
    unique = list(dict.fromkeys(ids))
    for first in range(0, len(unique), _MAX_TERMS):
        yield f"id IN ({', '.join(map(quoted, unique[first : first + _MAX_TERMS]))})"


def conditions_of_numbers(column: str, numbers: Iterable[int], *, limit: int | None = _MAX_TERMS) -> Iterator[str]:
    """Yield conditions that together are true where a column has one of these numbers. Consecutive ones are a range.

    Args:
        column: The column.
        numbers: The numbers.
        limit: Numbers and ranges in one condition, at most; None for a single condition.

    Example:
        >>> list(conditions_of_numbers("key", [7, 1, 2, 3]))
        ['(key IN (7) OR key BETWEEN 1 AND 3)']
    """
    ordered = np.unique(np.fromiter(numbers, np.int64))
    if not len(ordered):
        return
    breaks = np.flatnonzero(np.diff(ordered) != 1) + 1
    runs = [(int(run[0]), int(run[-1])) for run in np.split(ordered, breaks)]
    size = limit or len(runs)
    for first in range(0, len(runs), size):
        chunk = runs[first : first + size]
        single = [str(begin) for begin, end in chunk if begin == end]
        parts = [f"{column} IN ({', '.join(single)})"] if single else []
        parts += [f"{column} BETWEEN {begin} AND {end}" for begin, end in chunk if begin != end]
        yield f"({' OR '.join(parts)})"
