"""One connection to Qdrant: a client per process, calls with retries, and errors of this package."""

from __future__ import annotations

import inspect
import math
import os
import re
import reprlib
import socket
import sqlite3
import threading
import warnings
import weakref
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.local.qdrant_local import QdrantLocal

from late_interaction.engines.qdrant.addresses import GRPC_PORT, MEMORY, REST_PORT
from late_interaction.engines.qdrant.failures import CLIENT_ERRORS, is_refusal_of_credentials, translated, wait_after
from late_interaction.engines.qdrant.untrusted import META_FILE, check_stored
from late_interaction.engines.qdrant.versions import check_version, version_of
from late_interaction.engines.remote.retries import Retries
from late_interaction.errors import (
    CorruptIndexError,
    IndexClosedError,
    IndexLockedError,
    InvalidRequestError,
    LateInteractionError,
)
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from late_interaction.engines.qdrant.addresses import Address

__all__ = ["Connection", "ConnectionSettings", "Protocol"]

Protocol: TypeAlias = Literal["grpc", "rest", "local", "client"]

_PROBE_SECONDS = 1.0  # that the port of gRPC may take to answer
_CONSISTENCIES = tuple(one.value for one in models.ReadConsistencyType)
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100)
"""The default keeps 20 connections. With more threads, most requests would open one, with TLS in two round trips."""

_TAKE_CONSISTENCY = frozenset({"query_batch_points", "query_points", "retrieve", "scroll"})

_mutexes: weakref.WeakKeyDictionary[Any, threading.RLock] = weakref.WeakKeyDictionary()
"""By client of local mode, which engines may share: it is not safe to call from several threads."""

_inherited: list[Any] = []
"""Clients that a forked child has from its parent. They are not closed: their connections are the parent's."""


@dataclass(frozen=True)
class ConnectionSettings:
    """How a server is called.

    Attributes:
        api_key: The API key; None for that of the environment variable QDRANT_API_KEY, if there is one.
        timeout: Seconds that one try may take.
        prefer_grpc: Whether to use gRPC; None to use it if it answers.
        grpc_port: Its port.
        read_consistency: How many replicas are asked; None for the server's default.
        retries: How often a call is tried.

    Raises:
        InvalidRequestError: A setting is invalid.
    """

    api_key: str | None = field(default=None, repr=False)
    timeout: float = 30.0
    prefer_grpc: bool | None = None
    grpc_port: int = GRPC_PORT
    read_consistency: Any = None
    retries: Retries = field(default_factory=Retries)

    def __post_init__(self) -> None:
        port, consistency = self.grpc_port, self.read_consistency
        is_number = type(consistency) is int and consistency > 0
        for name, is_valid, allowed in (
            ("timeout", _is_duration(self.timeout), "a number of seconds above 0"),
            ("prefer_grpc", self.prefer_grpc in (None, True, False), "True, False or None"),
            ("grpc_port", type(port) is int and 0 < port < 2**16, "an integer from 1 to 65535"),
            (
                "read_consistency",
                consistency is None or is_number or consistency in _CONSISTENCIES,
                f"a number of replicas, {', '.join(map(repr, _CONSISTENCIES))} or None",
            ),
        ):
            if not is_valid:
                raise InvalidRequestError(f"{name} must be {allowed}, got {reprlib.repr(getattr(self, name))}.")

    @property
    def key(self) -> str | None:
        """The API key that is used.

        Raises:
            InvalidRequestError: No request can hold it. An error of the client would show it.
        """
        key = self.api_key or os.environ.get("QDRANT_API_KEY") or None
        if key is not None and not (isinstance(key, str) and re.fullmatch("[!-~]+", key)):
            source = "api_key=" if self.api_key else "the environment variable QDRANT_API_KEY"
            raise InvalidRequestError(
                f"The API key of the Qdrant server, from {source}, must be a string of printable ASCII characters "
                "without spaces. Look for a line end, which a file may add."
            )
        return key


class Connection:
    """Calls the methods of a Qdrant client for one collection. Any thread may call.

    Args:
        address: Where the collection is.
        settings: How it is called.
        client: A client of the caller, which is not closed; None to make one.

    Attributes:
        address: Where the collection is.
        server_version: What `check_version` found; None if the server does not say it, and in local mode.
    """

    def __init__(self, address: Address, settings: ConnectionSettings, client: Any = None) -> None:
        if client is not None and inspect.iscoroutinefunction(getattr(client, "query_points", None)):
            raise InvalidRequestError(
                "client= must be a QdrantClient, not an AsyncQdrantClient. Index calls it in threads of its own."
            )
        self.address = address
        self.server_version: str | None = None
        self._settings = settings
        self._given = client
        self._client: Any = client
        self._protocol: Protocol | None = None
        self._is_closed = self._is_in_child = False
        self._make_mutex()
        renew_in_child(self._renew)

    @property
    def is_local(self) -> bool:
        """Whether it is the client's local mode, a test double of the server: exact, slow, and of one process."""
        if self._given is None:
            return not self.address.is_server
        return isinstance(getattr(self._given, "_client", None), QdrantLocal)

    @property
    def protocol(self) -> Protocol:
        """How the collection is reached: ``client`` is a client of the caller, whatever it does."""
        self._connected()
        return self._protocol or "client"

    def check_version(self) -> None:
        """Ask a server for its version.

        Raises:
            EngineRefusedError: It is too old.
        """
        if not self.is_local:
            self.server_version = version_of(self._connected())
            check_version(self.server_version, self.address)

    def is_there(self) -> bool:
        """Return whether the place of the collection exists. A directory of local mode is not created by asking."""
        path = self.address.path
        return path is None or (path / META_FILE).exists()

    def call(self, method: str, /, **arguments: Any) -> Any:
        """Return what the method of the client returns for the collection. It must be idempotent.

        Raises:
            LateInteractionError: Trying again did not help, or would not.
        """
        if self._settings.read_consistency is not None and method in _TAKE_CONSISTENCY:
            arguments["consistency"] = self._settings.read_consistency
        try:
            return self._settings.retries.call(partial(self._once, method, arguments), wait_after)
        except LateInteractionError:
            raise
        except CLIENT_ERRORS as error:
            raise translated(error, self.address, [self._settings.key or ""]) from error

    def close(self) -> None:
        """Close the client, unless it is the caller's. Closing twice is no error."""
        with self._mutex:
            client, self._client, self._is_closed = self._client, None, True
        if client is not None and self._given is None:
            with self._turn(client):
                client.close()

    def _once(self, method: str, arguments: dict[str, Any]) -> Any:
        client = self._connected()
        with self._turn(client):
            return getattr(client, method)(collection_name=self.address.collection, **arguments)

    def _turn(self, client: Any) -> AbstractContextManager[Any]:
        """Return the mutex of a client of local mode; a client of a server needs none."""
        if not self.is_local:
            return nullcontext()
        mutex = _mutexes.get(client)
        return _mutexes.setdefault(client, threading.RLock()) if mutex is None else mutex

    def _connected(self) -> Any:
        """Return the client of this process; connect if there is none yet."""
        client = self._client
        if client is not None:
            return client
        with self._mutex:
            if self._is_closed:
                raise IndexClosedError("The index is closed. Open it again.")
            if self._is_in_child and (self._given is not None or not self.address.is_server):
                raise IndexLockedError(
                    f"The collection {self.address} was opened in another process, from which this one was forked. "
                    "Open it in this process; a directory of local mode only after the other process has closed it."
                )
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> QdrantClient:
        if self.address.url is None:
            self._protocol = "local"
            if self.address.path is None:
                return QdrantClient(location=MEMORY, force_disable_check_same_thread=True)
            return _open_directory(self.address.path)
        prefers = False if self._is_in_child else self._settings.prefer_grpc  # gRPC may not work after a fork
        if prefers is None:
            client = self._connect_by_grpc()
            if client is not None:
                self._protocol = "grpc"
                return client
        self._protocol = "grpc" if prefers else "rest"
        return self._new_client(grpc=bool(prefers))

    def _connect_by_grpc(self) -> QdrantClient | None:
        """Return a client that uses gRPC if a Qdrant server answers at its port, else None.

        Behind another port than Qdrant's own, or a path, the port of gRPC is not known unless it is given: there may be
        another server at Qdrant's.
        """
        if not self.address.is_usual and self._settings.grpc_port == GRPC_PORT:
            return None
        try:
            socket.create_connection((self.address.host, self._settings.grpc_port), _PROBE_SECONDS).close()
        except OSError:
            return None
        client = self._new_client(grpc=True)
        try:
            client.collection_exists(self.address.collection)
        except CLIENT_ERRORS as error:
            if is_refusal_of_credentials(error):
                return client
            client.close()
            return None
        return client

    def _new_client(self, *, grpc: bool) -> QdrantClient:
        key = self._settings.key
        is_here = self.address.host in _THIS_MACHINE  # for which the client has limits of its own
        with warnings.catch_warnings():
            if is_here:
                warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
            return QdrantClient(
                url=self.address.url,
                port=REST_PORT,
                grpc_port=self._settings.grpc_port,
                prefer_grpc=grpc,
                api_key=key,
                timeout=self._settings.timeout,  # type: ignore[arg-type]  # it is rounded up to an integer
                limits=None if is_here else _LIMITS,
                check_compatibility=False,  # another request, in a thread that outlives the client
            )

    def _make_mutex(self) -> None:
        self._mutex = threading.Lock()

    def _renew(self) -> None:
        """Do not use the parent's client in a forked child."""
        self._make_mutex()
        self._is_in_child = True
        if self._client is not None:
            _inherited.append(self._client)
            self._client = None


def _open_directory(path: Path) -> QdrantClient:
    """Return a client of local mode, after a check of the directory.

    Raises:
        CorruptIndexError: It has anything that the client does not write.
    """
    _check_directory(path)
    check_stored(path)
    try:
        return QdrantClient(path=str(path), force_disable_check_same_thread=True)
    except (OSError, RuntimeError, sqlite3.Error):
        raise
    except Exception as error:  # the client reads the values of points without a check
        raise CorruptIndexError(f"The Qdrant directory {path} is damaged ({error}). Restore it from a copy.") from error


def _is_duration(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _check_directory(path: Path) -> None:
    """Refuse a directory of something else.

    Raises:
        InvalidRequestError: It is a file, or has files that are not Qdrant's.
    """
    if (path / META_FILE).exists():
        return
    others = [path.name] if path.is_file() else sorted(one.name for one in path.iterdir()) if path.is_dir() else []
    if others:
        raise InvalidRequestError(
            f"{path} is not a directory of Qdrant's local mode: there is {', '.join(map(repr, others[:3]))}. Name a "
            "directory that is empty or does not exist."
        )
