"""Keys of a server: one that may do everything, and one that may read."""

from __future__ import annotations

import hmac
from typing import NamedTuple

from .errors import ServerError


class Keys(NamedTuple):
    """The keys; without any, nobody needs one."""

    full: str | None = None
    read_only: str | None = None

    def check(self, given: str | None, *, writes: bool) -> None:
        """Raise the server's answer to a missing or wrong key (401), or to a write with one for reading (403)."""
        if self == Keys():
            return
        if not given:
            raise ServerError(401, "Must provide an API key or an Authorization bearer token")
        if _is(given, self.full):
            return
        if not _is(given, self.read_only):
            raise ServerError(401, "Invalid API key or JWT")
        if writes:
            raise ServerError(403, "Forbidden: Global manage access is required")


def _is(given: str, key: str | None) -> bool:
    return key is not None and hmac.compare_digest(given.encode(), key.encode())
