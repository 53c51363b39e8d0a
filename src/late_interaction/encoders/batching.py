"""Group inputs of similar length into batches of a limited size, so that little of a batch is padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["batches"]


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield the positions of the inputs of each batch, longest inputs first.

    The padded size of a batch is at most the budget. An input longer than the budget is a batch of its own.

    Args:
        lengths: Number of tokens of each input.
        budget: Maximum number of tokens of a batch, including padding: its longest input times its number of inputs.

    Example:
        >>> list(batches([3, 9, 4, 1], budget=10))
        [[1], [2, 0], [3]]
    """
    batch: list[int] = []
    longest = 0
    for position in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        if batch and longest * (len(batch) + 1) > budget:
            yield batch
            batch = []
        if not batch:
            longest = max(lengths[position], 1)
        batch.append(position)
    if batch:
        yield batch
