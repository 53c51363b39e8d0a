"""The check that a package of an extra is there."""

from __future__ import annotations

import importlib.util

from late_interaction.errors import OptionalDependencyError

__all__ = ["require"]


def require(module: str, *, package: str, feature: str, extra: str) -> None:
    """Raise `OptionalDependencyError`, which names the extra, unless the module can be found."""
    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the package that the module is in
        found = False
    if not found:
        raise OptionalDependencyError(package, feature=feature, extra=extra)
