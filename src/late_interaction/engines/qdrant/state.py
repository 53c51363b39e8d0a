"""What `QdrantEngine` knows of its collection: opened, created, and what is stored in its settings."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.engines.base import Capabilities, Engine
from late_interaction.engines.qdrant.failures import is_conflict
from late_interaction.engines.qdrant.field_indexes import FieldIndexes
from late_interaction.engines.qdrant.first_stage import FirstStage
from late_interaction.engines.qdrant.schema import (
    FORMAT_VERSION,
    check_dim,
    check_layout,
    foreign,
    is_quantized,
    layout,
    payload_indexes,
)
from late_interaction.engines.qdrant.settings import ENCODER, Settings
from late_interaction.engines.qdrant.sizes import Size
from late_interaction.errors import (
    CorruptIndexError,
    EngineRefusedError,
    IndexNotFoundError,
    InvalidRequestError,
    InvalidVectorsError,
    ReadOnlyIndexError,
)
from late_interaction.forking import renew_in_child
from late_interaction.words import DEFAULT_LANGUAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from late_interaction.engines.qdrant.client import Connection

__all__ = ["Collection", "Options", "State"]


@dataclass(frozen=True)
class Options:
    """The arguments of `QdrantEngine` that are not about the connection.

    Attributes:
        language: Of the words of lexical search; ``default`` for that of an existing collection, or for English.
        candidates: Documents that the first stage finds; None to choose.
        quantization: Of the token vectors of a new collection.
        cluster: Arguments of `create_collection` that only matter in a cluster.
        read_only: Whether writing is refused.
    """

    language: str | None
    candidates: int | None
    quantization: Any
    cluster: Mapping[str, int]
    read_only: bool


class Collection(NamedTuple):
    """What stays the same as long as a collection exists.

    Attributes:
        dim: Dimension of the token vectors.
        language: Language of the words of lexical search; None for no stems.
        is_quantized: Whether token vectors are also kept quantized.
    """

    dim: int
    language: str | None
    is_quantized: bool


class State(Engine):
    """The part of `QdrantEngine` that opens and creates the collection.

    Args:
        connection: Calls the client.
        options: What the user chose.
    """

    def __init__(self, connection: Connection, options: Options) -> None:
        self._connection = connection
        self._options = options
        self._settings = Settings(connection)
        self._encoder: dict[str, Any] | None = None
        self._known: Collection | None = None
        self._size = Size(connection)
        self._field_indexes = FieldIndexes(connection)
        self._stage = FirstStage(connection, self._settings, self._size)
        self._capabilities = Capabilities(
            exact_search=connection.is_local and options.candidates is None,
            lexical=True,
            vectors=True,
            verify=True,
            compact=True,
            sources=True,
            keeps_vectors=True,
            remote=not connection.is_local,
        )
        self._make_mutex()
        renew_in_child(self._make_mutex)

    def _make_mutex(self) -> None:
        self._mutex = threading.RLock()

    @property
    def capabilities(self) -> Capabilities:
        """What this engine can do. Search is exact in local mode alone, and in collections of few documents."""
        return self._capabilities

    @property
    def dim(self) -> int:
        """Dimension of the token vectors.

        Raises:
            IndexNotFoundError: The collection does not exist yet.
        """
        return self._collection.dim

    @property
    def language(self) -> str | None:
        """Language of the words of lexical search, which are reduced to stems; None for no stems."""
        return self._collection.language

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._options.read_only

    @property
    def encoder_record(self) -> dict[str, Any] | None:
        """What `record_encoder` wrote, or None. It never changes, so it is read until there is one."""
        self._collection  # noqa: B018  # raises if there is no collection
        if self._encoder is None:
            self._encoder = self._settings.read(ENCODER)
        return copy.deepcopy(self._encoder)

    def record_encoder(self, record: Mapping[str, Any]) -> None:
        """Store, as JSON, which encoder made the vectors, unless a record is stored already, which stays."""
        self._check_writable()
        self._encoder = self._settings.write_once(ENCODER, dict(record))

    def prepare(self, dim: int) -> None:
        """Create the collection, for vectors of this dimension, unless it exists.

        Raises:
            IndexNotFoundError: It does not exist, and the engine is read-only.
        """
        with self._mutex:
            if self._known is None and self._load() is None:
                if self._options.read_only:
                    raise IndexNotFoundError(f"There is no collection {self._connection.address} to read.")
                self._create(dim)

    def _open(self, dim: int | None) -> None:
        """Look for the collection; create it if there is none and a dimension is given.

        Raises:
            InvalidVectorsError: It has another dimension.
            InvalidRequestError: It has another language, or is not one of this package.
            EngineRefusedError: The server is too old.
        """
        known = self._load()
        self._connection.check_version()
        if known is None and dim is not None and not self._options.read_only:
            self._create(dim)
        elif known is not None and dim not in (None, known.dim):
            raise InvalidVectorsError(
                f"The collection {self._connection.address} holds vectors of dimension {known.dim}, not {dim}."
            )

    @property
    def _collection(self) -> Collection:
        """The collection.

        Raises:
            IndexNotFoundError: It does not exist.
        """
        known = self._known
        if known is None:
            with self._mutex:
                known = self._load()
        if known is None:
            raise IndexNotFoundError(
                f"There is no collection {self._connection.address}. To create it, give dim=, or an encoder: "
                "Index(engine=…, encoder=…), or Index.open(…, encoder=…)."
            )
        return known

    def _load(self) -> Collection | None:
        """Return the collection, or None if there is none or it is not completely created."""
        connection = self._connection
        if not connection.is_there():
            return None
        try:
            info = connection.call("get_collection")
        except IndexNotFoundError:
            return None
        dim = check_layout(info, connection.address)
        stored = self._settings.open()
        if stored is None:
            if connection.call("count", exact=True).count:
                raise InvalidRequestError(foreign(connection.address))
            return None
        self._known = self._of_format(stored, dim, quantized=is_quantized(info))
        self._field_indexes.note(info.payload_schema)
        return self._known

    def _of_format(self, stored: dict[str, Any], dim: int, *, quantized: bool) -> Collection:
        address, version, language = self._connection.address, stored.get("version"), stored.get("language")
        if type(version) is not int or stored.get("dim") != dim or not isinstance(language, (str, type(None))):
            raise CorruptIndexError(
                f"The setting 'format' of the collection {address} is damaged. Restore the collection from a snapshot."
            )
        if version > FORMAT_VERSION:
            raise InvalidRequestError(
                f"The collection {address} has format version {version}, and this release reads versions up to "
                f"{FORMAT_VERSION}. Install a newer release of late-interaction."
            )
        if self._options.language not in ("default", language):
            raise InvalidRequestError(
                f"The collection {address} was created with language={language!r}, which cannot be changed (got "
                f"{self._options.language!r})."
            )
        return Collection(dim, language, quantized)

    def _create(self, dim: int) -> None:
        """Create the collection; if another process does so at the same time, complete it together."""
        self._check_writable(needs_collection=False)
        connection = self._connection
        try:
            connection.call(
                "create_collection", **layout(check_dim(dim), self._options.quantization), **self._options.cluster
            )
        except EngineRefusedError as error:
            if not isinstance(error.__cause__, Exception) or not is_conflict(error.__cause__):
                raise
        if not connection.is_local:  # where indexes have no effect
            for name, schema in payload_indexes().items():
                connection.call("create_payload_index", field_name=name, field_schema=schema, wait=True)
        language = self._options.language
        words = DEFAULT_LANGUAGE if language == "default" else language
        self._settings.create({"version": FORMAT_VERSION, "dim": dim, "language": words})
        known = self._load()
        if known is not None and known.dim != dim:
            raise InvalidVectorsError(
                f"The collection {connection.address} was created by another process meanwhile, for vectors of "
                f"dimension {known.dim}, not {dim}."
            )

    def _check_writable(self, *, needs_collection: bool = True) -> None:
        if self._options.read_only:
            raise ReadOnlyIndexError(f"The collection {self._connection.address} is open with read_only=True.")
        if needs_collection:
            self._collection  # noqa: B018  # raises if there is none
