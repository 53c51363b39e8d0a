"""Sizes that kernels and their callers agree on. Kernels import numba, callers do not."""

from __future__ import annotations

__all__ = ["LANES", "TOGETHER"]

LANES = 16
"""Query tokens whose numbers fill a cache line, and are computed by one instruction."""

TOGETHER = 4
"""Vectors that `lanes.maximize_products` multiplies with query tokens at a time."""
