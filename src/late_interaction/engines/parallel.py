"""Work in blocks on several threads. NumPy and compiled kernels release the GIL for most of their time."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["cores", "in_order"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Iterator[_Result]:
    """Yield what a function returns for each item, in the order of the items.

    With one thread, this is `map`. Otherwise this thread takes the items and others call the function, for one item
    more than there are threads at a time, so that memory is bounded. They end with the iterator: after an error or an
    interrupt they finish the items in hand, and take no others.

    Example:
        >>> list(in_order(abs, [-2, 1, -3], threads=2))
        [2, 1, 3]
    """
    if threads <= 1:
        yield from map(function, items)
        return
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="late-interaction-blocks") as pool:
        try:
            for item in items:
                waiting.append(_submitted(pool, function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


def _submitted(pool: ThreadPoolExecutor, function: Callable[[_Item], _Result], item: _Item) -> Future[_Result]:
    try:
        return pool.submit(function, item)
    except RuntimeError:  # the system has no more threads, or the interpreter exits
        done: Future[_Result] = Future()
        done.set_result(function(item))
        return done
