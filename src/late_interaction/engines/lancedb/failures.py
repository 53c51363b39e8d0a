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
    from collections.abc import Iterable

__all__ = ["is_conflict", "translated"]

_MAX_SHOWN_CHARACTERS = 400
_MIN_SECRET_CHARACTERS = 4  # a shorter value, such as "true", is not a secret, and would garble messages
_SOURCE = re.compile(r",? ?/[^ ]*?/registry/src/\S+")  # where in the source of Rust
_QUERY = re.compile(r"(\w+://[^\s?\"']+)\?[^\s\"')]*")  # signed addresses have keys in their queries
_USER = re.compile(r"(\w+://)[^\s/@\"']+@")

_CONFLICT = re.compile(r"commit conflict|too many concurrent writers|conflicting|was preempted", re.IGNORECASE)
_FULL = re.compile(r"no space left|disk quota|storage full|os error 28\b|os error 122\b", re.IGNORECASE)
_FORBIDDEN = re.compile(r"permission denied|read-only file system|os error (?:1|13|30)\b", re.IGNORECASE)
_REFUSED = re.compile(
    r"unauthenticated|unauthorized|access ?denied|forbidden|invalidaccesskey|signaturedoesnotmatch|nosuchbucket"
    r"|\b40[0134]\b|missing region|no credentials|invalid credentials|credential|not authorized",
    re.IGNORECASE,
)
_UNAVAILABLE = re.compile(
    r"timed? ?out|connect|unavailable|slowdown|too many requests|\b429\b|\b5\d\d\b|dns|network|broken pipe|reset by",
    re.IGNORECASE,
)
_MISSING = re.compile(r"not found|no such file|os error 2\b|no longer exists", re.IGNORECASE)


def is_conflict(error: BaseException) -> bool:
    """Return whether another writer came first, so that the same write may succeed when it is tried again."""
    return bool(_CONFLICT.search(str(error)))


def translated(
    error: Exception, place: object, *, is_remote: bool, secrets: Iterable[str] = ()
) -> LateInteractionError:
    """Return the error of this package for one of LanceDB, Arrow or the operating system.

    Args:
        error: The error.
        place: The database, for the message.
        is_remote: Whether the database is in an object store.
        secrets: Values that no message may contain.
    """
    message = _shown(error, secrets)
    number = getattr(error, "errno", None)
    if is_conflict(error):
        return EngineUnavailableError(
            f"Other writers changed the LanceDB table at the same time, again and again, so nothing was written to "
            f"{place}. Try again. LanceDB says: {message}"
        )
    if number in (errno.ENOSPC, errno.EDQUOT) or _FULL.search(message):
        return StorageError(f"The disk of the LanceDB database {place} is full. LanceDB says: {message}")
    if isinstance(error, PermissionError) or (not is_remote and _FORBIDDEN.search(message)):
        return StorageError(f"The LanceDB database {place} cannot be read or written. LanceDB says: {message}")
    if is_remote and _REFUSED.search(message):
        return EngineRefusedError(
            f"The object store refuses access to {place}. Check the credentials (the environment, or storage_options=)"
            f", the region and the bucket. LanceDB says: {message}"
        )
    if is_remote and _UNAVAILABLE.search(message):
        return EngineUnavailableError(f"The object store of {place} cannot be reached. LanceDB says: {message}")
    if _MISSING.search(message):
        return CorruptIndexError(
            f"Files of the LanceDB database {place} are missing. If another process ran compact() while this one read "
            f"an older state, read again; otherwise restore it from a copy. LanceDB says: {message}"
        )
    if isinstance(error, OSError):
        return StorageError(f"The LanceDB database {place} cannot be read or written: {message}")
    return CorruptIndexError(f"LanceDB cannot read or write {place}, or its files are damaged. It says: {message}")


def _shown(error: Exception, secrets: Iterable[str]) -> str:
    message = _USER.sub(r"\1", _QUERY.sub(r"\1", _SOURCE.sub("", str(error))))
    for secret in secrets:
        if len(secret) >= _MIN_SECRET_CHARACTERS:
            message = message.replace(secret, "***")
    message = " ".join(message.split())
    return message if len(message) <= _MAX_SHOWN_CHARACTERS else f"{message[:_MAX_SHOWN_CHARACTERS]}…"
