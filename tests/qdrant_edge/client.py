"""Qdrant's real engine, in this process, behind the real client."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from qdrant_client import QdrantClient
from qdrant_client.http import models
from qdrant_client.http.exceptions import ResponseHandlingException

from .errors import ServerError
from .server import REQUESTS, EdgeServer, Request

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_URL = "http://edge.invalid"


class EdgeClient(QdrantClient):
    """The client with its REST interface replaced: its requests are answered in this process, without JSON.

    Arguments are checked and converted by the client's own code. Errors are those that the client raises for a
    server's answer. Everything is in the folder, which one process may open at a time.

    Checking a point of 69 x 128 floats takes the client longer than storing it takes the engine. For benchmarks,
    `PointStruct.model_construct` skips the check, and its vectors may be arrays.
    """

    def __init__(self, folder=None, *, has_wal: bool = True, server: EdgeServer | None = None):
        """Open a folder; or use a server that is open, such as that of `serve`, past its sockets and faults."""
        super().__init__(url=_NO_URL, check_compatibility=False, verify=False)
        self._server = EdgeServer(folder, has_wal=has_wal) if server is None else server
        self._client.openapi_client.close()
        close = self._server.close if server is None else lambda: None
        self._client.openapi_client = _interface(self._server, close)

    def optimize(self, collection_name: str) -> bool:
        """Do at once what a server does in the background: merge, index and quantize segments."""
        return self._server.collection(collection_name).optimize()


def _interface(server: EdgeServer, close: Callable[[], None]) -> SimpleNamespace:
    """Return what the client calls in place of its REST interface."""
    parts: dict[str, SimpleNamespace] = {}
    for request in REQUESTS:
        setattr(parts.setdefault(request.api, SimpleNamespace()), request.method, _call(server, request))
    return SimpleNamespace(close=close, **parts)


def _call(server: EdgeServer, request: Request):
    def call(collection_name=None, **arguments):
        body = [arguments[request.argument]] if request.argument else []
        named = {"collection_name": collection_name, "field_name": arguments.get("field_name")}
        try:
            result = request.run(server, *body, **{name: str(value) for name, value in named.items() if value})
        except ServerError as error:
            if error.status == 503:
                raise ResponseHandlingException(RuntimeError("the client has been closed")) from error
            raise error.as_response() from error
        if isinstance(result, models.UpdateResult) and not arguments.get("wait", True):
            result.status = models.UpdateStatus.ACKNOWLEDGED
        return result if request.path == "/" else SimpleNamespace(result=result)

    return call
