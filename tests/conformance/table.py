"""The engines that the conformance suite runs on. A new engine is one more entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from late_interaction.engines import LanceDBEngine, LocalEngine
from tests.conformance.weak_engines import ServerEngine, WeakEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from late_interaction.engines import Engine


class EngineCase(NamedTuple):
    """How to get an engine.

    Attributes:
        name: Shown in the ids of tests.
        make: Opens an empty engine in a folder that does not exist yet, for vectors of a dimension.
        reopen: Opens it again after it was closed.
    """

    name: str
    make: Callable[[Path, int], Engine]
    reopen: Callable[[Path], Engine]


ENGINES = [
    EngineCase("local", lambda folder, dim: LocalEngine.open(folder, dim=dim, bits=None), LocalEngine.open),
    EngineCase("local-4-bits", lambda folder, dim: LocalEngine.open(folder, dim=dim, bits=4), LocalEngine.open),
    EngineCase("lancedb", lambda folder, dim: LanceDBEngine(folder, dim=dim), LanceDBEngine.open),
    EngineCase("weak", lambda folder, dim: WeakEngine.open(folder, dim=dim), WeakEngine.open),
    EngineCase("server", lambda folder, dim: ServerEngine.open(folder, dim=dim), ServerEngine.open),
]
