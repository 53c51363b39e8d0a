"""The settings of the catalog: JSON values of known types by name, with one checksum."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from late_interaction.engines.local.catalog.stored_json import parse_json
from late_interaction.engines.local.quantization.codecs import BITS
from late_interaction.errors import CorruptIndexError, InvalidRequestError, InvalidVectorsError
from late_interaction.words import DEFAULT_LANGUAGE, LANGUAGES, check_language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "CHECKSUM",
    "check_choices",
    "check_dim",
    "language_of",
    "parse_setting",
    "parse_settings",
    "settings_checksum",
]

CHECKSUM = "checksum"
"""The name of the setting that is the checksum of all others, since format 4."""

_FORMAT_WITH_BITS = 2
_FORMAT_WITH_CHECKSUMS = 4
_MAX_DIM = 65_536
_MAX_COMPRESSED_DIM = 4_096  # compression multiplies by a (dim, dim) matrix; computing it takes 0.7 GB and 10 s here


def check_dim(dim: object, *, compressed: bool) -> None:
    """Raise `InvalidVectorsError` if an index of compressed or exact vectors cannot have this dimension."""
    limit = _MAX_COMPRESSED_DIM if compressed else _MAX_DIM
    if type(dim) is not int or not 1 <= dim <= limit:
        kind = "compressed vectors (more with bits=None, which keeps them exact)" if compressed else "exact vectors"
        raise InvalidVectorsError(f"dim must be an integer from 1 to {limit} for {kind}, got {dim!r}.")


def check_choices(bits: object, language: object) -> None:
    """Raise `InvalidRequestError` if no index can have these bits or this language; ``default`` is allowed."""
    if bits not in (None, "default") and (type(bits) is not int or bits not in BITS):
        raise InvalidRequestError(f"bits must be one of {', '.join(map(str, BITS))} or None, got {bits!r}.")
    if language != "default":
        check_language(language)


def settings_checksum(rows: Iterable[tuple[str, str]]) -> int:
    """Return the CRC-32 of all settings, given as (key, JSON), except the checksum itself."""
    others = sorted([key, value] for key, value in rows if key != CHECKSUM)
    return zlib.crc32(json.dumps(others).encode())


def parse_setting(key: str, stored: Any) -> Any:
    """Return the value of a setting.

    Args:
        key: Its name.
        stored: Its JSON; None if the setting is missing.

    Raises:
        CorruptIndexError: The value has another type than this setting.
    """
    try:
        value = None if stored is None else parse_json(stored)
        valid = _VALID.get(key)
        if valid is not None and not valid(value):
            raise ValueError(f"it is {value!r:.80}")
    except ValueError as error:
        raise CorruptIndexError(
            f"The setting {key!r} of the catalog is damaged: {error}. Restore the index from a copy."
        ) from None
    return value


def parse_settings(rows: Iterable[tuple[Any, Any]], *, all_of_them: bool = False) -> dict[str, Any]:
    """Return the settings that every reader needs, or all, by key.

    Args:
        rows: All settings of the catalog, as (key, JSON).
        all_of_them: Whether to return all.

    Raises:
        CorruptIndexError: A setting is missing or has another type, or the checksum does not match.
    """
    stored = dict(rows)
    if not all(isinstance(text, str) for row in stored.items() for text in row):
        raise CorruptIndexError(
            "The settings of the catalog are damaged: not all are text. Restore the index from a copy."
        )
    keys = {*stored, *_REQUIRED} if all_of_them else {*_REQUIRED, *(_REQUIRED_LATER & stored.keys())}
    values = {key: parse_setting(key, stored.get(key)) for key in keys}
    version = values["format_version"]
    if version is None or values["generation"] is None:
        raise CorruptIndexError("Settings of the catalog are missing. Restore the index from a copy.")
    if "bits" not in values and version >= _FORMAT_WITH_BITS:
        raise CorruptIndexError("The setting 'bits' of the catalog is missing. Restore the index from a copy.")
    try:
        check_dim(values["dim"], compressed=values.get("bits") is not None)
    except InvalidVectorsError as error:
        raise CorruptIndexError(
            f"The setting 'dim' of the catalog is damaged: {error} Restore the index from a copy."
        ) from None
    if version >= _FORMAT_WITH_CHECKSUMS and values.get(CHECKSUM) != settings_checksum(stored.items()):
        raise CorruptIndexError(
            "The settings of the catalog (dim, bits, encoder and others) are damaged: their checksum is not the one "
            "recorded with them. Restore the index from a copy."
        )
    return values


def language_of(words: dict[str, Any] | None) -> str | None:
    """Return the language of the setting ``words``; an older format has no setting, but English stems."""
    language: str | None = DEFAULT_LANGUAGE if words is None else words["language"]
    return language


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


def _is_words(value: Any) -> bool:
    """Return whether this says how texts were split into words; an older format does not."""
    if value is None:
        return True
    if not isinstance(value, dict) or value.keys() != {"language", "tokenizer"}:
        return False
    language, tokenizer = value["language"], value["tokenizer"]
    return (language is None or language in LANGUAGES) and (tokenizer is None or isinstance(tokenizer, str))


def _is_object(value: Any) -> bool:
    return value is None or isinstance(value, dict)


_REQUIRED = ("format_version", "dim", "generation")
_REQUIRED_LATER = {"bits", "words", CHECKSUM}  # older formats have none

_VALID: dict[str, Callable[[Any], bool]] = {
    "format_version": _is_count,
    "dim": lambda value: _is_count(value) and 1 <= value <= _MAX_DIM,
    "bits": lambda value: value is None or (type(value) is int and value in BITS),
    "generation": _is_count,
    "codebook": _is_object,
    "encoder": _is_object,
    "roots": _is_object,
    "words": _is_words,
    CHECKSUM: _is_count,
}
"""By setting, a test of its value, which is None for a missing setting."""
