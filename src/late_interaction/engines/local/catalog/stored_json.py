"""JSON as the catalog keeps it, read without trust."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from late_interaction.validation import plain_json

__all__ = ["parse_json"]

# Few texts have anything of what `plain_json` refuses. Looking for that first makes reading a document a fifth faster.
_FEW_LEVELS = 64
_UNUSUAL = re.compile(r"\\u|[0-9]{19}|[0-9][eE]")


def parse_json(stored: object) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: It is not JSON, not a text, nested too deep, or has NaN, infinity, integers beyond 64 bits or halves
            of surrogates.
    """
    if not isinstance(stored, str):
        raise ValueError(f"JSON is expected, not {type(stored).__name__}")  # noqa: TRY004  # a value, not an argument
    try:
        value = _DECODER.decode(stored)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if stored.count("{") + stored.count("[") > _FEW_LEVELS or _UNUSUAL.search(stored):
        return plain_json(value, "a value")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
