"""Add documents to an engine: each once, in one upsert, with vectors of the caller, stored ones or encoded ones."""

from __future__ import annotations

from collections.abc import Sized
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar

from late_interaction.documents import Document
from late_interaction.engines.records import Record
from late_interaction.errors import InvalidDocumentError, InvalidVectorsError
from late_interaction.retrieval.encoding import encode_documents
from late_interaction.retrieval.identity import unique_documents, unique_pairs
from late_interaction.retrieval.truncation import Truncation
from late_interaction.validation import check_given_vectors, is_invisible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import ArrayLike

    from late_interaction.encoders.protocol import Encoder
    from late_interaction.engines.base import Engine
    from late_interaction.filters import Where

__all__ = ["add_documents"]

_WINDOW_DOCUMENTS = 128  # looked up in the index together

_Kept = TypeVar("_Kept", Document, Record)


def add_documents(
    engine: Engine,
    load_encoder: Callable[[], Encoder],
    documents: Iterable[Document | str],
    *,
    has_encoder: bool,
    vectors: Iterable[ArrayLike] | None = None,
    replacing: Where | None = None,
    truncate: bool = True,
    progress: bool = False,
) -> list[str]:
    """Add documents and return their ids, in order. See `Index.add`.

    Args:
        engine: The engine.
        load_encoder: Returns the encoder; called when there is something to encode.
        documents: The documents.
        has_encoder: Whether there is an encoder, by which a blank text has no vectors, whatever is stored.
        vectors: The token vectors of each; None for the stored ones of documents of which nothing that is encoded has
            changed, and encoded ones of the others.
        replacing: Delete the stored documents that pass this filter in the same commit.
        truncate: Truncate texts that are longer than the encoder reads; else they are an error.
        progress: Show a progress bar.
    """
    if isinstance(documents, (str, Document)):
        raise InvalidDocumentError("add takes a list of documents: pass `[document]`.")
    truncation = Truncation(allowed=truncate)
    if replacing is not None:
        engine.check_filter(replacing)
    ids: list[str] = []
    total = len(documents) if isinstance(documents, (list, tuple)) else None
    # A bar that is not shown is not made: it would take a lock that all processes forked from this one share.
    with _bar(total) if progress else nullcontext() as bar:
        report = _ignore if bar is None else bar.update
        if vectors is not None:
            pairs = unique_pairs(_pairs(documents, vectors), ids)
            engine.upsert(_given(engine.dim, pairs, report), replacing=replacing)
            return ids
        unique: Iterable[Document] = unique_documents(documents, ids)
        if total is not None:  # find a bad document before the encoder goes to work
            unique = list(unique)
            if not truncate:  # all of them, not only those that are encoded together
                truncation.documents(load_encoder(), [document for document in unique if document.image is None])
        encode = partial(_encode, load_encoder, truncation)
        if engine.capabilities.keeps_vectors:
            find_kept = partial(_alike, engine, but_blank=has_encoder)
            keeping = truncation.warned(_encoded(find_kept, encode, unique, report))
            engine.upsert_keeping(keeping, encode, replacing=replacing)
            return ids
        find_stored = partial(_stored_records, engine, but_blank=has_encoder)
        records = truncation.warned(_encoded(find_stored, encode, unique, report))
        if not engine.capabilities.atomic_upsert:  # an encoder that is missing is an error before anything is written
            records = chain(list(islice(records, 1)), records)
        engine.upsert(records, replacing=replacing)
    return ids


def _bar(total: int | None) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, desc="Indexing", unit=" documents")


def _encode(
    load_encoder: Callable[[], Encoder],
    truncation: Truncation,
    documents: list[Document],
    report: Callable[[int], object] | None = None,
) -> Iterator[Record]:
    return encode_documents(load_encoder(), documents, report, truncation=truncation)


def _given(dim: int, pairs: Iterable[tuple[Document, Any]], report: Callable[[int], object]) -> Iterator[Record]:
    """Yield the records of documents with vectors of the caller."""
    for document, vectors in pairs:
        yield Record(document, check_given_vectors(vectors, dim, f"Vectors of {document.id!r}"))
        report(1)


def _pairs(documents: Iterable[Any], vectors: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield each document with its vectors.

    Raises:
        InvalidVectorsError: There are more of one than of the other; before the first pair, if both have a length.
    """
    if isinstance(vectors, (str, bytes)) or not hasattr(vectors, "__iter__"):
        raise InvalidVectorsError(f"vectors must be a list of arrays, one for each document, got {vectors!r:.80}.")
    if isinstance(documents, Sized) and isinstance(vectors, Sized) and len(documents) != len(vectors):
        raise _other_count(str(len(documents)), str(len(vectors)), vectors)
    remaining_documents, remaining_vectors = iter(documents), iter(vectors)
    end = object()
    count = 0
    while True:
        document, array = next(remaining_documents, end), next(remaining_vectors, end)
        if document is end and array is end:
            return
        if document is end:
            raise _other_count(str(count), f"at least {count + 1}", vectors)
        if array is end:
            raise _other_count(f"at least {count + 1}", str(count), vectors)
        yield document, array
        count += 1


def _other_count(documents: str, arrays: str, vectors: Any) -> InvalidVectorsError:
    hint = " For one document, pass its array in a list: vectors=[array]." if getattr(vectors, "ndim", 3) == 2 else ""
    return InvalidVectorsError(
        f"vectors must have one array for each document, got {documents} documents and {arrays} arrays.{hint} "
        "Nothing was added."
    )


def _encoded(
    find_kept: Callable[[list[Document]], Mapping[str, _Kept]],
    encode: Callable[[list[Document], Callable[[int], object]], Iterator[Record]],
    documents: Iterable[Document],
    report: Callable[[int], object],
) -> Iterator[Record | _Kept]:
    """Yield the records of documents, in order: what is kept of those that are stored alike, the others encoded.

    Args:
        find_kept: Returns, by id, what to yield for those documents whose stored vectors are valid.
        encode: Yields the records of documents that must be encoded, and reports their number.
        documents: The documents.
        report: Called with the number of documents since the last call.
    """
    remaining = iter(documents)
    while window := list(islice(remaining, _WINDOW_DOCUMENTS)):
        kept = find_kept(window)
        if kept:
            report(len(kept))
        changed = [document for document in window if document.id not in kept]
        encoded = encode(changed, report) if changed else iter(())
        for document in window:
            yield kept[document.id] if document.id in kept else next(encoded)
        next(encoded, None)  # reports the last documents


def _alike(engine: Engine, documents: list[Document], *, but_blank: bool) -> dict[str, Document]:
    """Return those documents, by id, of which the engine holds vectors that are valid: of the same text or page.

    Args:
        engine: The engine.
        documents: The documents.
        but_blank: Leave out blank texts: those of earlier releases, or of the caller, have vectors.
    """
    if but_blank:
        documents = [one for one in documents if one.image is not None or not is_invisible(one.text_to_encode)]
    stored = {document.id: document for document in engine.get([document.id for document in documents])}
    return {
        document.id: document
        for document in documents
        if document.id in stored and document.encoded_content == stored[document.id].encoded_content
    }


def _stored_records(engine: Engine, documents: list[Document], *, but_blank: bool) -> dict[str, Record]:
    """Return those documents with the vectors that the engine holds of them; none if it cannot return vectors."""
    if not engine.capabilities.vectors or not (alike := _alike(engine, documents, but_blank=but_blank)):
        return {}
    return {
        stored.document.id: replace(stored, document=alike[stored.document.id], root=None)
        for stored in engine.records(list(alike)).values()  # read again: others may have replaced one meanwhile
        if stored.document.encoded_content == alike[stored.document.id].encoded_content
    }


def _ignore(count: int) -> None:
    del count
