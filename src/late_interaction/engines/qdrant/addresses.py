"""Where a Qdrant collection is: the location that users write, taken apart and checked."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from late_interaction.errors import InvalidRequestError

__all__ = ["DEFAULT_COLLECTION", "MEMORY", "Address", "address_of", "parse_location"]

DEFAULT_COLLECTION = "documents"
MEMORY = ":memory:"
REST_PORT, GRPC_PORT = 6333, 6334
_REFUSED_IN_NAMES = '<>:"/\\|?*\0\x1f'
_EXAMPLE = "qdrant+http://localhost:6333/documents"


@dataclass(frozen=True)
class Address:
    """Where a collection is: exactly one of the URL of a server, a directory, or this process.

    Attributes:
        collection: The name of the collection.
        url: The URL of a server, without credentials; None for local mode.
        path: The directory of the client's local mode; None for a server and for a collection in memory.
    """

    collection: str
    url: str | None = None
    path: Path | None = None

    @property
    def is_server(self) -> bool:
        """Whether it is a server, not the client's local mode."""
        return self.url is not None

    @property
    def host(self) -> str:
        """The host of the server."""
        return urlsplit(self.url or "").hostname or ""

    @property
    def port(self) -> int:
        """The port of the REST interface."""
        return urlsplit(self.url or "").port or REST_PORT

    @property
    def is_usual(self) -> bool:
        """Whether the REST interface is at Qdrant's own port and not under a path, as behind a proxy."""
        return self.port == REST_PORT and not urlsplit(self.url or "").path

    @property
    def location(self) -> str | None:
        """What `Index.open` opens; None for a collection in memory, and for one in a directory with another name."""
        if self.url is not None:
            return f"qdrant+{self.url}/{quote(self.collection, safe='')}"
        return None if self.path is None or self.collection != DEFAULT_COLLECTION else f"qdrant:{self.path}"

    @property
    def place(self) -> str:
        """The URL of the server, or the directory; ``:memory:`` for a collection in memory or of a caller's client."""
        return self.url if self.url is not None else MEMORY if self.path is None else str(self.path)

    def __str__(self) -> str:
        """Return it for messages."""
        return f"{self.collection!r} in {self.place}"


def address_of(
    url: str | None, path: str | os.PathLike[str] | None, location: str | None, collection: str, *, has_client: bool
) -> Address:
    """Return the address of a collection, of which exactly one place is given.

    Raises:
        InvalidRequestError: None or several places are given, or one cannot be an address.
    """
    given = [url is not None, path is not None, location is not None, has_client]
    if sum(given) != 1:
        raise InvalidRequestError(
            "QdrantEngine takes exactly one of url=, path=, location= and client=, for example "
            f"url='http://localhost:{REST_PORT}'."
        )
    _check_collection(collection)
    if location not in (None, MEMORY):
        url = location
    if url is not None:
        return Address(collection, url=_checked_url(url, url))
    return Address(collection, path=None if path is None else _directory(path))


def parse_location(location: str) -> Address:
    """Return the address that a location names: ``qdrant:DIR`` or ``qdrant+http://host:6333/collection``.

    Raises:
        InvalidRequestError: It is not a location of Qdrant, or ``qdrant://…``, which could mean a server.
    """
    scheme, _, rest = location.partition(":")
    if scheme.lower() == "qdrant":
        if rest == MEMORY:
            return Address(DEFAULT_COLLECTION)
        if rest.startswith("//"):
            raise InvalidRequestError(
                f"{_hidden(location)!r} is neither a directory nor a server: a directory is qdrant:DIR, without //, "
                f"and a server {_EXAMPLE}."
            )
        return Address(DEFAULT_COLLECTION, path=_directory(rest))
    url = _checked_url(f"{scheme.lower().removeprefix('qdrant+')}:{rest}", location)
    before, _, last = url.rpartition("/")
    if before.endswith(("/", ":")):  # no path at all
        return Address(DEFAULT_COLLECTION, url=url)
    collection = unquote(last)
    _check_collection(collection)
    return Address(collection, url=before)


def _directory(path: str | os.PathLike[str]) -> Path:
    name = os.fspath(path)
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise InvalidRequestError(f"The path of a Qdrant directory must be the name of a directory, got {path!r}.")
    return Path(name).expanduser().absolute()


def _checked_url(url: str, shown: str) -> str:
    """Return the URL without a slash at its end.

    Raises:
        InvalidRequestError: It has another scheme, no host, credentials, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, AttributeError, TypeError):
        raise InvalidRequestError(
            f"The address of a Qdrant server cannot be read. It looks like http://localhost:{REST_PORT}, and as a "
            f"location like {_EXAMPLE}."
        ) from None
    if parts.username is not None or parts.password is not None:
        raise InvalidRequestError(
            f"The address of the Qdrant server {parts.hostname!r} has a user or password in it, which "
            "messages would show. Leave it out, and pass api_key=, or set the environment variable QDRANT_API_KEY."
        )
    if parts.query or parts.fragment:  # not shown: a key may be in it
        raise InvalidRequestError(
            f"The address of the Qdrant server {parts.hostname!r} has a ? or # in it. Leave out what follows it, and "
            "pass api_key=, or set the environment variable QDRANT_API_KEY."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InvalidRequestError(
            f"The address of a Qdrant server begins with http:// or https:// and a host, got {_hidden(shown)!r}. For "
            f"example http://localhost:{REST_PORT}, and as a location {_EXAMPLE}."
        )
    return _joined(parts)


def _hidden(address: str) -> str:
    """Return an address without what stands before an @, wherever in it that is."""
    return re.sub(r"[^/]*@", "…@", address)


def _joined(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _check_collection(name: object) -> None:
    if (
        not isinstance(name, str)
        or not 0 < len(name) <= 255
        or name in (".", "..")
        or set(name) & set(_REFUSED_IN_NAMES)
    ):
        raise InvalidRequestError(
            f"The name of a Qdrant collection must be a string of 1 to 255 characters other than "
            f"{' '.join(_REFUSED_IN_NAMES[:-2])}, got {name!r}."
        )
