"""The check that a package of an extra is there."""

from __future__ import annotations

import importlib.util

from late_interaction.errors import OptionalDependencyError

__all__ = ["require"]


def require(module: str, *, package: str, feature: str, extra: str) -> None:
    """Raise `OptionalDependencyError`, which names the extra, unless the module can be found."""
    if importlib.util.find_spec(module) is None:
        raise OptionalDependencyError(package, feature=feature, extra=extra)
