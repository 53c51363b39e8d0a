"""Load the compiled kernels when they are first needed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from late_interaction.forking import imports

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["kernels"]


@cache
def kernels() -> ModuleType:
    """Return the module of the kernels. Opening an index does not load it, since that takes a while."""
    with imports:
        from late_interaction.engines.local.catalog.word_lists import compiled

        return compiled
