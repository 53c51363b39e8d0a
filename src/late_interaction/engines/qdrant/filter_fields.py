"""The values of metadata as Qdrant can compare them, stored beside each document.

Equality and existence are keywords (`late_interaction.engines.remote.filter_keys`). Order and substrings need values::

    {"keys": […, '["tags","elements.strings"]'],
     "values": {"year": {"numbers": [2020]}, "title": {"strings": [{"text": "Nile", "c0": 87…}]}},
     "elements": {"tags": {"strings": [{"c0": …}]}}}

``values`` are whole values, ``elements`` those of lists, both by the name of their path. Ranges of Qdrant compare
float64, and its parser of JSON changes the last bit of many floats. So only decimals are ``numbers``; other numbers
are two integers below 2**49, ``wide``, compared one after the other. Strings are integers of 6 bytes each.

Values that most fields do not have are announced by a keyword, so an index excludes the documents without them.
"""

from __future__ import annotations

import hashlib
import re
import struct
from typing import TYPE_CHECKING, Any

from late_interaction.engines.qdrant.decimals import is_decimal
from late_interaction.engines.remote.filter_keys import document_keys, exists_key, marker_key
from late_interaction.filters import field_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from late_interaction.filters import FieldValue

__all__ = [
    "ELEMENTS",
    "FILTER",
    "KEYS",
    "MAX_COMPARED_BYTES",
    "NUMBERS",
    "STRINGS",
    "VALUES",
    "WIDE",
    "chunk_name",
    "field_name",
    "filter_fields",
    "is_plain_name",
    "key_of_values",
    "string_chunks",
    "wide_parts",
]

FILTER = "filter"
"""The key of the payload under which all of this is stored."""

KEYS, VALUES, ELEMENTS = "keys", "values", "elements"
NUMBERS, WIDE, STRINGS = "numbers", "wide", "strings"

_CHUNK_BYTES = 6
_MAX_CHUNKS = 16
MAX_COMPARED_BYTES = _CHUNK_BYTES * _MAX_CHUNKS - 1
"""The longest string in UTF-8 that others can be compared with; of longer stored strings the beginning decides."""

_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_DIGEST_BYTES = 16
_MAX_REST = 1024  # integers below 2**64 are at most this far from the nearest float


def filter_fields(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored under `FILTER` for the metadata of a document. Its size is linear in that of the metadata.

    Example:
        >>> filter_fields({"year": 2020})
        {'keys': ['["year"]', '["year","#","2020"]'], 'values': {'year': {'numbers': [2020]}}}
    """
    stored: dict[str, dict[str, dict[str, dict[Any, Any]]]] = {}
    keys = dict.fromkeys(document_keys(metadata))
    for path, value in field_values(metadata):
        if value.kind in ("number", "string"):
            kind, key, item = _comparable(value)
            place = ELEMENTS if value.is_element else VALUES
            keys[key_of_values(path, place, kind)] = None
            by_name = stored.setdefault(place, {})
            by_name.setdefault(field_name(path), {}).setdefault(kind, {})[key] = item
    fields: dict[str, Any] = {KEYS: list(keys)}
    for place, by_name in stored.items():
        fields[place] = {
            name: {kind: list(items.values()) for kind, items in kinds.items()} for name, kinds in by_name.items()
        }
    return fields


def _comparable(value: FieldValue) -> tuple[str, Any, Any]:
    """Return the kind under which a number or string is stored, what is the same for equal ones, and what is stored."""
    given: Any = value.value
    if value.kind == "number":
        if is_decimal(given):
            return NUMBERS, given, given
        high, low = wide_parts(given)
        return WIDE, (high, low), {chunk_name(0): high, chunk_name(1): low}
    chunks = {chunk_name(place): chunk for place, chunk in enumerate(string_chunks(given))}
    if value.is_element:
        return STRINGS, tuple(chunks.values()), chunks
    lowered = {} if given.lower() == given else {"lowered": given.lower()}
    return STRINGS, given, {"text": given, **lowered, **chunks}


def key_of_values(path: str, place: str, kind: str) -> str:
    """Return a keyword of every document that has values of a kind at a path: of rare kinds, only of those.

    Args:
        path: The path.
        place: `VALUES` or `ELEMENTS`.
        kind: `NUMBERS`, `WIDE` or `STRINGS`.
    """
    is_usual = place == VALUES and kind != WIDE
    return exists_key(path) if is_usual else marker_key(path, f"{place}.{kind}")


def field_name(path: str) -> str:
    """Return the name of a path in a payload: the path, or for one that is not a plain name a digest of it.

    Example:
        >>> field_name("year"), field_name("author.name")
        ('year', '_fc19436219332d1e1cc1e5cec8252c13')
    """
    if is_plain_name(path):
        return path
    return "_" + hashlib.blake2b(path.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def is_plain_name(path: str) -> bool:
    """Return whether a path is its own name in a payload."""
    return _PLAIN_NAME.fullmatch(path) is not None


def chunk_name(place: int) -> str:
    """Return the name of one integer of a value that is compared integer by integer."""
    return f"c{place}"


def string_chunks(text: str) -> list[int]:
    """Return integers below 2**49 that compare, one after the other, as the strings do; the first 16.

    A string of n bytes has n // 6 + 1 integers. The end of a string comes before every character.
    """
    data = text[: _CHUNK_BYTES * _MAX_CHUNKS].encode()[: _CHUNK_BYTES * _MAX_CHUNKS]
    count = min(len(data) // _CHUNK_BYTES + 1, _MAX_CHUNKS)
    chunks = []
    for place in range(count):
        number = 0
        part = data[_CHUNK_BYTES * place : _CHUNK_BYTES * (place + 1)]
        for position in range(_CHUNK_BYTES):
            number = number * 257 + (part[position] + 1 if position < len(part) else 0)
        chunks.append(number)
    return chunks


def wide_parts(number: float) -> tuple[int, int]:
    """Return two integers below 2**44 that compare, one after the other, as the numbers do: any float and integer."""
    try:
        nearest = float(number)
    except OverflowError:
        nearest = float("inf") if number > 0 else float("-inf")
    rest = int(number) - int(nearest) if isinstance(number, int) and abs(nearest) != float("inf") else 0
    (bits,) = struct.unpack(">Q", struct.pack(">d", nearest + 0.0))  # + 0.0: also of -0.0
    ordered = bits ^ 2**63 if bits < 2**63 else bits ^ (2**64 - 1)
    return ordered >> 32, (ordered & (2**32 - 1)) * 2 * _MAX_REST + min(max(rest + _MAX_REST, 0), 2 * _MAX_REST - 1)
