"""Documents that are written again and keep the stored token vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.engines.lancedb.rows import FRESH, new_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from late_interaction.documents import Document
    from late_interaction.engines.lancedb.snapshot import Snapshot

__all__ = ["IS_CURRENT", "VECTOR_COLUMNS", "Kept", "blob_keys", "kept_rows", "not_kept"]

IS_CURRENT = f"source.previous = {FRESH} OR source.previous = target.version"
"""A row with new vectors replaces any other, one that keeps the stored vectors only the one that has them."""

VECTOR_COLUMNS = ("key", "truncated", "tokens", "mean", "centroids", "codebook")
"""The columns that follow from what is encoded."""


def blob_keys(rows: Iterable[Mapping[str, Any]]) -> set[int]:
    """Return the keys of the token vectors and thumbnails of rows of documents."""
    return {row[name] for row in rows for name in ("key", "picture") if row[name] is not None}


class Kept(NamedTuple):
    """A document that keeps the stored vectors, and its columns but for `VECTOR_COLUMNS`, order and version."""

    document: Document
    columns: dict[str, Any]


def kept_rows(snapshot: Snapshot, kept: Mapping[int, Kept]) -> tuple[dict[int, dict[str, Any]], list[int]]:
    """Return the rows of documents that keep the stored vectors, and the numbers of those that cannot.

    Args:
        snapshot: What is stored.
        kept: The documents by their number in the upsert.
    """
    if not kept:
        return {}, []
    ids = [one.document.id for one in kept.values()]
    stored = snapshot.find(ids, (*VECTOR_COLUMNS, "content", "version"))
    rows: dict[int, dict[str, Any]] = {}
    for number, (document, columns) in kept.items():
        row = stored.get(document.id)
        if row is not None and row["content"] == columns["content"]:
            rows[number] = {
                **columns,
                **{name: row[name] for name in VECTOR_COLUMNS},
                "version": new_version(),
                "previous": row["version"],
            }
    return rows, [number for number in kept if number not in rows]


def not_kept(before: Snapshot, rows: Mapping[int, Mapping[str, Any]]) -> list[int]:
    """Return the numbers of rows whose stored vectors had gone before they were written.

    Args:
        before: What was stored immediately before.
        rows: The rows that keep stored vectors, by number.
    """
    stored = before.find([row["id"] for row in rows.values()], ("version",)) if rows else {}
    versions = {key: row["version"] for key, row in stored.items()}
    return [number for number, row in rows.items() if versions.get(row["id"]) != row["previous"]]
