"""Parse the JSON of a catalog, which may be damaged or made by an attacker."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from late_interaction.validation import plain_json

__all__ = ["parse_json"]

# `plain_json` checks a value completely. Few texts contain anything that it could reject, so only those that may are
# checked: reading a document is a fifth faster.
_MAX_UNCHECKED_BRACKETS = 64
_SUSPICIOUS = re.compile(r"\\u|[0-9]{19}|[0-9][eE]")


def parse_json(stored: object) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: It is not a string or not JSON, is nested too deep, or contains NaN, infinity, integers beyond 64
            bits or lone surrogates.
    """
    if not isinstance(stored, str):
        raise ValueError(f"JSON is expected, not {type(stored).__name__}")  # noqa: TRY004  # a value, not an argument
    try:
        value = _DECODER.decode(stored)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if stored.count("{") + stored.count("[") > _MAX_UNCHECKED_BRACKETS or _SUSPICIOUS.search(stored):
        return plain_json(value, "a value")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
