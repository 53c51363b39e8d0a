"""JSON as the catalog keeps it, read without trust."""

from __future__ import annotations

import json
from typing import Any, NoReturn

__all__ = ["parse_json"]


def parse_json(stored: object) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: It is not JSON, not a text, nested too deep, or has NaN, infinity or text that is not Unicode.
    """
    if not isinstance(stored, str):
        raise ValueError(f"JSON is expected, not {type(stored).__name__}")  # noqa: TRY004  # a value, not an argument
    try:
        return _DECODER.decode(stored)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
