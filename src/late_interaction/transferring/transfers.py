"""`transfer`: move the documents of one engine to another, with their vectors."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from late_interaction.index_encoder import as_encoder
from late_interaction.ingestion.roots import Roots
from late_interaction.retrieval.encoding import encode_documents
from late_interaction.retrieval.truncation import Truncation
from late_interaction.transferring.checks import check_engines, has_the_vectors_of, prepared
from late_interaction.transferring.copying import copy_documents
from late_interaction.transferring.report import TransferReport, source_statements, target_statements
from late_interaction.transferring.verification import Comparison, compare
from late_interaction.validation import check_count
from late_interaction.wording import counted

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.encoders import Encoder
    from late_interaction.engines import Engine
    from late_interaction.transferring.copying import Copied

__all__ = ["transfer"]


def transfer(
    source: Engine,
    target: Engine,
    *,
    encoder: Encoder | str | os.PathLike[str] | None = None,
    progress: bool = False,
    verify: int = 100,
) -> TransferReport:
    """Copy every document of one engine to another, with its vectors, and compare what both find.

    **Resumable.** Documents that the target holds already, equal in everything but their vectors, are skipped, so the
    same call again goes on after an interruption. Documents that only the target holds stay. Order of addition is kept.
    Memory is bounded.

    **One state.** A source with snapshots is read in one state, whatever others write meanwhile. While it lasts, a
    local source cannot shorten the log of its catalog nor remove the files of merged segments. From a source without
    snapshots, documents that others delete meanwhile are left out, and those that they add may be.

    **What carries over.** Text, metadata, roots of files, whether a text was truncated, and the record of the encoder;
    of page images the references and the thumbnails: a referenced file must exist at the same path wherever it is
    loaded. The target keeps its own settings, such as ``language`` and ``bits``. The report says what is lost.

    Args:
        source: The source, which is only read.
        target: The target. Its collection or table is created if there is none.
        encoder: Encode the documents again, with this encoder: an `Encoder`, or what `load_encoder` takes. For a source
            that stores compressed vectors, or cannot return vectors. None to copy the stored vectors.
        progress: Show a progress bar.
        verify: At the end, search both with the first 32 token vectors of this many evenly spaced documents; 0 for
            none.

    Raises:
        InvalidRequestError: Source and target are the same index, or have different roots of the same number.
        UnsupportedError: The source cannot return stored vectors, and there is no ``encoder``.
        ReadOnlyIndexError: The target is read-only.
        IncompatibleEncoderError: The target was built with another encoder.
        InvalidVectorsError: The target holds vectors of another dimension.
        PartialWriteError: The target failed after a part was written; so did other errors of the two engines. The same
            call again goes on.

    Example:
        >>> from late_interaction.engines import LocalEngine, transfer
        >>> source = LocalEngine.open(tmp / "exact", dim=2, bits=None)
        >>> target = LocalEngine.open(tmp / "compressed", dim=2, bits=8)
        >>> transfer(source, target).added
        0
        >>> source.close(), target.close()
        (None, None)
    """
    began = time.monotonic()
    verify = check_count(verify, "verify")
    source, target = check_engines(source, target, encodes=encoder is not None)
    given = None if encoder is None else as_encoder(encoder)
    with source.one_state():
        made = prepared(source, target, given)
        if source.capabilities.sources and target.capabilities.sources:
            roots = Roots(target)
            roots.take(Roots(source))
            roots.record()
        notes = source_statements(source, encodes=made is not None) + target_statements(source, target)
        is_comparable = made is None or has_the_vectors_of(source, made)
        if is_comparable and (centroids := source.centroids()) is not None:
            target.adopt_centroids(centroids)
        copied = _copied(source, target, made, sampled=verify if is_comparable else 0, progress=progress)
        stored = target.count()
        others = max(0, stored - copied.present)
        found = compare(source, target, _vectors(source, copied.sampled, made), others=others)
    return _report(copied, found, stored, made, notes, seconds=time.monotonic() - began, is_comparable=is_comparable)


def _copied(source: Engine, target: Engine, encoder: Encoder | None, *, sampled: int, progress: bool) -> Copied:
    truncation = Truncation()
    encode = None if encoder is None else partial(encode_documents, encoder, truncation=truncation)
    # A bar that is not shown is not made: it would take a lock that all processes forked from this one share.
    total = source.count() if progress else None
    with tqdm(total=total, desc="Transferring", unit=" documents") if progress else nullcontext() as bar:
        report = _ignore if bar is None else bar.update
        copied = copy_documents(source, target, encode, sampled=sampled, report=report)
    truncation.warn()
    return copied


def _vectors(source: Engine, ids: list[str], encoder: Encoder | None) -> Iterator[NDArray[np.floating[Any]]]:
    """Yield the vectors of documents, one after the other."""
    for key in ids:
        if source.capabilities.vectors:
            yield from source.vectors([key]).values()
        elif encoder is not None:
            for one in encode_documents(encoder, source.get([key]), truncation=Truncation()):
                yield one.vectors


def _report(
    copied: Copied,
    found: Comparison,
    stored: int,
    encoder: Encoder | None,
    notes: list[str],
    *,
    seconds: float,
    is_comparable: bool,
) -> TransferReport:
    notes = list(notes)
    if copied.page_files:
        notes.append(f"{counted(copied.page_files, 'document')} with an image file, which was not copied.")
    if encoder is not None and copied.unchanged:
        notes.append(
            f"{counted(copied.unchanged, 'unchanged document')} not encoded again: the target held them already. For "
            "new vectors of all, transfer into a new index."
        )
    if copied.without_vectors:
        notes.append(f"{counted(copied.without_vectors, 'document')} without a text, and so without vectors.")
    if not is_comparable:
        notes.append("Not verified, since the source was built with another encoder.")
    return TransferReport(
        added=copied.added,
        replaced=copied.replaced,
        unchanged=copied.unchanged,
        vanished=copied.vanished,
        only_in_target=max(0, stored - copied.present),
        missing=max(0, copied.present - stored),
        encoded_again=encoder is not None,
        queries=found.queries,
        overlap=found.overlap,
        score_difference=found.score_difference,
        seconds=seconds,
        notes=tuple(notes),
    )


def _ignore(count: int) -> None:
    del count
