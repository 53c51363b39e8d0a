"""The scan kernels, a NumPy reference of each; how kernels are compiled, kept on disk and loaded."""

from __future__ import annotations

from typing import Any

__all__ = ["kernels_of", "scan_kernels"]


def kernels_of(module: str, package: str | None = None) -> Any:
    """Return the compiled kernels of a module by name. See `loading.kernels_of`, which takes some time to import."""
    from late_interaction.engines.local.kernels import loading

    return loading.kernels_of(module, package)


def scan_kernels() -> Any:
    """Return the compiled kernels of the scan over centroids."""
    return kernels_of(".compiled", __name__)
