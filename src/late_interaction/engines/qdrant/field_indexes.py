"""Payload indexes of metadata, made when a field first appears: comparisons and substrings read no payloads then."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from late_interaction.engines.qdrant.filter_fields import (
    FILTER,
    NUMBERS,
    STRINGS,
    VALUES,
    WIDE,
    chunk_name,
    is_plain_name,
)
from late_interaction.errors import LateInteractionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from late_interaction.engines.qdrant.client import Connection

__all__ = ["MAX_FIELDS", "FieldIndexes", "indexes_for"]

MAX_FIELDS = 32
"""The fields that are indexed at most, the first ones: each index takes memory, and metadata can have any keys."""

_TEXTS = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, on_disk=True)

_logger = logging.getLogger(__name__)


class FieldIndexes:
    """Knows which fields of metadata have payload indexes, and makes those that are missing.

    Filters mean the same without them.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: frozenset[str] = frozenset()

    def note(self, stored: Iterable[str]) -> None:
        """Note the keys of the payload that have an index."""
        self._known = frozenset(key for key in stored if key.startswith(_key_of("")))

    def add(self, payloads: Iterable[Mapping[str, Any]]) -> None:
        """Make the indexes for payloads that are about to be written. An error is logged, and not tried again."""
        if self._connection.is_local:  # where indexes have no effect
            return
        wanted = {key: schema for payload in payloads for key, schema in indexes_for(payload[FILTER])}
        for key, schema in wanted.items():
            if key in self._known or not self._has_room(key):
                continue
            self._known = self._known | {key}
            try:
                self._connection.call("create_payload_index", field_name=key, field_schema=schema, wait=False)
            except LateInteractionError as error:
                _logger.warning("Filters by order and by substrings of %s are slow: %s", key, error)

    def _has_room(self, key: str) -> bool:
        fields = {_field_of(known) for known in self._known}
        return len(fields | {_field_of(key)}) <= MAX_FIELDS


def indexes_for(stored: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield key and schema of the indexes for what `filter_fields` returned."""
    for name, kinds in stored.get(VALUES, {}).items():
        if not is_plain_name(name):
            continue
        if NUMBERS in kinds:
            yield _key_of(f"{name}.{NUMBERS}"), models.PayloadSchemaType.FLOAT
        for kind in (WIDE, STRINGS):
            if kind in kinds:
                yield _key_of(f"{name}.{kind}[].{chunk_name(0)}"), models.PayloadSchemaType.INTEGER
        if STRINGS in kinds:
            yield _key_of(f"{name}.{STRINGS}[].text"), _TEXTS


def _key_of(rest: str) -> str:
    return f"{FILTER}.{VALUES}.{rest}"


def _field_of(key: str) -> str:
    return key.split(".")[2]
