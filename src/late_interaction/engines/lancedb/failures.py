"""Errors of LanceDB, Arrow and object stores as errors of this package, without credentials."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

from late_interaction.errors import (
    CorruptIndexError,
    EngineRefusedError,
    EngineUnavailableError,
    LateInteractionError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["is_conflict", "secrets_of", "translated", "without"]

_MAX_SHOWN_CHARACTERS = 600
_SECRET_NAME = re.compile(r"key|secret|token|password|credential|sas|account", re.IGNORECASE)
_MIN_SECRET_CHARACTERS = 4  # a shorter value, such as "true", is not a secret, and would garble messages
_SOURCE = re.compile(r",? ?/[^ ]*?/registry/src/\S+")  # where in the source of Rust
_QUERY = re.compile(r"(\w+://[^\s?\"']+)\?[^\s\"')]*")  # signed addresses have keys in their queries
_USER = re.compile(r"(\w+://)[^\s/@\"']+@")

_CONFLICT = re.compile(r"commit conflict|too many concurrent writers|conflicting|was preempted", re.IGNORECASE)
_FULL = re.compile(r"no space left|disk quota|storage full|os error (?:28|122)\b", re.IGNORECASE)
_FORBIDDEN = re.compile(r"permission denied|read-only file system|os error (?:1|13|30)\b", re.IGNORECASE)
_REFUSED = re.compile(
    r"status code: 40[013]\b|unauthenticated|unauthorized|access ?denied|permission ?denied|forbidden|invalidaccesskey"
    r"|signaturedoesnotmatch|nosuchbucket|missing region|credential",
    re.IGNORECASE,
)
_OF_THE_STORE = re.compile(r"generic \w+ error|status code: (?:429|5\d\d)\b|timed? ?out|connect", re.IGNORECASE)
_MISSING = re.compile(r"not found|no such file|os error 2\b|no longer exists", re.IGNORECASE)


def is_conflict(error: BaseException) -> bool:
    """Return whether another writer came first, so that the same write may succeed when it is tried again."""
    return bool(_CONFLICT.search(str(error)))


def secrets_of(options: Mapping[str, str]) -> list[str]:
    """Return the values of storage options that no message may contain."""
    return [
        value for name, value in options.items() if _SECRET_NAME.search(name) and len(value) >= _MIN_SECRET_CHARACTERS
    ]


def without(secrets: Iterable[str], message: str) -> str:
    """Return a message without secrets, and without users, passwords and queries of addresses."""
    for secret in secrets:
        message = message.replace(secret, "***")
    return " ".join(_USER.sub(r"\1", _QUERY.sub(r"\1", _SOURCE.sub("", message))).split())


def translated(error: Exception, place: object, *, is_remote: bool, secrets: Iterable[str]) -> LateInteractionError:
    """Return the error of this package for one of LanceDB, Arrow or the operating system.

    Args:
        error: The error.
        place: The database, for the message.
        is_remote: Whether the database is in an object store.
        secrets: Values that no message may contain.
    """
    message = without(secrets, str(error))
    says = f"LanceDB says: {_shortened(message)}"
    if is_conflict(error):
        return EngineUnavailableError(
            f"Other writers changed the LanceDB tables of {place} at the same time, again and again, so nothing was "
            f"written. Try again. {says}"
        )
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or _FULL.search(message):
        return StorageError(f"The disk of the LanceDB database {place} is full. {says}")
    if is_remote:
        return _of_object_store(message, says, place)
    if isinstance(error, PermissionError) or _FORBIDDEN.search(message):
        return StorageError(f"The LanceDB database {place} cannot be read or written: no permission. {says}")
    return _missing(says, place) if _MISSING.search(message) else _other(error, says, place)


def _of_object_store(message: str, says: str, place: object) -> LateInteractionError:
    if _REFUSED.search(message):
        return EngineRefusedError(
            f"The object store refuses access to {place}. Check the credentials (the environment, or storage_options=)"
            f", the region and the bucket. {says}"
        )
    if _OF_THE_STORE.search(message):
        return EngineUnavailableError(f"The object store of {place} cannot be reached or is overloaded. {says}")
    return _missing(says, place) if _MISSING.search(message) else _other(None, says, place)


def _missing(says: str, place: object) -> LateInteractionError:
    return CorruptIndexError(
        f"Files of the LanceDB database {place} are missing. If compact() ran while an older state was read, read "
        f"again; otherwise restore it from a copy. {says}"
    )


def _other(error: Exception | None, says: str, place: object) -> LateInteractionError:
    if isinstance(error, OSError):
        return StorageError(f"The LanceDB database {place} cannot be read or written. {says}")
    return CorruptIndexError(f"LanceDB cannot read or write {place}, or its files are damaged. {says}")


def _shortened(message: str) -> str:
    half = _MAX_SHOWN_CHARACTERS // 2
    return message if len(message) <= 2 * half else f"{message[:half]} … {message[-half:]}"
