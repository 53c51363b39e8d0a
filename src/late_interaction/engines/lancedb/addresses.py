"""Where a LanceDB database is: what users write, taken apart and checked."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from late_interaction.errors import InvalidRequestError

__all__ = ["DEFAULT_TABLE", "Address", "address_of"]

DEFAULT_TABLE = "documents"
_OBJECT_STORES = ("s3", "gs", "az")
_MEMORY = "memory"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_LOCATION = re.compile(r"lancedb(?:\+([a-z0-9]+))?:", re.IGNORECASE)
_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True)
class Address:
    """The table of documents and the database that it is in.

    Attributes:
        uri: What LanceDB connects to: a path, or the address of a folder in an object store.
        table: The name of the table of documents.
        path: The directory on this machine; None for an object store.
    """

    uri: str
    table: str
    path: Path | None

    @property
    def is_remote(self) -> bool:
        """Whether it is an object store."""
        return self.path is None and not self.is_memory

    @property
    def is_memory(self) -> bool:
        """Whether it is in the memory of this process, for one engine."""
        return self.uri.startswith(f"{_MEMORY}://")

    @property
    def location(self) -> str | None:
        """What `Index.open` opens; None if it has no location."""
        if self.is_memory or self.table != DEFAULT_TABLE:
            return None
        return f"lancedb:{self.uri}" if self.path is not None else f"lancedb+{self.uri}"

    def __str__(self) -> str:
        """Return it for messages."""
        return self.uri if self.table == DEFAULT_TABLE else f"{self.table!r} in {self.uri}"


def address_of(uri: str | os.PathLike[str], table: str = DEFAULT_TABLE) -> Address:
    """Return the address of a table.

    Args:
        uri: A path, ``s3://…``, ``gs://…`` or ``az://…``, ``memory://``, or a location such as ``lancedb:DIR``.
        table: The name of the table.

    Raises:
        InvalidRequestError: It cannot be an address, or contains a user, a password or a query.
    """
    if not isinstance(table, str) or not _TABLE_NAME.fullmatch(table):
        raise InvalidRequestError(
            f"The name of a LanceDB table has 1 to 200 letters, digits, '_', '-' and '.', got {table!r:.300}."
        )
    name = os.fspath(uri) if isinstance(uri, (str, os.PathLike)) else None
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InvalidRequestError(
            f"A LanceDB database is a directory or an address such as s3://bucket/path, got {uri!r}."
        )
    if isinstance(uri, str) and (found := _LOCATION.match(name)):
        rest = name[found.end() :]
        name = rest if found[1] is None else f"{found[1].lower()}:{rest}"
        if not rest.strip():
            raise InvalidRequestError(f"{uri!r} names no directory. Write lancedb:DIR.")
    scheme = _SCHEME.match(name)
    if scheme is None:
        path = Path(name).expanduser().absolute()
        return Address(str(path), table, path)
    if scheme[1].lower() == _MEMORY:
        return Address(f"{_MEMORY}://", table, None)
    return Address(_checked(name, scheme[1].lower()), table, None)


def _checked(uri: str, scheme: str) -> str:
    if scheme not in _OBJECT_STORES:
        raise InvalidRequestError(
            f"{scheme}:// is not supported. A LanceDB database is a directory, or in an object store: "
            f"{', '.join(f'{one}://bucket/path' for one in _OBJECT_STORES)}."
        )
    parts = urlsplit(uri)
    if "@" in parts.netloc or parts.query or parts.fragment:  # not shown: a key may be in it
        raise InvalidRequestError(
            f"The address of the object store has a user, a password, a ? or a # in it, which messages would show. "
            f"Write {scheme}://bucket/path, and pass storage_options=, or set the environment variables of the store."
        )
    if not parts.netloc:
        raise InvalidRequestError(f"{uri!r} names no bucket. Write {scheme}://bucket/path.")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"
