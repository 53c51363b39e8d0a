"""An event loop in a thread of its own, which runs the coroutines of LanceDB's client.

The client for plain code uses one, too, but switches threads for each batch of rows, which doubles the time of a read.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["run"]

_Result = TypeVar("_Result")


class _Loop:
    """The event loop, which begins when it is first used, also in a forked child."""

    def __init__(self) -> None:
        self._make()
        renew_in_child(self._make)

    def _make(self) -> None:
        self._mutex = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        with self._mutex:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="late-interaction-lancedb", daemon=True).start()
            return self._loop


_loop = _Loop()


def run(coroutine: Coroutine[object, object, _Result]) -> _Result:
    """Return the result of a coroutine. If this thread is interrupted, it is canceled."""
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop.get())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
