"""Memory that searches reuse. Kernels allocate nothing, and fresh pages would cost more than what is done in them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Buffers", "borrowed"]

_MAX_KEPT_BYTES = 2**26  # of one array between two searches
_LINE_BYTES = 64
_MAX_KEPT = 8  # unused sets of buffers


class Buffers:
    """Arrays by name, which belong to one search at a time."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def get(self, name: str, kind: Any, size: int) -> NDArray[Any]:
        """Return an array, (size,): what an earlier search left there, or zeros."""
        array = self._arrays.get(name)
        if array is None or len(array) < size:
            array = self._arrays[name] = _aligned_zeros(kind, size)
        return array[:size]

    def floats(self, name: str, size: int) -> NDArray[np.float32]:
        """Return an array of float32, (size,)."""
        return self.get(name, np.float32, size)

    def trim(self) -> None:
        """Release arrays that are too large to keep."""
        self._arrays = {name: array for name, array in self._arrays.items() if array.nbytes <= _MAX_KEPT_BYTES}


def _aligned_zeros(kind: Any, size: int) -> NDArray[Any]:
    """Return zeros that begin with a cache line, as rows of 16 lanes then do."""
    memory = np.zeros(size * np.dtype(kind).itemsize + _LINE_BYTES, np.uint8)
    first = -memory.ctypes.data % _LINE_BYTES
    return memory[first : len(memory) - _LINE_BYTES + first].view(kind)


@contextmanager
def borrowed() -> Iterator[Buffers]:
    """Give buffers that no other search uses. Those of a search that failed are not used again."""
    try:
        buffers = _unused.pop()  # a single operation, for other threads and for signal handlers
    except IndexError:
        buffers = Buffers()
    yield buffers
    if len(_unused) < _MAX_KEPT:
        buffers.trim()
        _unused.append(buffers)


_unused: list[Buffers] = []
