"""Join queries, judgments and documents to a test collection, and say what does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.dataset import Dataset, JudgedQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    from late_interaction.evaluation.reading.corpora import StreamedDocuments
    from late_interaction.evaluation.reading.judgments import Qrels

__all__ = ["assembled"]


def assembled(
    name: str,
    queries: Iterable[tuple[JudgedQuery, bool]],
    qrels: Qrels | None,
    documents: StreamedDocuments | None,
    ids: Set[str] | None,
) -> Dataset:
    """Return the test collection of queries, judgments and documents, with notes about what does not fit.

    Args:
        name: Of the collection.
        queries: Each with whether it has judgments of its own.
        qrels: The judgments; None for those of the queries.
        documents: The documents; None if they are in an index.
        ids: Their ids.

    Raises:
        InvalidRequestError: There are no queries, or no judgment fits any of them or any document.
    """
    everything = list(queries)
    if not everything:
        raise InvalidRequestError(f"{name} has no queries.")
    judged = [
        query if qrels is None else JudgedQuery(query.id, query.query, qrels[query.id])
        for query, has_judgments in everything
        if (has_judgments if qrels is None else query.id in qrels)
    ]
    if not judged:
        raise InvalidRequestError(_no_judgments(name, everything[0][0].id, qrels))
    if ids is not None:
        _check_documents(name, judged, ids)
    return Dataset(name, documents, judged, tuple(_notes(everything, judged, qrels, ids)))


def _no_judgments(name: str, query: str, qrels: Qrels | None) -> str:
    if qrels is None:
        return (
            f"No query of {name} has judgments. Give a file of them as qrels; or make synthetic queries of the "
            "documents (--synthetic, or synthetic_dataset in Python)."
        )
    other = f"of queries such as {next(iter(qrels))!r}" if qrels else "none"
    return f"No query of {name} has judgments: queries have ids such as {query!r}, and the judgments are {other}."


def _check_documents(name: str, queries: list[JudgedQuery], ids: Set[str]) -> None:
    judged = [document for query in queries for document in query.relevant]
    if judged and not any(document in ids for document in judged):
        example = f"such as {min(ids)!r}" if ids else "of none"
        raise InvalidRequestError(
            f"No judged document of {name} exists: the first one is {judged[0]!r}, and documents have ids {example}."
        )


def _notes(
    everything: list[tuple[JudgedQuery, bool]],
    judged: list[JudgedQuery],
    qrels: Qrels | None,
    ids: Set[str] | None,
) -> Iterable[str]:
    if unjudged := len(everything) - len(judged):
        yield f"{_queries(unjudged)} without judgments: left out."
    known = {query.id for query, _ in everything}
    if unasked := [query for query in qrels or () if query not in known]:
        yield f"Judgments of {_queries(len(unasked))} that do not exist, such as {unasked[0]!r}: not used."
    missing = [] if ids is None else [name for query in judged for name in query.relevant if name not in ids]
    if missing:
        judgments = "1 judgment is" if len(missing) == 1 else f"{len(missing):,} judgments are"
        yield f"{judgments} of documents that do not exist, such as {missing[0]!r}: nothing can find them."


def _queries(number: int) -> str:
    return "1 query" if number == 1 else f"{number:,} queries"
