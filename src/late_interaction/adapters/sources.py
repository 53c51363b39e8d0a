"""Documents that are parts of a source document, whose id one field of their metadata names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.documents import Document
    from late_interaction.index import Index

__all__ = ["delete_source", "replace_sources"]

_MAX_SOURCES_OF_A_COMMIT = 5_000  # half of the operands that a filter may have


def replace_sources(
    index: Index, field: str, sources: Iterable[str], documents: Iterable[Document], *, progress: bool = False
) -> None:
    """Add documents, and delete all others of some source documents in the commit that adds theirs.

    One commit replaces as many sources as a filter can name, so nearly always all of them. Documents of other sources
    are added with the last.

    Args:
        index: The index.
        field: The metadata field with the id of the source document.
        sources: Ids of the source documents to replace.
        documents: The documents to add.
        progress: Show a progress bar.
    """
    names = list(dict.fromkeys(sources))
    size = _MAX_SOURCES_OF_A_COMMIT
    groups = [names[start : start + size] for start in range(0, len(names), size)]
    if not groups:
        index.add(documents, progress=progress)
        return
    group_of = {name: number for number, group in enumerate(groups) for name in group}
    parts: list[list[Document]] = [[] for _ in groups]
    for document in documents:
        parts[group_of.get(str(document.metadata.get(field)), -1)].append(document)
    for group, part in zip(groups, parts, strict=True):
        index.add(part, replacing={field: {"$in": group}}, progress=progress)


def delete_source(index: Index, field: str, source: str) -> int:
    """Delete the documents of a source document and return how many there were.

    A document that was added whole, and so names no source, is its own.

    Raises:
        InvalidRequestError: ``source`` is not a string.
    """
    if not isinstance(source, str):  # None would stand for the documents that have no source document
        raise InvalidRequestError(f"{field} must be a string, got {source!r}.")
    deleted = index.delete(where={field: source})
    if source in index and field not in index.get([source])[0].metadata:
        deleted += index.delete([source])
    return deleted
