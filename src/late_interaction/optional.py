"""Check that an optional dependency is installed."""

from __future__ import annotations

import importlib.util

from late_interaction.errors import OptionalDependencyError

__all__ = ["require"]


def require(module: str, *, package: str, feature: str, extra: str) -> None:
    """Raise `OptionalDependencyError`, which names the extra, if the module is not installed."""
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        found = False
    if not found:
        raise OptionalDependencyError(package, feature=feature, extra=extra)
