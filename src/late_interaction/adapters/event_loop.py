"""Calls from an event loop, which none of them blocks: searches in a few threads of ours, writes in asyncio's own."""

from __future__ import annotations

import asyncio
import contextvars
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from late_interaction.cascades import Cascade
    from late_interaction.index import Index

__all__ = ["async_search", "async_write", "in_thread"]

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# Each thread may hold the interpreter for 5 ms (`sys.getswitchinterval`) before the loop gets its turn, so a loop that
# shares it with the dozen of asyncio's own pool waits for that many of them. More than the cores gain nothing.
_LOCAL_THREADS = min(2, os.cpu_count() or 1)

# A thread that waits for another machine does not hold the interpreter. Threads start only when they are needed.
_REMOTE_THREADS = 256


def async_search(method: Callable[..., _Result]) -> Callable[..., Coroutine[Any, Any, _Result]]:
    """Return the asynchronous twin of a method of a class with an ``index``, which the method searches.

    It calls the method by its name, so a subclass need only override the method. For short calls alone: writing, which
    may take hours, would keep searches waiting.

    Example:
        >>> class Retriever:
        ...     def __init__(self, index):
        ...         self.index = index
        ...     def retrieve(self, query):
        ...         return [hit.id for hit in self.index.search(query)]
        ...     aretrieve = async_search(retrieve)
        >>> from late_interaction import Document, Index
        >>> index = Index.open(tmp / "index", encoder="minilm")
        >>> _ = index.add([Document("The Nile is a river.", id="nile")])
        >>> asyncio.run(Retriever(index).aretrieve("streams"))
        ['nile']
        >>> index.close()
    """
    return _async_twin(method, lambda owner, call: in_thread(owner.index, call))


def async_write(method: Callable[..., _Result]) -> Callable[..., Coroutine[Any, Any, _Result]]:
    """Return the asynchronous twin of a method that may take long, such as one that writes. See `async_search`."""
    return _async_twin(method, lambda _, call: asyncio.to_thread(call))


def _async_twin(
    method: Callable[..., _Result], run: Callable[[Any, Callable[[], Any]], Awaitable[Any]]
) -> Callable[..., Coroutine[Any, Any, _Result]]:
    name = method.__name__

    @wraps(method)
    async def twin(self: Any, *args: Any, **kwargs: Any) -> _Result:
        result: _Result = await run(self, partial(getattr(self, name), *args, **kwargs))
        return result

    # As frameworks name them: `search` and `asearch`, `_search` and `_asearch`.
    bare = name.lstrip("_")
    twin.__name__ = f"{name.removesuffix(bare)}a{bare}"
    twin.__qualname__ = method.__qualname__.removesuffix(name) + twin.__name__
    twin.__doc__ = f"Call `{name}` without blocking the event loop."
    return twin


async def in_thread(
    index: Index | Cascade,
    function: Callable[_Parameters, _Result],
    *args: _Parameters.args,
    **kwargs: _Parameters.kwargs,
) -> _Result:
    """Run a search of an index or cascade in a thread, with the context of the caller.

    Searches of an engine on another machine run as many at a time as there are callers, up to 256; others run in two
    threads.
    """
    call = partial(contextvars.copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_pool(index.engine.capabilities.remote), call)


@cache
def _pool(remote: bool) -> ThreadPoolExecutor:  # noqa: FBT001
    kind, threads = ("remote", _REMOTE_THREADS) if remote else ("local", _LOCAL_THREADS)
    return ThreadPoolExecutor(threads, thread_name_prefix=f"late-interaction-{kind}-search")


renew_in_child(_pool.cache_clear)  # a forked process has none of its parent's threads
