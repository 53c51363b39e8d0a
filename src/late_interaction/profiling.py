"""Measure the time of each stage of a search, with no cost unless profiling is active."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["printed_profile", "profile", "stage"]

_stages: ContextVar[dict[str, float] | None] = ContextVar("stages", default=None)


@contextmanager
def profile() -> Iterator[dict[str, float]]:
    """Yield a dict that collects the milliseconds of each stage that this thread runs inside the block, in order."""
    stages: dict[str, float] = {}
    token = _stages.set(stages)
    try:
        yield stages
    finally:
        _stages.reset(token)


@contextmanager
def printed_profile() -> Iterator[None]:
    """Write the milliseconds of each stage inside the block to standard error."""
    with profile() as stages:
        yield
    sys.stderr.write("".join(f"{name:16} {milliseconds:8.2f} ms\n" for name, milliseconds in stages.items()))


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Measure the block as a stage of this name, for `profile`."""
    stages = _stages.get()
    if stages is None:
        yield
        return
    start = time.perf_counter()
    try:
        yield
    finally:
        stages[name] = stages.get(name, 0.0) + (time.perf_counter() - start) * 1000
