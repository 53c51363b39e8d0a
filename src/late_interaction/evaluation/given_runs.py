"""Results of other systems, from files or dicts, as results of an evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.reading.runs import read_run
from late_interaction.evaluation.results import SystemResult
from late_interaction.validation import is_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from late_interaction.evaluation.dataset import JudgedQuery

__all__ = ["run_results"]


def run_results(runs: Mapping[str, Any], queries: Sequence[JudgedQuery]) -> list[SystemResult]:
    """Return the results of runs, without times and sizes, which are not known.

    Args:
        runs: The path of a TREC run, or a dict of document ids, best first, by query id; by the name of the system.
        queries: The queries. Others in a run do not count.

    Raises:
        InvalidRequestError: A run is neither, or has none of the queries.

    Example:
        >>> from late_interaction.evaluation import JudgedQuery
        >>> run_results({"theirs": {"q1": ["nile", "paris"]}}, [JudgedQuery("q1", "river", {"nile": 1})])[0].rankings
        {'q1': ['nile', 'paris']}
    """
    if not isinstance(runs, Mapping):
        raise InvalidRequestError(f'runs must be a dict, for example {{"bm25": "bm25.run"}}, got {runs!r:.100}.')
    return [_result(name, run, queries) for name, run in runs.items()]


def _result(name: object, run: object, queries: Sequence[JudgedQuery]) -> SystemResult:
    if not isinstance(name, str) or not name:
        raise InvalidRequestError(f"The names of runs must be strings that are not empty, got {name!r}.")
    rankings = read_run(run) if isinstance(run, (str, os.PathLike)) else _checked(name, run)
    found = {query.id: rankings[query.id] for query in queries if query.id in rankings}
    if not found:
        raise InvalidRequestError(
            f"The run {name!r} has none of the {len(queries):,} queries. Its query ids begin with "
            f"{[*rankings][:3]}, those of the queries with {[query.id for query in queries[:3]]}."
        )
    return SystemResult(name, {"kind": "run"}, found)


def _checked(name: str, run: object) -> dict[str, list[str]]:
    if not isinstance(run, Mapping):
        raise InvalidRequestError(f"The run {name!r} must be a path or a dict by query id, got {type(run).__name__}.")
    for query, ranking in run.items():
        if not is_id(query) or not isinstance(ranking, (list, tuple)) or not all(map(is_id, ranking)):
            raise InvalidRequestError(
                f"The run {name!r} must have a list of document ids for each query id, best first, got {ranking!r:.80} "
                f"for {query!r:.80}."
            )
    return {query: list(ranking) for query, ranking in run.items()}
