"""Settings of an index: JSON values and bytes by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from late_interaction.engines.lancedb.schema import SETTINGS, settings_schema
from late_interaction.engines.lancedb.sql import quoted
from late_interaction.errors import CorruptIndexError

if TYPE_CHECKING:
    from late_interaction.engines.lancedb.database import Database

__all__ = ["CODEBOOK", "ENCODER", "ROOTS", "Settings"]

CODEBOOK, ENCODER, ROOTS = "codebook", "encoder", "roots"


class Settings:
    """Reads and writes the settings of an index.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def version(self) -> int:
        """Changes when a setting does."""
        return int(self._database.call(self._database.table(SETTINGS).version))

    def read(self, name: str) -> dict[str, Any] | None:
        """Return an object of JSON, or None.

        Raises:
            CorruptIndexError: It is not an object of JSON.
        """
        row = self._row(name, "value")
        if row is None:
            return None
        try:
            value = json.loads(row["value"])
        except (TypeError, ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise CorruptIndexError(
                f"The setting {name!r} of {self._database.address} is damaged. Restore the index from a copy."
            )
        return value

    def data(self, name: str) -> bytes | None:
        """Return bytes, or None."""
        row = self._row(name, "data")
        return None if row is None else row["data"]

    def write(self, name: str, value: dict[str, Any] | None, data: bytes | None = None) -> None:
        """Store a value, in the place of the stored one."""
        self._merge(name, value, data, replace=True)

    def write_once(self, name: str, value: dict[str, Any] | None, data: bytes | None = None) -> None:
        """Store a value, unless one is stored."""
        self._merge(name, value, data, replace=False)

    def _row(self, name: str, column: str) -> dict[str, Any] | None:
        table = self._database.table(SETTINGS)
        request = table.query().where(f"name = {quoted(name)}").select([column])
        rows = self._database.call(request.to_arrow).to_pylist()
        return rows[0] if rows else None

    def _merge(self, name: str, value: dict[str, Any] | None, data: bytes | None, *, replace: bool) -> None:
        table = self._database.table(SETTINGS)
        text = None if value is None else json.dumps(value)
        schema = settings_schema(self._database.format)
        row = pa.Table.from_pylist([{"name": name, "value": text, "data": data}], schema=schema)
        merge = table.merge_insert("name").use_index(False).when_not_matched_insert_all()
        if replace:
            merge = merge.when_matched_update_all()
        self._database.retrying(lambda: merge.execute(row))
