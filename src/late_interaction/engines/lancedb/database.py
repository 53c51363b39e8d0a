"""The tables of an index in LanceDB: opened, created, and called with errors of this package."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import lancedb

from late_interaction.engines.lancedb.calls import RunningCalls
from late_interaction.engines.lancedb.failures import is_conflict, secrets_of, translated, without
from late_interaction.engines.lancedb.loop import run
from late_interaction.engines.lancedb.schema import (
    BLOBS,
    DOCUMENTS,
    SETTINGS,
    Format,
    blobs_schema,
    documents_schema,
    settings_schema,
    table_names,
)
from late_interaction.engines.lancedb.words import WORDS, words_index
from late_interaction.errors import (
    CorruptIndexError,
    IndexClosedError,
    IndexNotFoundError,
    InvalidRequestError,
    LateInteractionError,
    StorageError,
)
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    import pyarrow as pa

    from late_interaction.engines.lancedb.addresses import Address

__all__ = ["Database"]

_Result = TypeVar("_Result")

_REMOTE_CONSISTENCY = timedelta(seconds=1)
"""How old what is read from an object store may be. A directory is looked at before each read, which takes 0.3 ms."""

_MAX_ATTEMPTS = 8
_FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS = 0.05, 2.0
_SCHEMAS = {SETTINGS: settings_schema, BLOBS: blobs_schema, DOCUMENTS: documents_schema}
"""In the order in which tables are created: an index exists when its table of documents does."""


class Database:
    """Connects to the database of an index when it is first needed, also once more in a forked child.

    Args:
        address: Where it is.
        storage_options: Options of the object store. They may be credentials, and are never shown.

    Attributes:
        address: Where it is.
    """

    def __init__(self, address: Address, storage_options: Mapping[str, str] | None = None) -> None:
        self.address = address
        self._storage_options = dict(storage_options or {})
        self._secrets = secrets_of(self._storage_options)
        self._names = table_names(address.table)
        self._calls = RunningCalls()
        self._format: Format | None = None
        self._is_closed = False
        self._disconnect()
        renew_in_child(self._disconnect)

    def _disconnect(self) -> None:
        self._connection: Any = None
        self._tables: dict[str, Any] = {}

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Give errors of this package for those of LanceDB. No code of the caller may run inside."""
        try:
            with self._calls:
                yield
        except LateInteractionError:
            raise
        except Exception as error:  # noqa: BLE001  # its classes are not documented, and no code of others runs here
            raise self._translated(error) from self._cause(error)

    def call(self, request: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """Return what a request to LanceDB returns."""
        with self.calling():
            return run(request())

    def retrying(self, write: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """Return what a write returns, which is tried again when another writer comes first."""
        wait = _FIRST_WAIT_SECONDS
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                with self._calls:
                    return run(write())
            except LateInteractionError:
                raise
            except Exception as error:  # noqa: BLE001
                if attempt == _MAX_ATTEMPTS or not is_conflict(error):
                    raise self._translated(error) from self._cause(error)
            time.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311  # not for secrets
            wait = min(2 * wait, _MAX_WAIT_SECONDS)
        raise AssertionError

    def _translated(self, error: Exception) -> LateInteractionError:
        return translated(error, self.address, is_remote=self.address.is_remote, secrets=self._secrets)

    def _cause(self, error: Exception) -> Exception | None:
        """Return the error, unless a credential is in it."""
        message = " ".join(str(error).split())
        return error if without(self._secrets, message) == without((), message) else None

    @property
    def format(self) -> Format:
        """The format of the index.

        Raises:
            IndexNotFoundError: There is none.
            IndexClosedError: The engine is closed.
        """
        found = self.open()
        if found is None:
            raise IndexNotFoundError(
                f"There is no index at {self.address}. Create it with LanceDBEngine(…, dim=…), or open an Index with "
                "an encoder."
            )
        return found

    def open(self) -> Format | None:
        """Return the format of the index; None if there is none.

        Raises:
            InvalidRequestError: A table of this name exists and is not one of this package.
        """
        self.check_open()
        if self._format is not None:
            return self._format
        path = self.address.path
        if path is not None and not path.exists():
            return None
        if path is not None and not path.is_dir():
            raise InvalidRequestError(f"{path} is not a directory, so it is not a LanceDB database.")
        if self._table(DOCUMENTS) is None:
            return None
        found = self._format_of(DOCUMENTS)
        for kind in (BLOBS, SETTINGS):
            if self._table(kind) is None:
                raise self._missing(kind)
            self._format_of(kind)
        self._format = found
        return self._format

    def check_open(self) -> None:
        """Raise `IndexClosedError` if the engine is closed."""
        if self._is_closed:
            raise IndexClosedError("The index is closed. Open it again.")

    def create(self, format_: Format) -> None:
        """Create the tables, or those of them that are missing.

        Raises:
            InvalidRequestError: The directory has something else in it, or a table exists and is another one's.
        """
        self._check_directory()
        for kind, schema in _SCHEMAS.items():
            if self._table(kind) is None:
                self._tables[kind] = self.call(partial(self._create, kind, schema(format_)))
                if kind == DOCUMENTS:
                    self._index_words()
            if (found := self._format_of(kind)).dim != format_.dim:
                raise InvalidRequestError(
                    f"The table of the {kind} of {self.address} is of dimension {found.dim}, not {format_.dim}. "
                    "Pass another table= or another directory."
                )
        self._format = self._format_of(DOCUMENTS)

    def _index_words(self) -> None:
        """Index the words of no documents: without an index, LanceDB weights words by other statistics than BM25's."""
        table = self._tables[DOCUMENTS]
        self.retrying(lambda: table.create_index(WORDS, config=words_index()))

    def _check_directory(self) -> None:
        path = self.address.path
        if path is None or not path.exists():
            return
        try:
            other = sorted(one.name for one in path.iterdir() if not one.name.endswith(".lance"))
        except OSError as error:
            raise StorageError(f"The directory {path} cannot be read: {error}") from error
        if other:
            raise InvalidRequestError(
                f"{path} is not a LanceDB database: it contains {other[0]!r}. A new index needs a directory that is "
                "empty or does not exist."
            )

    def _format_of(self, kind: str) -> Format:
        return Format.of(self.call(self._tables[kind].schema), kind, self.address)

    def table(self, kind: str) -> Any:
        """Return a table, whose reads see the last state, and whose writes change it."""
        _ = self.format
        found = self._table(kind)
        if found is None:
            raise self._missing(kind)
        return found

    def _missing(self, kind: str) -> CorruptIndexError:
        return CorruptIndexError(
            f"The table of the {kind} of {self.address} is missing. Restore the index from a copy."
        )

    def pinned(self, kind: str, version: int) -> Any:
        """Return a table as it was at a version, for reading."""

        async def opened() -> Any:
            table = await (await self._connected()).open_table(self._names[kind])
            await table.checkout(version)
            return table

        return self.call(opened)

    def close(self) -> None:
        """Disconnect. Closing twice is no error."""
        self._is_closed = True
        self._disconnect()

    def _table(self, kind: str) -> Any:
        """Return a table; None if it does not exist."""
        if kind not in self._tables:
            table = self.call(partial(self._opened, kind))
            if table is None:
                return None
            self._tables[kind] = table
        return self._tables[kind]

    async def _opened(self, kind: str) -> Any:
        name = self._names[kind]
        try:
            return await (await self._connected()).open_table(name)
        except ValueError as error:
            if f"'{name}' was not found" not in str(error):
                raise
            return None

    async def _create(self, kind: str, schema: pa.Schema) -> Any:
        return await (await self._connected()).create_table(self._names[kind], schema=schema, exist_ok=True)

    async def _connected(self) -> Any:
        self.check_open()
        if self._connection is None:
            interval = _REMOTE_CONSISTENCY if self.address.is_remote else timedelta(0)
            self._connection = await lancedb.connect_async(
                self.address.uri, read_consistency_interval=interval, storage_options=self._storage_options or None
            )
        return self._connection
