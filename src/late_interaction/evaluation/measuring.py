"""Ask every system every query, and measure how long it takes."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.evaluation.results import SystemResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from late_interaction.evaluation.dataset import JudgedQuery
    from late_interaction.evaluation.systems import Answer, System

__all__ = ["measured"]


@dataclass
class _Answers:
    """What a system has answered so far."""

    rankings: dict[str, Sequence[str]] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)
    stages: list[Sequence[Mapping[str, Any]]] = field(default_factory=list)


def measured(
    systems: Sequence[System], queries: Iterable[JudgedQuery], *, k: int, depth: int, documents: int
) -> list[SystemResult]:
    """Return what each system found for the queries.

    One query is asked after the other, and each of all systems, in rotating order, so that what else the machine does
    meanwhile slows all of them alike. Nothing of the first query is measured before every system has answered another
    one. The time of a query is that of a user's search for k documents: encoding it, which is done and measured once
    for all systems that use the same encoder, and the search.

    Args:
        systems: The systems.
        queries: The queries.
        k: The number of documents that users search for. Times are of this search, and the first k of a ranking.
        depth: The length of the rankings. Documents after the first k are those of another search, not measured.
        documents: The number of documents searched.
    """
    answers: dict[str, _Answers] = defaultdict(_Answers)
    for number, query in enumerate(queries):
        if number == 0:
            _warm_up(systems, query, k)
        for at in range(len(systems)):
            system = systems[(at + number) % len(systems)]
            _ask(system, query, k, depth, answers[system.name])
    return [_result(system, answers[system.name], documents) for system in systems]


def _warm_up(systems: Iterable[System], query: JudgedQuery, k: int) -> None:
    """Load models and compile kernels, with the words of a query, but not with the query, whose vectors are kept."""
    given = query.query
    text = given if isinstance(given, str) else given.text
    other = replace(query, id="", query=f"{text} ?" if isinstance(given, str) else Document(text, image=given.image))
    for system in systems:
        system.search(other, k)


def _ask(system: System, query: JudgedQuery, k: int, depth: int, answers: _Answers) -> None:
    encoding = sum(encoder.milliseconds(query) for encoder in system.encoders)
    start = time.perf_counter()
    answer = system.search(query, k if system.is_deepened else depth)
    answers.milliseconds.append((time.perf_counter() - start) * 1000 + encoding)
    answers.stages.append(answer.stages)
    answers.rankings[query.id] = _deepened(system, query, answer, k, depth)


def _deepened(system: System, query: JudgedQuery, answer: Answer, k: int, depth: int) -> list[str]:
    found = list(answer.ids)
    if system.is_deepened and depth > k and len(found) == k:
        found = list(dict.fromkeys([*found, *system.search(query, depth).ids]))
    return found[:depth]


def _result(system: System, answers: _Answers, documents: int) -> SystemResult:
    return SystemResult(
        name=system.name,
        settings=system.settings,
        rankings=answers.rankings,
        milliseconds=answers.milliseconds,
        bytes_per_document=system.bytes_per_document(documents),
        stages=_median_stages(answers.stages),
    )


def _median_stages(stages: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return each stage in the median over queries. Of a query that ends before a stage, there is nothing to count."""
    by_number: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for one in stages:
        for number, stage in enumerate(one):
            by_number[number].append(stage)
    return [
        {
            "stage": of_one[0]["stage"],
            "candidates": statistics.median(stage["candidates"] for stage in of_one),
            "milliseconds": statistics.median(stage["milliseconds"] for stage in of_one),
        }
        for of_one in by_number.values()
    ]
