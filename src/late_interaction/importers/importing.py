"""`import_index`: make an index of what another tool has indexed, without encoding again."""

from __future__ import annotations

import os
import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tqdm import tqdm

from late_interaction.errors import IndexNotFoundError, InvalidRequestError
from late_interaction.importers.copying import check_target, copy_documents
from late_interaction.importers.encoder_check import checked_agreement
from late_interaction.importers.foreign import SourceOptions
from late_interaction.importers.formats import recognized
from late_interaction.importers.given_documents import document_reader
from late_interaction.importers.report import ImportReport
from late_interaction.importers.sampling import sampled
from late_interaction.importers.verification import ExactScores, measured_loss, recall
from late_interaction.index import Index
from late_interaction.index_encoder import as_encoder, reduced
from late_interaction.validation import check_count
from late_interaction.wording import shown_location

if TYPE_CHECKING:
    from late_interaction.encoders import Encoder
    from late_interaction.engines import Engine
    from late_interaction.importers.copying import Copied
    from late_interaction.importers.foreign import ForeignIndex
    from late_interaction.importers.given_documents import GivenSource

__all__ = ["import_index"]

_MIN_ENCODED = 8  # documents to check an encoder with, if none are needed to verify


def import_index(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    documents: GivenSource | None = None,
    encoder: Encoder | str | os.PathLike[str] | None = None,
    bits: int | Literal["default"] | None = "default",
    verify: int = 100,
    progress: bool = False,
) -> ImportReport:
    """Make an index of a foreign index or of a folder of token vectors, without encoding again.

    The kind of the source is recognized by its files: an index of colbert-ai, RAGatouille, fast-plaid, PyLate,
    xtr-warp-rs or byaldi, or a folder of vectors (see `late_interaction.importers.vectors`). Vectors are decompressed,
    and compressed as this package does. The source is only read, nothing in it is trusted, and memory is bounded.

    **Resumable.** Documents are committed in batches. The same call again goes on where an import was interrupted, and
    an index of anything else is refused: its first documents are compared with the source's, text and vectors.

    **What carries over.** Documents, ids and metadata, as far as the source keeps them. Where it keeps no texts, pass
    ``documents``. The report says what is lost, and measures what compression changes.

    Args:
        source: The folder.
        path: The directory of the index, or its address; created if there is none.
        documents: The documents in the order in which they were added to the source: the path of a JSONL file, or of a
            TSV file with id, text and title; or documents or strings. Those without an id of their own get the number
            of their place, from 0.
        encoder: The encoder that made the vectors, as for `Index.open`, which the index is to remember. If the source
            has texts or page images, some are encoded and compared with the source's vectors first.
        bits: For a new index, as for `Index.open`.
        verify: How many documents to take as queries to measure the loss at the end; fewer if the source is large, or
            has fewer. 0 for none.
        progress: Show a progress bar.

    Raises:
        InvalidRequestError: The source is of no known kind, there are more or fewer documents than in the source, or
            the index holds other documents.
        CorruptIndexError: A file of the source is missing, damaged, or contradicts another one. What was committed
            before stays.
        IncompatibleEncoderError: The encoder did not make the vectors, or the index was built with another one.
        DuplicateIdError: Two documents have the same id.

    Example:
        >>> import numpy as np
        >>> folder = tmp / "vectors"
        >>> folder.mkdir()
        >>> np.save(folder / "a.npy", np.eye(2, 4, dtype=np.float32))
        >>> report = import_index(folder, tmp / "imported")
        >>> report.format, report.documents, report.tokens, report.recall
        ('vectors', 1, 2, 1.0)
    """
    began = time.monotonic()
    verify = check_count(verify, "verify")
    folder = _folder(source, path)
    kind = recognized(folder)
    foreign = kind.open(folder, SourceOptions(document_reader(documents)))
    _check_existing(foreign, path)
    sample = sampled(foreign, max(verify, 0 if encoder is None else _MIN_ENCODED))
    agreement = None
    if encoder is not None:
        encoder = reduced(as_encoder(encoder), None, foreign.dim)
        agreement = checked_agreement(foreign, encoder, sample.readable)
    queries = list(sample.vectors.values()) if verify else []
    with closing(Index.open(path, encoder=encoder, bits=bits, dim=foreign.dim)) as index:
        scores = ExactScores(queries)
        copied = _copied(foreign, index.engine, scores, progress=progress)
        others = max(0, index.engine.count() - foreign.documents)
        loss = measured_loss(index.engine, sample.vectors) if verify else None
        is_measured = bool(queries) and not others
        return ImportReport(
            format=kind.name,
            documents=foreign.documents,
            tokens=foreign.tokens,
            dim=foreign.dim,
            added=copied.added,
            unchanged=copied.unchanged,
            only_in_index=others,
            encoder=foreign.encoder,
            agreement=agreement,
            source_bytes=_bytes(folder),
            source_bits=foreign.settings.get("bits"),
            index_bytes=None if index.engine.path is None else _bytes(index.engine.path),
            index_bits=_compressed_bits(index.engine),
            cosine=None if loss is None else loss.cosine,
            error=None if loss is None else loss.error,
            queries=len(queries) if is_measured else 0,
            recall=recall(index.engine, queries, scores.best()) if is_measured else None,
            seconds=time.monotonic() - began,
            notes=(
                *foreign.notes,
                *_size_notes(foreign, index.engine),
                *_verification_notes(foreign, asked=verify, queries=len(queries), others=others),
                *_encoder_notes(foreign, index, path, was_compared=encoder is None or agreement is not None),
            ),
        )


def _folder(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> Path:
    folder = Path(source).expanduser()
    target = os.path.realpath(path)
    if Path(target).is_relative_to(os.path.realpath(folder)):
        raise InvalidRequestError(
            f"The index {shown_location(path)} must not be inside of the source, {folder}. Name another directory."
        )
    return folder


def _check_existing(source: ForeignIndex, path: str | os.PathLike[str]) -> None:
    """Refuse an index of anything else, before anything is written or recorded."""
    try:
        existing = Index.open(path, read_only=True)
    except IndexNotFoundError:
        return
    with closing(existing):
        check_target(source, existing.engine)


def _copied(source: ForeignIndex, engine: Engine, scores: ExactScores, *, progress: bool) -> Copied:
    # A bar that is not shown is not made: it would take a lock that all processes forked from this one share.
    total = source.documents
    with tqdm(total=total, desc="Importing", unit=" documents") if progress else nullcontext() as bar:
        return copy_documents(source, engine, scores, report=_ignore if bar is None else bar.update)


def _size_notes(source: ForeignIndex, engine: Engine) -> list[str]:
    """Return why the index is larger than the source, and what makes it smaller."""
    bits, own = source.settings.get("bits"), _compressed_bits(engine)
    if bits is None or own is None or own <= bits:
        return []
    advice = f"A new one with bits={bits} takes about as much as the source, and changes more."
    return [f"The index has more bits per dimension than the source, so the ten best documents change little. {advice}"]


def _verification_notes(source: ForeignIndex, *, asked: int, queries: int, others: int) -> list[str]:
    """Return why less was verified than asked for."""
    if asked and others:
        return ["The ten best documents were not compared, since the index holds documents of its own."]
    if queries < min(asked, source.documents):
        return [
            f"Verified with {queries:,} documents instead of {asked:,}: the others have no vectors or take too long."
        ]
    return []


def _encoder_notes(
    source: ForeignIndex, index: Index, path: str | os.PathLike[str], *, was_compared: bool
) -> list[str]:
    """Return how to get an encoder for the index, or that the one given was not compared with the vectors."""
    if not was_compared:
        return ["The encoder was not compared with the vectors: the source has no documents that can be encoded."]
    if index.engine.encoder_record is not None:
        return []
    place, name = repr(shown_location(path)), "…" if source.encoder is None else repr(source.encoder)
    said = (
        "The source does not say which model made its vectors"
        if source.encoder is None
        else f"The source says that its vectors are of the model {name}"
    )
    advice = (
        f"To search with texts, run the same import again with encoder={name}, which is compared with the vectors; or "
        f"open the index once for writing with it: Index.open({place}, encoder={name})."
    )
    return [f"{said}. {advice}"]


def _compressed_bits(engine: Engine) -> int | None:
    """Return the bits per dimension of compressed vectors; None if all are exact, as those of a small index."""
    info = engine.info()
    return None if info.get("tokens") == info.get("exact_tokens") else info.get("bits")


def _bytes(folder: Path) -> int:
    """Return the size of the files in a folder and its subfolders; links are not followed."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118  # faster than pathlib
            except FileNotFoundError:  # removed by a merge meanwhile
                continue
    return total


def _ignore(count: int) -> None:
    del count
