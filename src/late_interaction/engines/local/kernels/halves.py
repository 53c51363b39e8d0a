"""Half precision numbers in kernels: numba has none on processors."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

__all__ = ["widened"]

_u32 = nb.uint32


@nb.njit(boundscheck=False, error_model="numpy")
def widened(half: Any) -> Any:
    """Return a finite half precision number, given by its bits, as a float32.

    The bits are moved, and the product makes up for the difference of the exponents.
    """
    sign, number = _u32(half) & _u32(0x8000), _u32(half) & _u32(0x7FFF)
    return np.uint32(sign << _u32(16) | number << _u32(13)).view(np.float32) * nb.float32(2.0**112)
