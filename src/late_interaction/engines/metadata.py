"""Change the metadata of stored documents by reading and replacing them: for engines that cannot do better."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from late_interaction.validation import check_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from late_interaction.engines.base import Engine
    from late_interaction.engines.records import Record

__all__ = ["with_metadata"]

_READ_TOGETHER = 64  # documents, with their vectors


def with_metadata(engine: Engine, ids: Iterable[str], metadata: Mapping[str, Any]) -> Iterator[Record]:
    """Yield the records of these documents with these keys in their metadata; unknown ids are left out."""
    remaining = iter(dict.fromkeys(check_ids(ids)))
    while chunk := list(islice(remaining, _READ_TOGETHER)):
        for record in engine.records(chunk).values():
            yield replace(record, document=record.document.with_metadata(metadata))
