"""Collections by name in a folder, and every request that they answer, in one table."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

from qdrant_client.http import models

from .collection import Collection
from .errors import ServerError, invalid, not_found, wrong_input

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = "1.20.0"
_MAX_NAME_LENGTH = 255


class EdgeServer:
    """Qdrant's engine over a folder. Collections open when they are first asked for."""

    def __init__(self, folder, *, has_wal: bool = True):
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._has_wal = has_wal
        self._open: dict[str, Collection] = {}
        self._lock = threading.RLock()
        self._is_closed = False

    def collection(self, name: str) -> Collection:
        """Return a collection that exists."""
        with self._lock:
            self._check_open()
            if name not in self._open:
                if not Collection.is_in(self._place(name)):
                    raise not_found(f"Collection `{name}` doesn't exist!")
                self._open[name] = Collection.open(self._place(name))
            return self._open[name]

    def exists(self, name: str) -> models.CollectionExistence:
        """Return whether there is a collection of this name."""
        self._check_open()
        return models.CollectionExistence(exists=Collection.is_in(self._place(name)))

    def create(self, name: str, request: models.CreateCollection) -> bool:
        """Create a collection."""
        with self._lock:
            self._check_open()
            _check_name(name)
            if Collection.is_in(self._place(name)):
                raise ServerError(409, f"Wrong input: Collection `{name}` already exists!")
            shutil.rmtree(self._place(name), ignore_errors=True)  # of a creation that was interrupted
            self._open[name] = Collection.create(self._place(name), request, has_wal=self._has_wal)
            return True

    def delete(self, name: str) -> bool:
        """Delete a collection, if it exists."""
        with self._lock:
            if not self.exists(name).exists:
                return False
            self.collection(name).drop()
            del self._open[name]
            return True

    def names(self) -> models.CollectionsResponse:
        """Return the names of the collections."""
        self._check_open()
        names = sorted(unquote(each.name) for each in self._folder.iterdir() if Collection.is_in(each))
        return models.CollectionsResponse(collections=[models.CollectionDescription(name=each) for each in names])

    def close(self) -> None:
        """Close all collections."""
        with self._lock:
            self._is_closed = True
            for collection in self._open.values():
                collection.close()
            self._open.clear()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ServerError(503, "The server is shutting down")

    def _place(self, name: str) -> Path:
        return self._folder / quote(name, safe="").replace(".", "%2E")


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= _MAX_NAME_LENGTH:
        raise invalid(f"collection_name: value {name!r} invalid, must be from 1 to {_MAX_NAME_LENGTH} characters")
    for character in '<>:"/\\|?*\0\x1f':
        if character in name:
            raise wrong_input(f'collection name cannot contain "{character}" char')


_READS = {"get_points", "count_points", "scroll_points", "query_points", "query_batch_points", "facet"}


class Request(NamedTuple):
    """A kind of request: where the client makes it, how it goes over HTTP, and what answers it."""

    api: str
    """The part of the client's REST interface, and its method."""
    method: str
    verb: str
    path: str
    """Its parameters are those of `run`."""
    body: Any
    """The type of the body and the name of its argument; both None without a body."""
    argument: str | None
    run: Callable[..., Any]
    """Called with the server, the body if there is one, and the parameters of the path by name."""

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.verb != "GET" and self.method not in _READS


def _of_collection(method: str) -> Callable[..., Any]:
    def run(server: EdgeServer, *body, collection_name: str, **parameters):
        return getattr(server.collection(collection_name), method)(*body, **parameters)

    return run


def _on_points(method, verb, end, body, argument, run) -> Request:
    path = f"/collections/{{collection_name}}/points{end}"
    api = "search_api" if end.startswith("/query") else "points_api"
    return Request(api, method, verb, path, body, argument, _of_collection(run))


_COLLECTION = "/collections/{collection_name}"
_SELECTOR = models.PointsSelector

REQUESTS = [
    Request("service_api", "root", "GET", "/", None, None, lambda server: version()),
    Request("collections_api", "get_collections", "GET", "/collections", None, None, EdgeServer.names),
    Request(
        "collections_api",
        "collection_exists",
        "GET",
        f"{_COLLECTION}/exists",
        None,
        None,
        lambda server, collection_name: server.exists(collection_name),
    ),
    Request(
        "collections_api",
        "create_collection",
        "PUT",
        _COLLECTION,
        models.CreateCollection,
        "create_collection",
        lambda server, body, collection_name: server.create(collection_name, body),
    ),
    Request(
        "collections_api",
        "delete_collection",
        "DELETE",
        _COLLECTION,
        None,
        None,
        lambda server, collection_name: server.delete(collection_name),
    ),
    Request("collections_api", "get_collection", "GET", _COLLECTION, None, None, _of_collection("info")),
    Request(
        "collections_api",
        "update_collection",
        "PATCH",
        _COLLECTION,
        models.UpdateCollection,
        "update_collection",
        _of_collection("change"),
    ),
    Request(
        "indexes_api",
        "create_field_index",
        "PUT",
        f"{_COLLECTION}/index",
        models.CreateFieldIndex,
        "create_field_index",
        _of_collection("create_index"),
    ),
    Request(
        "indexes_api",
        "delete_field_index",
        "DELETE",
        f"{_COLLECTION}/index/{{field_name}}",
        None,
        None,
        _of_collection("delete_index"),
    ),
    Request(
        "points_api",
        "facet",
        "POST",
        f"{_COLLECTION}/facet",
        models.FacetRequest,
        "facet_request",
        _of_collection("facet"),
    ),
    _on_points("get_points", "POST", "", models.PointRequest, "point_request", "retrieve"),
    _on_points("upsert_points", "PUT", "", models.PointInsertOperations, "point_insert_operations", "upsert"),
    _on_points("delete_points", "POST", "/delete", _SELECTOR, "points_selector", "delete_points"),
    _on_points("update_vectors", "PUT", "/vectors", models.UpdateVectors, "update_vectors", "update_vectors"),
    _on_points("delete_vectors", "POST", "/vectors/delete", models.DeleteVectors, "delete_vectors", "delete_vectors"),
    _on_points("set_payload", "POST", "/payload", models.SetPayload, "set_payload", "set_payload"),
    _on_points("overwrite_payload", "PUT", "/payload", models.SetPayload, "set_payload", "overwrite_payload"),
    _on_points("delete_payload", "POST", "/payload/delete", models.DeletePayload, "delete_payload", "delete_payload"),
    _on_points("clear_payload", "POST", "/payload/clear", _SELECTOR, "points_selector", "clear_payload"),
    _on_points("batch_update", "POST", "/batch", models.UpdateOperations, "update_operations", "batch"),
    _on_points("count_points", "POST", "/count", models.CountRequest, "count_request", "count"),
    _on_points("scroll_points", "POST", "/scroll", models.ScrollRequest, "scroll_request", "scroll"),
    _on_points("query_points", "POST", "/query", models.QueryRequest, "query_request", "query"),
    _on_points(
        "query_batch_points",
        "POST",
        "/query/batch",
        models.QueryRequestBatch,
        "query_request_batch",
        "query_batch",
    ),
]


def version() -> models.VersionInfo:
    """Return what a server says of itself."""
    return models.VersionInfo(title="qdrant - vector search engine", version=VERSION, commit=None)
