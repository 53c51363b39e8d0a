"""The layout of a collection: its vectors, its payload, and what is indexed."""

from __future__ import annotations

import reprlib
import uuid
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from qdrant_client import models

from late_interaction.engines.qdrant.filters import PAYLOAD_INDEXES
from late_interaction.engines.remote.payload import ORDER, ROOT, TRUNCATED, VERSION
from late_interaction.errors import InvalidRequestError, InvalidVectorsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from late_interaction.engines.qdrant.addresses import Address

__all__ = [
    *(
        "CENTROIDS",
        "CODEBOOK",
        "CODEBOOK_PART",
        "DOCUMENT",
        "FORMAT_VERSION",
        "IS_DOCUMENT",
        "KIND",
        "MEAN",
        "SETTING",
        "TOKENS",
        "TOKEN_COUNT",
    ),
    "TRUNCATED_DOCUMENTS",
    *(
        "WORDS",
        "check_dim",
        "check_layout",
        "documents",
        "foreign",
        "is_quantized",
        "layout",
        "payload_indexes",
        "point_id",
    ),
]

FORMAT_VERSION = 1

TOKENS, MEAN, CENTROIDS, WORDS = "tokens", "mean", "centroids", "words"
"""The vectors: all token vectors, their mean, and sparse vectors of centroids and of words."""

KIND = "kind"
"""In the payload of every point: ``document``, ``setting`` or ``codebook``."""
DOCUMENT, SETTING, CODEBOOK_PART = "document", "setting", "codebook"
TOKEN_COUNT = "token_count"  # noqa: S105  # not a password
"""In the payload of a document: the number of its token vectors."""
CODEBOOK = "codebook"
"""In the payload of a document: the name of the centroids that its sparse vector refers to."""

_MAX_DIM = 65_536
_NAMESPACE = uuid.UUID("5a0c6a3e-3f0b-5c55-9d0e-6b7d2f1f8c21")
"""Of the ids of points, which are made from the ids of documents: Qdrant takes nothing but UUIDs and integers."""

_ALLOW_UNINDEXED_FILTERS = models.StrictModeConfig(unindexed_filtering_retrieve=True, unindexed_filtering_update=True)
"""Without it, a server whose new collections are in strict mode, as in Qdrant Cloud, refuses filters by order and by
substrings: they are about fields without an index. All other restrictions stay as the server has them."""

IS_DOCUMENT = models.FieldCondition(key=KIND, match=models.MatchValue(value=DOCUMENT))
TRUNCATED_DOCUMENTS = models.FieldCondition(key=TRUNCATED, match=models.MatchValue(value=True))


def point_id(kind: str, name: str) -> str:
    """Return the id of the point of a document, a setting or a part of a codebook."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{name}"))


def documents(*conditions: models.Condition | None) -> models.Filter:
    """Return a filter that only documents pass, which pass all these conditions."""
    return models.Filter(must=[IS_DOCUMENT, *(one for one in conditions if one is not None)])


def check_dim(dim: object) -> int:
    """Return the dimension of a new collection.

    Raises:
        InvalidVectorsError: Qdrant has no vectors of this dimension.
    """
    if type(dim) is not int or not 1 <= dim <= _MAX_DIM:
        raise InvalidVectorsError(f"dim must be an integer from 1 to {_MAX_DIM}, got {dim!r}.")
    return dim


def layout(dim: int, quantization: Any) -> dict[str, Any]:
    """Return the arguments of `create_collection`.

    Token vectors have no graph: they only score candidates, and are scanned where a search is exact.

    Args:
        dim: Dimension of the token vectors.
        quantization: The quantization of token vectors, of `qdrant_client.models`; None for none.

    Raises:
        InvalidRequestError: It is no quantization.
    """
    try:
        tokens = models.VectorParams(
            size=dim,
            distance=models.Distance.DOT,
            datatype=models.Datatype.FLOAT16,
            on_disk=True,
            hnsw_config=models.HnswConfigDiff(m=0),
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            quantization_config=quantization,
        )
    except ValidationError:
        raise InvalidRequestError(
            "quantization must be None or one of qdrant_client.models, such as ScalarQuantization, got "
            f"{reprlib.repr(quantization)}."
        ) from None
    return {
        "vectors_config": {TOKENS: tokens, MEAN: models.VectorParams(size=dim, distance=models.Distance.DOT)},
        "sparse_vectors_config": {
            CENTROIDS: models.SparseVectorParams(),
            WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF),
        },
        "strict_mode_config": _ALLOW_UNINDEXED_FILTERS,
    }


def payload_indexes() -> dict[str, Any]:
    """Return the schema of each field of the payload that is indexed.

    Every condition of this package but order and substrings of metadata is about these. For those, writing adds
    `late_interaction.engines.qdrant.field_indexes`.
    """
    keyword = models.PayloadSchemaType.KEYWORD
    integer = models.PayloadSchemaType.INTEGER
    own = {KIND: keyword, CODEBOOK: keyword, VERSION: keyword, ORDER: integer, TOKEN_COUNT: integer, ROOT: integer}
    return {**PAYLOAD_INDEXES, **own, TRUNCATED: models.PayloadSchemaType.BOOL}


def check_layout(info: models.CollectionInfo, address: Address) -> int:
    """Return the dimension of the token vectors of a collection.

    Raises:
        InvalidRequestError: It has not the layout of `layout`.
    """
    dense, sparse = _dense(info), info.config.params.sparse_vectors or {}
    tokens = dense.get(TOKENS)
    if (
        tokens is None
        or tokens.multivector_config is None
        or tokens.distance != models.Distance.DOT
        or MEAN not in dense
        or dense[MEAN].size != tokens.size
        or not sparse.keys() >= {CENTROIDS, WORDS}
    ):
        raise InvalidRequestError(foreign(address))
    return tokens.size


def foreign(address: Address) -> str:
    """Return the message of the error for a collection of another program."""
    return (
        f"The collection {address} exists, and late-interaction did not create it. Nothing was written. Name another "
        "collection, or delete this one if it is not needed."
    )


def is_quantized(info: models.CollectionInfo) -> bool:
    """Return whether token vectors are also kept quantized."""
    tokens = _dense(info)[TOKENS]
    return tokens.quantization_config is not None or info.config.quantization_config is not None


def _dense(info: models.CollectionInfo) -> Mapping[str, models.VectorParams]:
    vectors = info.config.params.vectors
    return vectors if isinstance(vectors, dict) else {}
