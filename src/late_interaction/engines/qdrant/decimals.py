"""Numbers that every parser of JSON reads exactly.

Parsers that multiply the digits by a power of ten, such as that of Qdrant, change the last bit of many floats. They are
exact for at most 15 significant digits and a power within 22, where one correct rounding gives the float.
"""

from __future__ import annotations

import math

__all__ = ["MAX_DECIMAL", "is_decimal", "nearest_decimal"]

MAX_DECIMAL = 1e15
_MIN_DECIMAL = 1e-7


def is_decimal(number: float) -> bool:
    """Return whether the number has at most 15 significant digits, and is 0 or between 1e-7 and 1e15 in size."""
    if not number:
        return True
    if not _MIN_DECIMAL <= abs(number) < MAX_DECIMAL:
        return False
    return isinstance(number, int) or float(f"{number:.14e}") == number


def nearest_decimal(number: float) -> tuple[float, int]:
    """Return a number such that no decimal lies between both, and whether the given number is less, equal or greater.

    The number returned is itself a decimal, or 1e15 or -1e15. The second value is -1, 0 or 1.

    Example:
        >>> nearest_decimal(0.1 + 0.2), nearest_decimal(2020), nearest_decimal(float("-inf"))
        ((0.3, 1), (2020, 0), (-1000000000000000.0, -1))
    """
    if is_decimal(number):
        return number, 0
    size = abs(number)
    if size < _MIN_DECIMAL:
        nearest = 0.0
    elif size >= MAX_DECIMAL:
        nearest = math.copysign(MAX_DECIMAL, 1 if number > 0 else -1)
    else:
        nearest = float(f"{number:.14e}")
    return nearest, (number > nearest) - (number < nearest)
