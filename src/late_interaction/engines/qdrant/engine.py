"""`QdrantEngine`: how it is opened, what it says of itself, and how it is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from late_interaction.engines.first_stage import Centroids
from late_interaction.engines.qdrant.addresses import (
    DEFAULT_COLLECTION,
    GRPC_PORT,
    MEMORY,
    address_of,
    parse_location,
)
from late_interaction.engines.qdrant.client import Connection, ConnectionSettings
from late_interaction.engines.qdrant.schema import FORMAT_VERSION, TRUNCATED_DOCUMENTS, documents, layout
from late_interaction.engines.qdrant.sources import Sources
from late_interaction.engines.qdrant.state import Options
from late_interaction.engines.qdrant.verifying import problems_of
from late_interaction.engines.records import Verification
from late_interaction.errors import InvalidRequestError
from late_interaction.validation import check_k, check_vectors
from late_interaction.words import check_language

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.engines.qdrant.first_stage import StageState

__all__ = ["QdrantEngine"]

_KEPT_SETTINGS = ("timeout", "prefer_grpc", "grpc_port", "read_consistency")
"""Settings of the connection that are used again when an engine is opened once more, in another process."""


class QdrantEngine(Sources):
    """Documents and token vectors in a collection of a Qdrant server.

    Candidates are generated inside Qdrant, a quarter by mean vectors and the others by centroids of token vectors, and
    scored by MaxSim. Several writers and readers may use a collection; of two writes of one document the last wins.
    A write is durable and visible to this object when the call has returned; in a cluster with replicas, it is durable
    on ``write_consistency_factor`` of them, and visible with a ``read_consistency`` that asks enough of the others.
    The server needs version 1.16 or later, and 1.20 for filters with ``$contains`` and on the text.

    Qdrant's local mode (``path=`` and ``location=":memory:"``) is the client's test double of a server, for trying out
    and for tests: exact, slow, of one process at a time. It unpickles its files. A directory may come from others all
    the same: each pickle is checked before, and one that could run code is refused.

    Args:
        url: The server, for example ``http://localhost:6333``. Without a port it is 6333; behind a proxy, write 443.
        path: A directory of local mode.
        location: ``:memory:``, or a URL.
        collection: The name of the collection. One that late-interaction did not create is refused.
        dim: Dimension of the token vectors: creates the collection if there is none. Without it, `Index` creates it
            with the dimension of its encoder.
        api_key: The API key. By default, that of the environment variable QDRANT_API_KEY.
        timeout: Seconds that one try of a request may take. Failed tries are repeated, for a minute at most.
        prefer_grpc: Use gRPC. By default, it is used if it answers. A forked process uses REST.
        grpc_port: The port of gRPC.
        read_only: Refuse to write.
        language: Language of the words of lexical search, ``english`` for a new collection; None for no stems.
        candidates: Documents that the first stage finds; by default 500, or four times k if that is more. In local mode
            and in collections of no more documents, or of fewer than 131,072 token vectors, everything is scored
            instead, unless this is given.
        quantization: Of the token vectors of a new collection, for example
            ``qdrant_client.models.ScalarQuantization``. Candidates are then found in less memory and scored again
            with the float16 vectors.
        shard_number: Of a new collection in a cluster.
        replication_factor: Of a new collection in a cluster.
        write_consistency_factor: Of a new collection in a cluster.
        read_consistency: How many replicas a read asks, for example ``"majority"``.
        client: A `qdrant_client.QdrantClient` in place of an address. It is not closed.

    Raises:
        InvalidRequestError: An argument is invalid, or the collection is not one of late-interaction.
        InvalidVectorsError: The collection has another dimension.
        EngineUnavailableError: The server cannot be reached.
        EngineRefusedError: The server is older than 1.16, or refuses the API key or a request.
        IndexLockedError: A directory of local mode is open elsewhere.
        CorruptIndexError: A directory of local mode has anything else than Qdrant's client writes.

    Example:
        >>> import numpy as np
        >>> from late_interaction import Document
        >>> from late_interaction.engines import QdrantEngine, Record
        >>> engine = QdrantEngine(location=":memory:", dim=2)
        >>> engine.upsert([Record(Document("east", id="e"), np.array([[1.0, 0.0]]))])
        ['e']
        >>> engine.search([[1.0, 0.0]], k=1)[0].score
        1.0
        >>> engine.close()
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        location: str | None = None,
        collection: str = DEFAULT_COLLECTION,
        dim: int | None = None,
        api_key: str | None = None,
        timeout: float = 30.0,
        prefer_grpc: bool | None = None,
        grpc_port: int = GRPC_PORT,
        read_only: bool = False,
        language: str | None = "default",
        candidates: int | None = None,
        quantization: Any = None,
        shard_number: int | None = None,
        replication_factor: int | None = None,
        write_consistency_factor: int | None = None,
        read_consistency: Any = None,
        client: Any = None,
    ) -> None:
        if language != "default":
            check_language(language)
        cluster = {
            "shard_number": shard_number,
            "replication_factor": replication_factor,
            "write_consistency_factor": write_consistency_factor,
        }
        layout(1, quantization)  # raises if it is none
        options = Options(
            language=language,
            candidates=None if candidates is None else check_k(candidates, "candidates"),
            quantization=quantization,
            cluster={name: check_k(number, name) for name, number in cluster.items() if number is not None},
            read_only=read_only,
        )
        settings = ConnectionSettings(
            api_key=api_key,
            timeout=timeout,
            prefer_grpc=prefer_grpc,
            grpc_port=grpc_port,
            read_consistency=read_consistency,
        )
        address = address_of(url, path, location, collection, has_client=client is not None)
        given = {name: getattr(settings, name) for name in _KEPT_SETTINGS} | {"candidates": candidates}
        unset = ConnectionSettings()
        self._again = {name: value for name, value in given.items() if value != getattr(unset, name, None)}
        super().__init__(Connection(address, settings, client), options)
        self._has_client = client is not None
        try:
            self._open(dim)
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def open(
        cls,
        location: str,
        *,
        dim: int | None = None,
        read_only: bool = False,
        bits: int | Literal["default"] | None = "default",
        language: str | None = "default",
        device: str | None = None,
        **settings: Any,
    ) -> QdrantEngine:
        """Open the collection of a location, creating it if ``dim`` is given and there is none.

        Args:
            location: ``qdrant+http://host:6333/collection``, the same with ``https``, or ``qdrant:DIR`` for Qdrant's
                local mode in a directory, with the collection ``documents``: for trying out and for tests, since it is
                exact, slow, and of one process at a time.
            dim: Dimension of the token vectors; may be left out for a collection that exists.
            read_only: Refuse to write.
            bits: Not a setting of Qdrant: leave it out. ``QdrantEngine(…, quantization=…)`` compresses.
            language: As for `QdrantEngine`.
            device: Not a setting of Qdrant: leave it out, or ``cpu``.
            **settings: Other arguments of `QdrantEngine`.

        Raises:
            IndexNotFoundError: There is no collection, and ``dim`` is not given.
            InvalidRequestError: An argument is invalid.
        """
        if bits != "default" or device not in (None, "cpu"):
            name, value = ("bits", bits) if bits != "default" else ("device", device)
            raise InvalidRequestError(
                f"{name}={value!r} is not a setting of Qdrant, whose server compresses and scores vectors. To compress "
                "them there: Index(engine=QdrantEngine(…, quantization=…), encoder=…)."
            )
        address = parse_location(location)
        if address.path is None and not address.is_server:
            settings["location"] = MEMORY
        engine = cls(
            address.url,
            path=address.path,
            collection=address.collection,
            dim=dim,
            read_only=read_only,
            language=language,
            **settings,
        )
        try:
            engine._collection  # noqa: B018  # raises if there is none
        except BaseException:
            engine.close()
            raise
        return engine

    @property
    def path(self) -> Path | None:
        """The directory of local mode; None for a server."""
        return self._connection.address.path

    @property
    def reopening(self) -> tuple[str, dict[str, Any]] | None:
        """Location and settings, without credentials; None for a caller's client and for a collection in memory."""
        location = self._connection.address.location
        return None if self._has_client or location is None else (location, dict(self._again))

    def centroids(self) -> NDArray[np.float32] | None:
        """Return the centroids of the token vectors, (centroids, dim); None until there are enough documents."""
        self._collection  # noqa: B018  # raises if there is none
        centroids = self._stage.current.centroids
        return None if centroids is None else centroids.values

    def adopt_centroids(self, centroids: NDArray[np.float32]) -> None:
        """Use these centroids, (centroids, dim), for candidate generation, unless the collection has some already."""
        self._check_writable()
        self._stage.adopt(Centroids(check_vectors(centroids, self.dim, "Centroids")))

    def compact(self) -> None:
        """Bring candidate generation up to date: train or extend centroids, write sparse vectors that are missing.

        The server merges and indexes by itself.
        """
        self._check_writable()
        self._size.forget()
        if not self._capabilities.exact_search:
            self._stage.refresh()
            self._stage.grow()
        self._stage.fill(outdated=True)

    def verify(self) -> Verification:
        """Check the settings, the centroids, counts, and the documents and vectors of a random sample of 256.

        It does not compare what is on disk with checksums: the server does that, if anyone does.
        """
        self._collection  # noqa: B018  # raises if there is none
        return Verification(tuple(problems_of(self, self._stage)))

    def info(self) -> dict[str, Any]:
        """Return size and settings, as JSON values. ``tokens`` is an estimate in a collection of over 256 documents.

        ``first_stage`` says how candidates of the ten best are found; ``none`` if everything is scored.
        """
        collection, stage = self._collection, self._stage.refresh()
        self._size.forget()
        return {
            "engine": "qdrant",
            "address": self._connection.address.place,
            "collection": self._connection.address.collection,
            "protocol": self._connection.protocol,
            "format_version": FORMAT_VERSION,
            "documents": self._size.documents,
            "tokens": self._size.tokens,
            "truncated_documents": self._count(documents(TRUNCATED_DOCUMENTS)),
            "dim": collection.dim,
            "language": collection.language,
            "quantized": collection.is_quantized,
            "exact_search": self._capabilities.exact_search,
            "centroids": 0 if stage.centroids is None else len(stage.centroids),
            "first_stage": self._first_stage_of(stage),
        }

    def _first_stage_of(self, stage: StageState) -> str:
        if not self._finds_candidates():
            return "none"
        return "means and centroids" if stage.centroids is not None and stage.is_complete else "means"

    def close(self) -> None:
        """Close the client, unless it is the caller's. Closing twice is no error."""
        self._connection.close()

    def __enter__(self) -> QdrantEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._connection.address}, read_only={self.read_only})"
