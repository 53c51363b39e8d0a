"""Add documents to an engine: each once, encoded in bounded windows, in one upsert."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from tqdm import tqdm

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError
from late_interaction.retrieval.encoding import encode_documents
from late_interaction.retrieval.identity import unique_documents
from late_interaction.retrieval.truncation import Truncation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.encoders.protocol import Encoder
    from late_interaction.engines.base import Engine
    from late_interaction.filters import Where

__all__ = ["add_documents"]


def add_documents(
    engine: Engine,
    encoder: Encoder,
    documents: Iterable[Document | str],
    *,
    replacing: Where | None = None,
    truncate: bool = True,
    progress: bool = False,
) -> list[str]:
    """Encode documents and add them; return their ids, in order. See `Index.add`."""
    if isinstance(documents, (str, Document)):
        raise InvalidDocumentError("add takes a list of documents: pass `[document]`.")
    truncation = Truncation(allowed=truncate)
    if replacing is not None:
        engine.check_filter(replacing)
    ids: list[str] = []
    unique: Iterable[Document] = unique_documents(documents, ids)
    total = None
    if isinstance(documents, (list, tuple)):  # find a bad document before the encoder goes to work
        unique = list(unique)
        total = len(unique)
        if not truncate:  # all of them, not only those that are encoded together
            truncation.documents(encoder, [document for document in unique if document.image is None])
    # A bar that is not shown is not made: it would take a lock that all processes forked from this one share.
    with tqdm(total=total, desc="Indexing", unit=" documents") if progress else nullcontext() as bar:
        report = None if bar is None else bar.update
        records = encode_documents(encoder, unique, report, truncation=truncation)
        engine.upsert(truncation.warned(records), replacing=replacing)
    return ids
