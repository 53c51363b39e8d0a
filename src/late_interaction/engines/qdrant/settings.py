"""The settings of a collection: JSON values by name, in points without vectors, so that every copy of it has them."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from late_interaction.engines.qdrant.schema import KIND, SETTING, point_id
from late_interaction.engines.remote.payload import VERSION
from late_interaction.errors import CorruptIndexError, IndexReplacedError

if TYPE_CHECKING:
    from late_interaction.engines.qdrant.client import Connection

__all__ = ["ENCODER", "FIRST_STAGE", "FORMAT", "ROOTS", "Settings"]

FORMAT, ENCODER, ROOTS, FIRST_STAGE = "format", "encoder", "roots", "first_stage"

_NAME, _VALUE = "name", "value"
_IDENTITY = "identity"
"""In the setting `FORMAT`: differs for each collection that is created, whatever its name."""


class Settings:
    """Reads and writes the settings of a collection. Each is an object of JSON."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._identity: str | None = None

    def open(self) -> dict[str, Any] | None:
        """Return the value of `FORMAT`, or None; from now on, it must be the same collection whenever one is read."""
        value = self.read(FORMAT)
        if value is not None:
            self._identity = value.get(_IDENTITY)
        return value

    def create(self, value: dict[str, Any]) -> None:
        """Store the value of `FORMAT` of a new collection, unless another writer has stored one."""
        self.write_once(FORMAT, {**value, _IDENTITY: uuid.uuid4().hex})

    def read(self, name: str) -> dict[str, Any] | None:
        """Return the value of a setting, or None.

        Raises:
            CorruptIndexError: It is not an object of JSON.
            IndexReplacedError: It is that of another collection than was opened.
        """
        ids = {one: point_id(SETTING, one) for one in (FORMAT, name)}
        found = self._connection.call("retrieve", ids=[*ids.values()], with_payload=True, with_vectors=False)
        points = {str(point.id): point for point in found}
        if self._identity is not None:
            value = self._value_of(FORMAT, points.get(ids[FORMAT]))
            if (value or {}).get(_IDENTITY) != self._identity:
                raise IndexReplacedError(
                    f"The collection {self._connection.address} was deleted and created again after it was opened. "
                    "Open it again."
                )
        return self._value_of(name, points.get(ids[name]))

    def _value_of(self, name: str, point: models.Record | None) -> dict[str, Any] | None:
        if point is None:
            return None
        try:
            value = json.loads((point.payload or {})[_VALUE])
        except (KeyError, TypeError, ValueError):
            value = None
        if not isinstance(value, dict):
            raise CorruptIndexError(
                f"The setting {name!r} of the collection {self._connection.address} is damaged. Restore the collection "
                "from a snapshot."
            )
        return value

    def write(self, name: str, value: dict[str, Any]) -> None:
        """Store a value, in the place of the stored one."""
        self._connection.call("upsert", points=[_point(name, value)], wait=True)

    def replace(self, name: str, before: dict[str, Any], value: dict[str, Any]) -> bool:
        """Store a value if the stored one is still ``before``; return whether it is the stored one then.

        Servers before 1.16 ignore the condition. There, of two writers at the same time the last one wins.
        """
        same = models.FieldCondition(key=VERSION, match=models.MatchValue(value=_version_of(json.dumps(before))))
        self._connection.call(
            "upsert", points=[_point(name, value)], wait=True, update_filter=models.Filter(must=[same])
        )
        return self.read(name) == value

    def write_once(self, name: str, value: dict[str, Any]) -> dict[str, Any]:
        """Store a value unless one is stored, and return the one that is stored then.

        Servers before 1.17 ignore the mode of the update. There, of two writers at the same time the last one wins,
        but both see it unless one reads before the other writes.
        """
        stored = self.read(name)
        if stored is None:
            points = [_point(name, value)]
            self._connection.call("upsert", points=points, wait=True, update_mode=models.UpdateMode.INSERT_ONLY)
            stored = self.read(name)
        return value if stored is None else stored


def _point(name: str, value: dict[str, Any]) -> models.PointStruct:
    # As text: a server could return numbers of an object changed.
    text = json.dumps(value)
    payload = {KIND: SETTING, _NAME: name, _VALUE: text, VERSION: _version_of(text)}
    return models.PointStruct(id=point_id(SETTING, name), vector={}, payload=payload)


def _version_of(text: str) -> str:
    """Return what tells a value from others, under a key that has an index: a condition needs one in strict mode."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
