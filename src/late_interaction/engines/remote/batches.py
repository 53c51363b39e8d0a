"""Cut a stream into batches that a server takes in one request."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["batches_of", "chunks_of"]

_Item = TypeVar("_Item")


def batches_of(
    items: Iterable[_Item], size_of: Callable[[_Item], int], *, max_bytes: int, max_items: int
) -> Iterator[list[_Item]]:
    """Yield the items in lists of at most so many items and bytes; a greater item is alone in its list.

    No more items are read than the list that is yielded holds, and one.

    Args:
        items: The items.
        size_of: Returns the bytes of an item.
        max_bytes: Bytes of a list.
        max_items: Items of a list.
    """
    batch: list[_Item] = []
    total = 0
    for item in items:
        size = size_of(item)
        if batch and (total + size > max_bytes or len(batch) == max_items):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += size
    if batch:
        yield batch


def chunks_of(items: Iterable[_Item], count: int) -> Iterator[list[_Item]]:
    """Yield the items in lists of this many; the last one may be shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, count)):
        yield chunk
