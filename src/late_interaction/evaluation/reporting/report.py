"""What an evaluation found: measures with intervals, cost, and advice."""

from __future__ import annotations

import html
from collections.abc import Sized
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.measures import MEASURES, Measure
from late_interaction.evaluation.reporting.advice import advise, recommended
from late_interaction.evaluation.reporting.plots import save
from late_interaction.evaluation.reporting.scoring import chosen_baseline, judged_queries, score
from late_interaction.evaluation.reporting.table import as_html, as_text, tables_of
from late_interaction.evaluation.synthetic import SYNTHETIC
from late_interaction.validation import check_fraction
from late_interaction.wording import counted

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from late_interaction.evaluation.dataset import Dataset
    from late_interaction.evaluation.reporting.scoring import ScoredSystem
    from late_interaction.evaluation.reporting.table import Table
    from late_interaction.evaluation.results import SystemResult

__all__ = ["Report"]


class Report:
    """The systems of an evaluation, side by side.

    Args:
        dataset: The queries with their judgments. Queries without a relevant document are left out, which a note says.
        results: What each system found.
        baseline: The name of the system that the others are compared with. By default a single-vector model if there
            is one, else lexical search, else the first system.
        measures: What is measured; the advice and the plots are about the first one.
        loss: How much of the first measure may be lost for a cheaper system, in the advice.
        notes: Sentences to show below the tables, after those of the dataset.
        documents: The number of documents that were searched; by default, of those in the dataset if it is known.

    Attributes:
        dataset: The dataset.
        systems: The systems with their measures, in the given order.
        baseline: The name of the baseline.
        measures: Names of the measures, such as ``ndcg@10``.
        queries: Ids of the queries, in the order of the values of systems.
        loss: As given.
        documents: The number of documents, or None if it is not known.
        notes: What was left out or changed, as sentences.

    Raises:
        InvalidRequestError: There are no systems, two have the same name, the baseline or a measure is unknown, or no
            query has a relevant document.

    Example:
        >>> from late_interaction.evaluation import Dataset, JudgedQuery, Report, SystemResult
        >>> queries = [JudgedQuery("q1", "longest river", {"nile": 1}), JudgedQuery("q2", "capital", {"paris": 1})]
        >>> found = SystemResult("lexical", {"kind": "lexical"}, {"q1": ["nile", "paris"], "q2": ["rome", "paris"]})
        >>> report = Report(Dataset("geography", None, queries), [found], measures=["mrr@10"])
        >>> report.systems[0].intervals["mrr@10"].mean
        0.75
    """

    def __init__(
        self,
        dataset: Dataset,
        results: Sequence[SystemResult],
        *,
        baseline: str | None = None,
        measures: Sequence[str | Measure] = MEASURES,
        loss: float = 0.01,
        notes: Sequence[str] = (),
        documents: int | None = None,
    ) -> None:
        parsed = [Measure.of(measure) if isinstance(measure, str) else measure for measure in measures]
        if not parsed:
            raise InvalidRequestError("measures must name at least one measure, such as 'ndcg@10'.")
        self.dataset = dataset
        self.loss = check_fraction(loss, "loss")
        self.baseline = chosen_baseline(results, baseline)
        queries = judged_queries(dataset.queries)
        self.queries = tuple(query.id for query in queries)
        self.systems: tuple[ScoredSystem, ...] = score(results, queries, parsed, self.baseline)
        self.measures = tuple(self.systems[0].values)
        known = dataset.documents
        self.documents = len(known) if documents is None and isinstance(known, Sized) else documents
        self.notes = (*dataset.notes, *notes, *self._own_notes(given=baseline is not None))

    @property
    def title(self) -> str:
        """The name of the dataset, with the numbers of queries and documents."""
        title = f"{self.dataset.name}: {_queries(len(self.queries))}"
        return title if self.documents is None else f"{title}, {counted(self.documents, 'document')}"

    @cached_property
    def advice(self) -> list[str]:
        """Sentences: which system to use, whether late interaction is worth its cost, and what limits the answer."""
        grades = [grade for query in self.dataset.queries for grade in query.relevant.values()]
        return advise(
            self.systems,
            self.measures[0],
            loss=self.loss,
            documents=self.documents,
            has_negatives=any(grade <= 0 for grade in grades),
            is_synthetic=SYNTHETIC in self.dataset.notes,
        )

    def table(self, width: int = 100) -> str:
        """Return the tables as text.

        Args:
            width: In characters. Long names are wrapped to fit in.
        """
        return "\n\n".join(as_text(table, width) for table in self.tables())

    def tables(self) -> list[Table]:
        """Return the tables: the first measure with the cost, the other measures, and the stages of cascades."""
        return tables_of(self.systems, self.measures, self.baseline)

    @cached_property
    def recommended(self) -> dict[str, str | None]:
        """Names of the cheapest systems that are shown to be within the loss of the best, by ``size`` and ``time``.

        None where no cost is known.
        """
        return recommended(self.systems, self.measures[0], self.loss)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Save plots of the first measure against bytes per document and against milliseconds per query.

        Args:
            path: A file with the suffix ``.svg`` or ``.png``. It is overwritten.

        Raises:
            InvalidRequestError: Another suffix, or no cost of any system is known.
            OptionalDependencyError: matplotlib is not installed.
            StorageError: The file cannot be written.
        """
        chosen = self.recommended
        save(self.systems, self.measures[0], path, title=self.title, recommended=(chosen["size"], chosen["time"]))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, as ``late-interaction evaluate --json`` prints it.

        Besides attributes of the report, ``queries`` is their number, and each of ``systems`` has

        - ``name``, and ``settings``, see `SystemResult`;
        - ``measures``, and ``differences`` to the baseline, empty for itself: ``mean``, ``low``, ``high`` by measure;
        - ``values``: the value of each query by measure and query id;
        - ``bytes_per_document``; ``milliseconds`` with ``median``, ``p90`` and those of all ``queries``; null or empty
          where a cost is not known;
        - ``stages`` of a cascade, see `SystemResult`;
        - ``unjudged_in_first_10``: the share of the first 10 documents that have no judgment;
        - ``not_asked``: the number of queries without a ranking.
        """
        return {
            "dataset": self.dataset.name,
            "documents": self.documents,
            "queries": len(self.queries),
            "measures": list(self.measures),
            "baseline": self.baseline,
            "loss": self.loss,
            "systems": [self._system(system) for system in self.systems],
            "recommended": self.recommended,
            "notes": list(self.notes),
            "advice": list(self.advice),
        }

    def _system(self, system: ScoredSystem) -> dict[str, Any]:
        times = list(system.result.milliseconds)
        return {
            "name": system.name,
            "settings": dict(system.result.settings),
            "measures": {name: asdict(interval) for name, interval in system.intervals.items()},
            "differences": {name: asdict(interval) for name, interval in system.differences.items()},
            "bytes_per_document": system.bytes_per_document,
            "milliseconds": {"median": system.median_milliseconds, "p90": system.p90_milliseconds, "queries": times},
            "stages": [dict(stage) for stage in system.result.stages],
            "unjudged_in_first_10": system.unjudged,
            "not_asked": system.not_asked,
            "values": {
                name: dict(zip(self.queries, values.tolist(), strict=True)) for name, values in system.values.items()
            },
        }

    def _own_notes(self, *, given: bool) -> list[str]:
        notes = []
        if left_out := len(self.dataset.queries) - len(self.queries):
            notes.append(f"{_queries(left_out)} without a relevant document left out.")
        of_all = f"of {_queries(len(self.queries))}"
        notes += [
            f"{system.name!r} has no ranking for {system.not_asked:,} {of_all}, which count as 0."
            for system in self.systems
            if system.not_asked
        ]
        if not given and len(self.systems) > 1:
            notes.append(f"The baseline is {self.baseline!r}, because none was named.")
        return notes

    def __str__(self) -> str:
        sections = [self.title, self.table(), "\n".join(self.notes), "\n".join(self.advice)]
        return "\n\n".join(section for section in sections if section)

    def __repr__(self) -> str:
        return f"Report({self.dataset.name!r}, {len(self.systems)} systems, {len(self.queries)} queries)"

    def _repr_html_(self) -> str:
        tables = "".join(as_html(table) for table in self.tables())
        return tables + "".join(f"<p>{html.escape(sentence)}</p>" for sentence in (*self.notes, *self.advice))


def _queries(number: int) -> str:
    return f"{number:,} {'query' if number == 1 else 'queries'}"
