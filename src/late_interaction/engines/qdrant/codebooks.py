"""Centroids stored in the collection itself: in parts, as points without vectors."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from qdrant_client import models

from late_interaction.engines.first_stage import Centroids
from late_interaction.engines.qdrant.schema import CODEBOOK_PART, KIND, point_id
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from late_interaction.engines.qdrant.client import Connection

__all__ = ["delete_codebook", "load_codebook", "parts_of", "store_codebook"]

_PART_BYTES = 2**20
_NAME, _PART, _DATA = "name", "part", "data"


def parts_of(centroids: Centroids) -> int:
    """Return in how many parts centroids are stored."""
    return -(-len(centroids.to_bytes()) // _PART_BYTES)


def store_codebook(connection: Connection, centroids: Centroids) -> None:
    """Store centroids. They are durable when this returns."""
    data = centroids.to_bytes()
    for part in range(parts_of(centroids)):
        piece = data[part * _PART_BYTES : (part + 1) * _PART_BYTES]
        payload = {KIND: CODEBOOK_PART, _NAME: centroids.name, _PART: part, _DATA: base64.b64encode(piece).decode()}
        point = models.PointStruct(id=_part_id(centroids.name, part), vector={}, payload=payload)
        connection.call("upsert", points=[point], wait=True)


def load_codebook(connection: Connection, name: str, parts: int) -> Centroids | None:
    """Return the centroids of this name; None if a part is missing, because others have replaced them.

    Raises:
        CorruptIndexError: They are damaged.
    """
    data = b""
    for part in range(parts):
        found = connection.call("retrieve", ids=[_part_id(name, part)], with_payload=[_DATA], with_vectors=False)
        if not found:
            return None
        try:
            data += base64.b64decode((found[0].payload or {})[_DATA], validate=True)
        except (KeyError, TypeError, binascii.Error):
            raise CorruptIndexError(
                f"The stored centroids of the collection {connection.address} are damaged. Restore the collection "
                "from a snapshot."
            ) from None
    return Centroids.from_bytes(data)


def delete_codebook(connection: Connection, name: str, parts: int) -> None:
    """Delete the centroids of this name."""
    ids = [_part_id(name, part) for part in range(parts)]
    connection.call("delete", points_selector=models.PointIdsList(points=[*ids]), wait=True)


def _part_id(name: str, part: int) -> str:
    return point_id(CODEBOOK_PART, f"{name}/{part}")
