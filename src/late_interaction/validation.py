"""Every check of an argument, in one place."""

from __future__ import annotations

import difflib
import math
import operator
import reprlib
import sys
import unicodedata
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeGuard

import numpy as np

from late_interaction.errors import InvalidDocumentError, InvalidRequestError, InvalidVectorsError
from late_interaction.json_values import json_value, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MAX_METADATA_DEPTH",
    "check_count",
    "check_fraction",
    "check_given_vectors",
    "check_id",
    "check_ids",
    "check_k",
    "check_query",
    "check_string",
    "check_vectors",
    "did_you_mean",
    "is_id",
    "is_invisible",
    "plain_json",
    "valid_unicode",
]

MAX_METADATA_DEPTH = 16
"""Levels of nested metadata; filters index each level, so an index keeps deep metadata many times."""

_PLAIN_TYPES = frozenset((type(None), bool, int, float, str, dict, list, tuple))
_MAX_STORED_DEPTH = 64  # levels of metadata that earlier releases stored
_FLOAT16_MAX = float(np.finfo(np.float16).max)

_INVISIBLE_CATEGORIES = frozenset(("Cc", "Cf", "Mc", "Me", "Mn", "Zl", "Zp", "Zs"))
# Letters and symbols without a shape: Hangul fillers, the empty Braille pattern, the place of an embedded object.
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffc")
# Format characters with a shape: Unicode's Prepended_Concatenation_Mark, such as the Arabic number sign.
_VISIBLE_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """Return a sentence that suggests the nearest known name, to follow an error; empty if none is near.

    Example:
        >>> "Unknown mode 'lexcial'." + did_you_mean("lexcial", ["late", "lexical", "hybrid"])
        "Unknown mode 'lexcial'. Did you mean 'lexical'?"
    """
    if not isinstance(given, str):
        return ""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower(), names, n=1, cutoff=0.65)
    return f" Did you mean {names[near[0]]!r}?" if near else ""


def check_string(value: object, name: str) -> None:
    """Raise `InvalidDocumentError` unless the value is a string that UTF-8 can hold."""
    if not isinstance(value, str):
        raise InvalidDocumentError(f"{name} must be a string, not {type(value).__name__}.")
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidDocumentError(
            f"{name} cannot be stored: it is not valid Unicode ({error.reason}, at character {error.start}). "
            "Replace these characters, for example with text.encode('utf-8', 'replace').decode()."
        ) from None


def valid_unicode(text: str) -> str:
    r"""Return the text with halves of surrogate pairs joined, and with U+FFFD for each half that stands alone.

    Example:
        >>> valid_unicode("\ud83d\ude00 \ud835 x") == "\U0001f600 \ufffd x"
        True
    """
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_invisible(text: str) -> bool:
    r"""Return whether a text has no visible character: the definition of blank, for documents and queries.

    Invisible are white space, control and format characters (zero-width characters, byte order marks, soft hyphens,
    marks of direction), fillers, unassigned default-ignorable characters, and combining marks, which have no shape
    without a base character.

    Example:
        >>> is_invisible(" \u200b\ufeff\0"), is_invisible("\u200b?")
        (True, False)
    """
    return not any(map(_is_visible, text))


def _is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    if category in _INVISIBLE_CATEGORIES:
        return character in _VISIBLE_FORMATS
    if category == "Cn":  # perhaps a letter of a later version of Unicode, but not where Unicode says it never will be
        code = ord(character)
        is_noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
        is_ignorable = code == 0x2065 or 0xFFF0 <= code <= 0xFFF8 or 0xE0000 <= code <= 0xE0FFF
        return not (is_noncharacter or is_ignorable)
    return character not in _FILLERS


def check_id(value: object) -> None:
    """Raise `InvalidDocumentError` unless the value can be a document's id."""
    check_string(value, "id")
    if not value:
        raise InvalidDocumentError("id must not be empty. Leave it out to use a hash of the content.")


def is_id(value: object) -> TypeGuard[str]:
    """Return whether the value can be a document's id."""
    try:
        check_id(value)
    except InvalidDocumentError:
        return False
    return True


def check_ids(ids: Iterable[str]) -> list[str]:
    """Return the ids as a list.

    Raises:
        InvalidRequestError: They are one string.
        InvalidDocumentError: One cannot be an id.
    """
    if isinstance(ids, str):
        raise InvalidRequestError(f"ids must be a list of strings, not the string {ids!r}.")
    ids = list(ids)
    for document_id in ids:
        check_id(document_id)
    return ids


def check_count(count: SupportsIndex, name: str) -> int:
    """Return a number of documents that may be 0 as an int.

    Raises:
        InvalidRequestError: It is not an integer, or negative.
    """
    try:
        number = -1 if isinstance(count, bool) else operator.index(count)
    except TypeError:
        number = -1
    if not 0 <= number < 2**31:
        raise InvalidRequestError(f"{name} must be an integer from 0 on, got {reprlib.repr(count)}.")
    return number


def check_k(k: SupportsIndex, name: str = "k") -> int:
    """Return a number of documents as an int.

    Raises:
        InvalidRequestError: It is not a positive integer.
    """
    try:
        number = 0 if isinstance(k, bool) else operator.index(k)
    except TypeError:
        number = 0
    if not 0 < number < 2**31:
        raise InvalidRequestError(f"{name} must be a positive integer, got {reprlib.repr(k)}.")
    return number


def check_fraction(value: float, name: str) -> float:
    """Return a number between 0 and 1.

    Raises:
        InvalidRequestError: It is not one.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise InvalidRequestError(f"{name} must be a number between 0 and 1, got {reprlib.repr(value)}.")
    return float(value)


def check_query(query: object) -> str:
    """Return a query.

    Raises:
        InvalidRequestError: It is not a string that UTF-8 can hold.
    """
    if not isinstance(query, str):
        raise InvalidRequestError(f"A query must be a string, not {type(query).__name__}.")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"The query is not valid Unicode ({error.reason}, at character {error.start}). Replace these characters."
        ) from None
    return query


def check_vectors(vectors: ArrayLike, dim: int, what: str) -> NDArray[np.float32]:
    """Return the vectors as a float32 array of shape (tokens, dim).

    Args:
        vectors: An array, a tensor of torch on any device, or a list of lists.
        dim: The dimension.
        what: What they are, for errors.

    Raises:
        InvalidVectorsError: Another shape or dimension, not numbers, or NaN or infinity (also as float16).
    """
    try:
        given = np.asarray(_without_torch(vectors))
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: of torch, for tensors without values
        raise InvalidVectorsError(f"{what}: not an array of numbers ({error}).") from None
    if given.dtype.kind not in "fiu":
        raise InvalidVectorsError(f"{what}: not an array of real numbers, but of {given.dtype}.")
    with np.errstate(over="ignore"):  # what is too great for float32 becomes infinity, which is refused below
        array = np.require(given, np.float32, ("C", "W"))
    if array.ndim != 2:
        raise InvalidVectorsError(f"{what}: expected shape (tokens, {dim}), got {array.shape}.")
    if array.shape[1] != dim:
        raise InvalidVectorsError(f"{what}: expected dimension {dim}, got {array.shape[1]}.")
    if array.size and not float(np.abs(array).max()) <= _FLOAT16_MAX:  # "not <=" also catches NaN
        raise InvalidVectorsError(f"{what}: holds NaN, infinity or a value beyond float16 (±{_FLOAT16_MAX:.0f}).")
    return array


def check_given_vectors(vectors: ArrayLike, dim: int, what: str) -> NDArray[np.float32]:
    """Return vectors of a user as `check_vectors` does; of lists of lists, an empty one has no tokens."""
    is_empty = isinstance(vectors, (list, tuple)) and not vectors
    return check_vectors(np.empty((0, dim), np.float32) if is_empty else vectors, dim, what)


def _without_torch(vectors: Any) -> Any:
    """Return tensors of torch as arrays: of any device, with or without gradient, also of bfloat16."""
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)  # torch is loaded if there are tensors
    if tensor is None:
        return vectors
    if isinstance(vectors, tensor):
        return (vectors.float() if vectors.is_floating_point() else vectors).numpy(force=True)
    if isinstance(vectors, (list, tuple)) and any(isinstance(vector, tensor) for vector in vectors):
        return [_without_torch(vector) for vector in vectors]
    return vectors


def plain_json(value: Any, name: str, depth: int = 0, *, max_depth: int = _MAX_STORED_DEPTH) -> Any:
    """Return a copy of a value as JSON has it, made of plain dicts, lists, strings, numbers, booleans and None.

    Dates, decimals, enums, numpy scalars and others become what stands for them; see `json_value`.

    Raises:
        InvalidDocumentError: JSON or the catalog cannot hold it; the message names the place inside ``name``.
    """
    if depth > max_depth:
        raise InvalidDocumentError(
            f"{name:.200} is nested more than {max_depth} levels deep. Flatten it, or use a string."
        )
    if type(value) not in _PLAIN_TYPES:
        value = json_value(value, name)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        check_string(value, name)
        return str.__str__(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidDocumentError(f"{name} is an integer beyond 64 bits. Use a string.")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidDocumentError(f"{name} is {value}, which JSON cannot hold. Use None.")
        return float(value)
    if isinstance(value, (dict, Mapping)):  # dict first, which is faster
        return {
            _key(key, name): plain_json(item, f"{name}[{key!r}]", depth + 1, max_depth=max_depth)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [
            plain_json(item, f"{name}[{place}]", depth + 1, max_depth=max_depth) for place, item in enumerate(value)
        ]
    raise InvalidDocumentError(f"{name} {refusal(value)}")


def _key(key: object, name: str) -> str:
    given = key.value if isinstance(key, Enum) else key
    check_string(given, f"{name}: the key {key!r}")
    return str.__str__(given)
