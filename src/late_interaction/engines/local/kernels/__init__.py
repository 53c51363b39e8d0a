"""The scan kernels, a NumPy reference of each; how kernels are compiled, kept on disk and loaded."""

from __future__ import annotations

from typing import Any

from late_interaction.forking import imports

__all__ = ["kernels_of"]

_loaded: dict[str, Any] = {}


def kernels_of(package: str) -> Any:
    """Return the compiled kernels of the module ``compiled`` in a package, by name.

    They are loaded when they are first needed. Only if they are not on disk, the module is imported, and numba compiles
    them.

    Example:
        >>> kernels_of("late_interaction.engines.local.postings").count.arguments[0].kind
        'uint16'
    """
    if package not in _loaded:
        from late_interaction.engines.local.kernels.loading import load

        with imports:
            if package not in _loaded:
                _loaded[package] = load(f"{package}.compiled")
    return _loaded[package]
