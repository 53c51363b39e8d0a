"""The number of random examples of the longest property tests."""

from __future__ import annotations

from hypothesis import settings


def examples(number):
    """A quarter of the number in `make test`; all of them in `make test-slow`, which draws other ones every time."""
    return number // 4 if settings.default.derandomize else number
