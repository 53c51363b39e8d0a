"""Searches for callers with an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_thread"]

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# Each thread may hold the interpreter for 5 ms (`sys.getswitchinterval`) before the loop gets its turn, so a loop that
# shares it with the dozen of asyncio's own pool waits for that many of them. More than the cores gain nothing.
_THREADS = min(2, os.cpu_count() or 1)


async def in_thread(
    function: Callable[_Parameters, _Result], *args: _Parameters.args, **kwargs: _Parameters.kwargs
) -> _Result:
    """Run a search in one of few threads, with the context of the caller, as `asyncio.to_thread` does in one of many.

    For short calls alone: writing, which may take hours, would keep searches waiting.
    """
    call = partial(contextvars.copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_pool(), call)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="late-interaction-search")


renew_in_child(_pool.cache_clear)  # a forked process has none of its parent's threads
