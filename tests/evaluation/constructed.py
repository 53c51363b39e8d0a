"""Results of systems that were never run: the rank of the only relevant document decides, for each query."""

from __future__ import annotations

from late_interaction.evaluation import Dataset, JudgedQuery, Report, SystemResult


def dataset(queries, *, notes=(), name="constructed"):
    """A dataset in which the document ``relevant-N`` is relevant to the query ``N``."""
    judged = [JudgedQuery(str(number), f"query {number}", {f"relevant-{number}": 1}) for number in range(queries)]
    return Dataset(name, None, judged, notes)


def result(name, kind, ranks, *, size=None, time=None):
    """A system that ranks the relevant document of each query at the rank given, or not at all (None)."""
    rankings = {}
    for number, rank in enumerate(ranks):
        ranking = [f"other-{place}" for place in range(10)]
        if rank is not None:
            ranking[rank - 1] = f"relevant-{number}"
        rankings[str(number)] = ranking
    return SystemResult(name, {"kind": kind}, rankings, [] if time is None else [time] * len(ranks), size)


def report(*results, **options):
    """A report on systems that were all asked the same queries."""
    return Report(dataset(len(results[0].rankings)), results, **options)
