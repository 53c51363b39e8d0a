"""Judge what systems found, by a model or a person, instead of judgments made in advance."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from late_interaction.errors import InvalidRequestError, LateInteractionError
from late_interaction.validation import check_k

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from late_interaction.documents import Document
    from late_interaction.evaluation.dataset import Dataset, JudgedQuery
    from late_interaction.evaluation.results import SystemResult

__all__ = ["Judge", "JudgmentError", "judge_pools"]


class Judge(Protocol):
    """Grades a document for a query: True or a number above 0 if it is relevant, False or 0 if it is not."""

    def __call__(self, query: str, document: Document, /) -> float:
        """Return the grade."""
        ...


class JudgmentError(LateInteractionError):
    """A judge raised an error, which is the cause of this one, or returned something that is not a grade.

    Attributes:
        query: The query that was judged.
        document: The document that was judged.
        dataset: The dataset with all grades until then. Pass it to `judge_pools` to go on: it asks for the rest only.
    """

    def __init__(self, message: str, *, query: JudgedQuery, document: Document, dataset: Dataset) -> None:
        super().__init__(message)
        self.query = query
        self.document = document
        self.dataset = dataset


def judge_pools(
    results: Sequence[SystemResult],
    dataset: Dataset,
    judge: Judge,
    *,
    depth: int = 10,
    documents: Mapping[str, Document] | None = None,
    seed: int = 0,
) -> Dataset:
    """Return the dataset with a grade for each document that any system has among its first ones.

    The judge is asked once for each pair of a query and a document, in an order that is drawn anew for each query, so
    that it cannot tell which system found a document, or at which rank. Grades that the dataset has are kept, and not
    asked for again. Pooling is the method of TREC (Voorhees & Harman, 2005); a system outside the pool can still find
    documents without a grade.

    Args:
        results: The rankings of the systems.
        dataset: The queries, with or without judgments.
        judge: Called with the text of a query and a document; returns True, False or a grade of at least 0. It may be
            slow, and is called by one thread.
        depth: How many documents of each ranking are judged.
        documents: The documents of the pools by id; by default, those of the dataset.
        seed: Of the order.

    Raises:
        JudgmentError: The judge raised an error, or returned something else. The error has the grades until then.
        InvalidRequestError: A document of a pool is unknown, a query is not a text, or ``depth`` is not positive.

    Example:
        >>> from late_interaction import Document
        >>> from late_interaction.evaluation import Dataset, JudgedQuery, SystemResult
        >>> documents = [Document("The Nile is a river.", id="nile"), Document("Paris is a city.", id="paris")]
        >>> dataset = Dataset("geography", documents, [JudgedQuery("q1", "river")])
        >>> found = SystemResult("late", {"kind": "late"}, {"q1": ["nile", "paris"]})
        >>> judged = judge_pools([found], dataset, lambda query, document: query in document.text)
        >>> sorted(judged.queries[0].relevant.items())
        [('nile', 1.0), ('paris', 0.0)]
    """
    depth = check_k(depth, "depth")
    pools = {query.id: _pool(query, results, depth, seed) for query in dataset.queries}
    wanted = {name for pool in pools.values() for name in pool}
    known = documents if documents is not None else _found(dataset.documents or (), wanted)
    if missing := sorted(wanted - known.keys()):
        raise InvalidRequestError(
            f"{len(missing):,} documents of the pools are not known, for example {missing[0]!r}. Pass documents= with "
            "all documents that systems found."
        )
    judged = list(dataset.queries)
    for position, query in enumerate(dataset.queries):
        if pools[query.id] and not isinstance(query.query, str):
            raise InvalidRequestError(f"The query {query.id!r} is not a text, so it cannot be judged.")
        grades = dict(query.relevant)
        for name in pools[query.id]:
            try:
                grades[name] = _grade(judge, str(query.query), known[name])
            except Exception as error:  # whatever the judge raises; it is the cause of the error
                judged[position] = replace(query, relevant=grades)
                raise JudgmentError(
                    f"The judge failed for the query {query.query!r:.200} ({query.id!r}) and the document {name!r}: "
                    f"{type(error).__name__}: {error}. The grades until then are in the attribute dataset of this "
                    "error; pass it to judge_pools to go on.",
                    query=query,
                    document=known[name],
                    dataset=replace(dataset, queries=judged),
                ) from error
        judged[position] = replace(query, relevant=grades)
    return replace(dataset, queries=judged)


def _pool(query: JudgedQuery, results: Sequence[SystemResult], depth: int, seed: int) -> list[str]:
    """Return the ids to judge for a query, in an order that depends on ids and seed alone."""
    first = (name for result in results for name in list(result.rankings.get(query.id, ()))[:depth])
    pool = {name for name in first if name not in query.relevant}
    return sorted(pool, key=lambda name: hashlib.blake2b(f"{seed}\0{query.id}\0{name}".encode()).digest())


def _found(documents: Iterable[Document], wanted: set[str]) -> dict[str, Document]:
    return {document.id: document for document in documents if document.id in wanted}


def _grade(judge: Judge, query: str, document: Document) -> float:
    given = judge(query, document)
    try:
        grade = float(given)
    except (TypeError, ValueError):
        grade = math.nan
    if isinstance(given, str) or not (math.isfinite(grade) and grade >= 0):
        raise InvalidRequestError(f"a grade must be True, False or a number of at least 0, got {given!r:.100}.")
    return grade
