"""`evaluate`: compare systems on the documents, queries and judgments of a user."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from late_interaction.errors import IndexNotFoundError, InvalidRequestError
from late_interaction.evaluation.asked import Asked, check_kinds
from late_interaction.evaluation.corpora import JsonlDocuments
from late_interaction.evaluation.dataset import Dataset, JudgedQuery
from late_interaction.evaluation.measures import MEASURES, Measure
from late_interaction.evaluation.measuring import measured
from late_interaction.evaluation.queries import as_queries
from late_interaction.evaluation.report import Report
from late_interaction.evaluation.results import SystemResult
from late_interaction.evaluation.sources import Source, of_documents
from late_interaction.evaluation.temporary import TemporaryIndexes
from late_interaction.index import Index
from late_interaction.validation import check_k

if TYPE_CHECKING:
    from collections.abc import Sequence

    from late_interaction.documents import Document
    from late_interaction.encoders import Encoder

__all__ = ["evaluate"]

_CHUNK_IDS = 500


def evaluate(
    index_or_documents: Index | Dataset | Iterable[Document | str] | str | os.PathLike[str],
    queries: Dataset | Iterable[JudgedQuery | Mapping[str, Any]] | str | os.PathLike[str],
    *,
    encoder: Encoder | str | os.PathLike[str] | None = None,
    systems: Sequence[str] | None = None,
    single_vector: Sequence[Any] = (),
    sparse: Sequence[Any] = (),
    bits: Sequence[int | None] = (),
    pooling: Sequence[int] = (),
    dim: Sequence[int] = (),
    baseline: str | None = None,
    measures: Sequence[str] = MEASURES,
    k: int = 10,
    loss: float = 0.01,
    progress: bool = False,
) -> Report:
    """Compare systems on your own documents and judged queries: quality, bytes per document, time per query."""
    k = check_k(k)
    depth = max([k, *(Measure.of(measure).k for measure in measures)])
    kinds = None if systems is None else check_kinds(systems)
    dataset = queries if isinstance(queries, Dataset) else Dataset("queries", None, as_queries(queries))
    judged = [query for query in dataset.queries if any(grade > 0 for grade in query.relevant.values())]
    with TemporaryIndexes(progress=progress) as temporary:
        source = _source(index_or_documents, encoder, temporary)
        asked = Asked(source, judged, kinds, single_vector, sparse, bits, pooling, dim)
        compared = asked.systems()
        count = source.index.count()
        shown = tqdm(judged, desc="Searching", unit=" queries") if progress else judged
        results = measured(compared, shown, k=k, depth=depth, documents=count)
        notes = [*source.notes, *asked.notes, *_missing(source.index, judged)]
    return Report(
        dataset,
        results,
        baseline=_renamed(baseline, results),
        measures=measures,
        loss=loss,
        notes=notes,
        documents=count,
    )


def _source(given: Any, encoder: Any, temporary: TemporaryIndexes) -> Source:
    """Return the index of the user, opened for reading, or one of the user's documents."""
    if isinstance(given, Index):
        if encoder is not None:
            raise InvalidRequestError("The index has its encoder: leave out encoder=, or pass the path of the index.")
        return Source(given, temporary)
    if isinstance(given, (str, os.PathLike)):
        try:
            return Source(temporary.keep(Index.open(given, encoder=encoder, read_only=True)), temporary)
        except IndexNotFoundError:
            if not os.path.exists(given):
                raise
        given = JsonlDocuments(given)
    if isinstance(given, Dataset):
        given = given.documents
    if given is None or isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise InvalidRequestError(
            f"evaluate takes an index, its path or address, or documents, got {type(given).__name__}."
        )
    if encoder is None:
        raise InvalidRequestError('Documents need encoder=, for example encoder="minilm".')
    return of_documents(given, encoder, temporary)


def _renamed(baseline: str | None, results: Sequence[SystemResult]) -> str | None:
    """Return the name of the baseline; ``late`` is the index as it is, whose name has its setting beside others."""
    if baseline == "late":
        return next((result.name for result in results if result.settings["kind"] == "late"), baseline)
    return baseline


def _missing(index: Index, queries: Sequence[JudgedQuery]) -> list[str]:
    """Return a note if judgments name documents that the index does not hold."""
    relevant = {key for query in queries for key, grade in query.relevant.items() if grade > 0}
    missing = set(relevant)
    ids = iter(sorted(relevant))
    while chunk := list(islice(ids, _CHUNK_IDS)):
        missing -= {document.id for document in index.get(chunk)}
    if not missing:
        return []
    affected = sum(any(key in missing and grade > 0 for key, grade in query.relevant.items()) for query in queries)
    return [
        f"The index lacks {len(missing):,} of {len(relevant):,} relevant documents, for example {min(missing)!r}: no "
        f"system can find them. They are relevant to {affected:,} of {len(queries):,} queries."
    ]
