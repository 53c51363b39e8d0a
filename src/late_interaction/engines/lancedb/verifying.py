"""Check everything stored: documents, token vectors and thumbnails, with their checksums and with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.lancedb.rows import DOCUMENT_COLUMNS, blob_checksum, parsed_document
from late_interaction.engines.remote.filter_keys import document_keys
from late_interaction.errors import LateInteractionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from late_interaction.engines.lancedb.codebooks import Codebooks
    from late_interaction.engines.lancedb.snapshot import Snapshot

__all__ = ["problems_of"]

_CHECKED_TOGETHER = 256
_MAX_NAMED = 20


def problems_of(snapshot: Snapshot, codebooks: Codebooks, dim: int) -> tuple[str, ...]:
    """Return one sentence for each problem, of many only the first."""
    problems: list[str] = []
    for problem in _problems(snapshot, codebooks, dim):
        problems.append(problem)
        if len(problems) == _MAX_NAMED:
            break
    return tuple(problems)


def _problems(snapshot: Snapshot, codebooks: Codebooks, dim: int) -> Iterator[str]:
    try:
        centroids = codebooks.last()
    except LateInteractionError as error:
        yield str(error)
        centroids = None
    known = 0 if centroids is None else len(centroids)
    tokens: dict[int, int] = {}
    seen: set[str] = set()
    try:
        for first in range(0, len(snapshot.rows), _CHECKED_TOGETHER):
            positions = np.arange(first, min(first + _CHECKED_TOGETHER, len(snapshot.rows)))
            table = snapshot.take(positions, [*DOCUMENT_COLUMNS, "keys", "key", "tokens", "centroids", "codebook"])
            for row in table.to_pylist():
                tokens[row["key"]] = row["tokens"]
                if row["id"] in seen:
                    yield f"The document {row['id']!r:.200} is stored twice."
                seen.add(row["id"])
                document = parsed_document(row, None)
                if sorted(row["keys"]) != sorted(document_keys(document.metadata)):
                    yield f"Filters would not find the metadata of the document {row['id']!r:.200}."
                if row["codebook"] > known or max(row["centroids"] or [0]) >= max(known, 1):
                    yield f"The document {row['id']!r:.200} has centroids that the codebook does not have."
        for missing in snapshot.missing_keys(np.fromiter(tokens, np.int64)).tolist():
            yield f"The token vectors with the key {missing} are missing."
        yield from _problems_of_blobs(snapshot, tokens, dim)
    except LateInteractionError as error:
        yield str(error)


def _problems_of_blobs(snapshot: Snapshot, tokens: dict[int, int], dim: int) -> Iterator[str]:
    for batch in snapshot.blob_batches():
        for key, column, thumbnail, checksum in zip(
            *(batch[name] for name in ("key", "tokens", "thumbnail", "checksum")), strict=True
        ):
            values = column.values
            vectors = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim) if values is not None else None
            stored = np.empty((0, dim), np.float16) if vectors is None else vectors
            name = key.as_py()
            if blob_checksum(stored, thumbnail.as_py()) != checksum.as_py():
                yield f"The token vectors or the thumbnail with the key {name} do not match their checksum."
            elif name in tokens and len(stored) != tokens[name]:
                yield f"There are {len(stored)} token vectors with the key {name}, and not {tokens[name]}."
