"""Keywords that stand for the values of a document's metadata, so that any engine finds equal values by an index.

Each value that a filter can refer to becomes one keyword: its path, its kind, the value, and whether it is an element
of a list. Each path becomes one more. Equal values have equal keywords, whatever their type in JSON: 1 and 1.0 are one
number, and True is not 1.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from late_interaction.filters import FieldValue, field_values

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_KEY_BYTES", "document_keys", "exists_key", "key_of", "keys_of", "marker_key"]

MAX_KEY_BYTES = 96
"""Longer keywords are digests, which begin with ``#``; all others begin with ``[``."""

_KINDS = {"null": "n", "bool": "b", "number": "#", "string": "s", "json": "j"}
_DIGEST_BYTES = 16


def document_keys(metadata: Mapping[str, Any]) -> list[str]:
    """Return the keywords of all values in the metadata of a document, and of all paths, each once.

    Example:
        >>> document_keys({"year": 2020.0, "lang": "en"})
        ['["year"]', '["year","#","2020"]', '["lang"]', '["lang","s","en"]']
    """
    keys: dict[str, None] = {}
    for path, value in field_values(metadata):
        keys[exists_key(path)] = None
        keys[key_of(path, value)] = None
    return list(keys)


def exists_key(path: str) -> str:
    """Return the keyword of a path, which a document has if the path leads to any value."""
    return _key(path)


def marker_key(path: str, marker: str) -> str:
    """Return a keyword that says something of a path, which an engine adds to those of a document for itself."""
    return _key(path, marker)


def key_of(path: str, value: FieldValue) -> str:
    """Return the keyword of a value at a path, as an element of a list or not."""
    parts = [path, _KINDS[value.kind], _text(value)]
    return _key(*parts, 1) if value.is_element else _key(*parts)


def keys_of(path: str, value: FieldValue, *, elements: bool = True) -> list[str]:
    """Return the keywords of which a document has one if the value at the path equals this one.

    Args:
        path: The path.
        value: The value; ``is_element`` is ignored.
        elements: Whether an element of a list may be equal, too.
    """
    forms = (False, True) if elements else (False,)
    return [key_of(path, FieldValue(value.kind, value.value, is_element)) for is_element in forms]


def _text(value: FieldValue) -> str:
    """Return a text that is the same for equal values of one kind."""
    number = value.value
    if isinstance(number, float):  # of an integer the digits, as there are floats that equal it
        return str(int(number)) if number.is_integer() else repr(number)
    return "" if number is None else str(number)


def _key(*parts: str | int) -> str:
    key = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    if 4 * len(key) <= MAX_KEY_BYTES:  # UTF-8 takes at most four bytes per character
        return key
    encoded = key.encode()
    if len(encoded) <= MAX_KEY_BYTES:
        return key
    return "#" + hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).hexdigest()
