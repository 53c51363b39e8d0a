"""Texts that are longer than the encoder reads: refused, or counted and warned about once per call."""

from __future__ import annotations

import reprlib
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from late_interaction.encoders.protocol import has_limits
from late_interaction.errors import InvalidDocumentError, InvalidRequestError, TruncationWarning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeVar

    from late_interaction.documents import Document
    from late_interaction.encoders.protocol import Task

    _Item = TypeVar("_Item")

__all__ = ["Truncation", "stack_depth"]

_MAX_NAMES = 5  # in an error
_PACKAGE = __name__.partition(".")[0]


class Truncation:
    """The texts of one call that are longer than the encoder reads.

    Of an encoder that cannot tell (see `LimitedEncoder`), nothing is known.

    Args:
        allowed: Whether texts may be truncated.
    """

    def __init__(self, *, allowed: bool = True) -> None:
        self._allowed = allowed
        self._found: dict[Task, _Found] = {}

    def documents(self, encoder: object, documents: Sequence[Document]) -> frozenset[str]:
        """Return the ids of those of the documents whose texts are truncated. They are encoded next.

        Raises:
            InvalidDocumentError: There are some, and they must not be truncated.
            InvalidRequestError: They must not be truncated, and the encoder cannot tell.
        """
        texts = [document.text_to_encode for document in documents]
        ids = [documents[position].id for position in self._positions(encoder, texts, "document")]
        self._note("document", ids, encoder)
        if ids and not self._allowed:
            raise InvalidDocumentError(
                f"{self._found['document']}: {_names(ids)}. Nothing was stored. Split them, load the encoder with a "
                "greater document_length, or leave out truncate=False."
            )
        return frozenset(ids)

    def queries(self, encoder: object, queries: Sequence[str]) -> None:
        """Note those of the queries that are truncated. They are encoded next.

        Raises:
            InvalidRequestError: They must not be truncated, and there are some, or the encoder cannot tell.
        """
        found = [queries[position] for position in self._positions(encoder, queries, "query")]
        self._note("query", found, encoder)
        if found and not self._allowed:
            raise InvalidRequestError(
                f"{self._found['query']}: {reprlib.repr(found[0])}. Shorten it, load the encoder with a greater "
                "query_length, or leave out truncate=False."
            )

    def warn(self) -> None:
        """Give one warning for all texts that were noted, if there are any."""
        if not self._found:
            return
        parts = [f"{found}; the first is {reprlib.repr(found.first)}" for found in self._found.values()]
        message = (
            f"{'. '.join(parts)}. What is beyond was not encoded, so it cannot be found. Split the texts, or load the "
            f"encoder with a greater {' and '.join(map(_option, self._found))}, if the model allows it."
        )
        count = sum(found.count for found in self._found.values())
        first = self._found.get("document") or self._found["query"]
        warnings.warn(TruncationWarning(message, count=count, first=first.first), stacklevel=stack_depth())

    def warned(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield the items, and then give the warning: if a warning is an error, before they are committed."""
        yield from items
        self.warn()

    def _positions(self, encoder: object, texts: Sequence[str], task: Task) -> list[int]:
        if has_limits(encoder):
            return list(encoder.truncated(list(texts), task)) if texts else []
        if self._allowed:
            return []
        raise InvalidRequestError(
            f"truncate=False needs an encoder that can tell which texts it truncates, and {type(encoder).__name__} has "
            "no method `truncated` (see late_interaction.encoders.LimitedEncoder)."
        )

    def _note(self, task: Task, names: Sequence[str], encoder: object) -> None:
        if names:
            found = self._found.setdefault(task, _Found(task, names[0], getattr(encoder, f"{task}_length", None)))
            found.count += len(names)


@dataclass
class _Found:
    """How many texts are truncated, the first of them, and the number of tokens that the encoder reads, if known."""

    task: Task
    first: str
    limit: int | None
    count: int = 0

    def __str__(self) -> str:
        plural = {"document": "documents", "query": "queries"}
        subject = f"1 {self.task} is" if self.count == 1 else f"{self.count} {plural[self.task]} are"
        return f"{subject} longer than the encoder reads" + ("" if self.limit is None else f" ({self.limit} tokens)")


def _option(task: Task) -> str:
    """Return the option of encoders, and of the command `index`, that says how many tokens are read."""
    return f"{task}_length (of a new index: --{task}-length)"


def _names(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _MAX_NAMES} more" if len(ids) > _MAX_NAMES else ""
    return ", ".join(f"{one!r:.200}" for one in ids[:_MAX_NAMES]) + more


def stack_depth() -> int:
    """Return the ``stacklevel`` of the caller's caller for the nearest function that is not of this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    return level
