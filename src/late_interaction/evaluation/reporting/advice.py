"""Advice in sentences: the cheapest system that suffices, whether late interaction is worth its cost, and limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from late_interaction.evaluation.reporting.decisions import MIN_QUERIES, Verdict, best_of, choose, compare
from late_interaction.evaluation.reporting.scoring import JUDGED_DEPTH, label_of
from late_interaction.evaluation.reporting.table import difference_text, size, time_text
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from late_interaction.evaluation.reporting.decisions import Choice, Comparison
    from late_interaction.evaluation.reporting.scoring import ScoredSystem

__all__ = ["advise", "recommended"]

_MILLION = 1_000_000
_FEW = 1_000  # documents
_MANY_QUERIES = 100_000
_MENTIONED_HOLES = 0.05  # share of the first documents
_RIVALS = {"single-vector": "single vectors", "lexical": "lexical search"}


def advise(
    systems: Sequence[ScoredSystem],
    measure: str,
    *,
    loss: float,
    documents: int | None,
    has_negatives: bool,
    is_synthetic: bool,
) -> list[str]:
    """Return the advice, one sentence or two on each point.

    Args:
        systems: The systems with their measures.
        measure: The measure that decides.
        loss: What may be lost of it for a cheaper system.
        documents: How many documents were searched; None if that is not known.
        has_negatives: Whether the judgments also name documents that are not relevant.
        is_synthetic: Whether the queries were made from the documents.
    """
    by_size, by_time = _choices(systems, measure, loss)
    sentences = [*_few_queries(systems, measure), _best(by_size.best, measure)]
    if len(systems) > 1:
        sentences += _chosen(by_size, measure, loss, cost="size")
        sentences += _chosen(by_time, measure, loss, cost="time")
        comparisons = _comparisons(systems, measure, loss)
        sentences += [_compared(compared, what, measure, loss) for what, compared in comparisons.items()]
        if comparisons and not is_synthetic:
            sentences.append(_worth({what: compared.verdict for what, compared in comparisons.items()}))
    chosen = [choice.chosen.system for choice in (by_size, by_time) if choice.chosen is not None]
    sentences += _at_a_million(list({system.name: system for system in chosen}.values()), documents)
    if is_synthetic:
        sentences.append(
            "Synthetic queries cannot tell which kind of system is best: they use the words of the documents, which "
            "favors lexical search, and other documents that answer them count as not relevant. Compare kinds of "
            "systems with queries of users."
        )
    else:
        sentences += _unjudged(systems, has_negatives=has_negatives)
    return sentences


def recommended(systems: Sequence[ScoredSystem], measure: str, loss: float) -> dict[str, str | None]:
    """Return the names of the cheapest systems that suffice, by ``size`` and by ``time``."""
    choices = zip(("size", "time"), _choices(systems, measure, loss), strict=True)
    return {cost: choice.chosen.system.name if choice.chosen else None for cost, choice in choices}


def _choices(systems: Sequence[ScoredSystem], measure: str, loss: float) -> tuple[Choice, Choice]:
    """Return the cheapest system that suffices by size, and by time."""
    return (
        choose(systems, measure, loss, lambda system: system.bytes_per_document),
        choose(systems, measure, loss, lambda system: system.median_milliseconds),
    )


def _few_queries(systems: Sequence[ScoredSystem], measure: str) -> list[str]:
    number = _queries(systems[0], measure)
    if number >= MIN_QUERIES:
        return []
    there = "There is only 1 query" if number == 1 else f"There are only {number} queries"
    return [f"{there}. With fewer than {MIN_QUERIES}, no system is said to be better than another, or as good."]


def _best(best: ScoredSystem, measure: str) -> str:
    interval = best.intervals[measure]
    return (
        f"{best.name!r} has the highest {label_of(measure)}: {interval.mean:.3f} (95 % interval {interval.low:.3f} to "
        f"{interval.high:.3f}, {_queries(best, measure):,} queries)."
    )


def _chosen(choice: Choice, measure: str, loss: float, *, cost: str) -> list[str]:
    comparative, superlative = {"size": ("smaller", "smallest"), "time": ("faster", "fastest")}[cost]
    if choice.chosen is None:
        return [f"By {cost}: no system of known {cost} is shown to be within {loss:g} of that."]
    system = choice.chosen.system
    price = _price(system, cost)
    if system is choice.best:
        sentence = (
            f"By {cost}: no {comparative} system is shown to be within {loss:g} of it, so use {system.name!r} "
            f"({price})."
        )
    else:
        sentence = (
            f"By {cost}: use {system.name!r} ({price}), the {superlative} system that is shown to be within {loss:g} "
            f"of the highest {label_of(measure)}: {_difference(choice.chosen)}."
        )
    if choice.cheaper is None:
        return [sentence]
    other = choice.cheaper
    price = _price(other.system, cost)
    told = _would_tell(other.needed_within_loss)
    return [f"{sentence} {other.system.name!r} ({price}) may be, too: {_difference(other)}; {told}."]


def _comparisons(systems: Sequence[ScoredSystem], measure: str, loss: float) -> dict[str, Comparison]:
    """Return late interaction compared with what it competes with, the best system of each kind."""
    late = [system for system in systems if system.kind == "late"]
    return {
        what: compare(best_of(late, measure), best_of(rivals, measure), measure, loss)
        for kind, what in _RIVALS.items()
        if late and (rivals := [system for system in systems if system.kind == kind])
    }


def _worth(verdicts: Mapping[str, Verdict]) -> str:
    """Return whether late interaction is worth its cost, by what it was compared with."""
    without = [what for what, verdict in verdicts.items() if verdict in (Verdict.WORSE, Verdict.EQUAL)]
    if without:
        do = "does" if without == ["lexical search"] else "do"
        return f"So late interaction alone brings nothing on this data that {' and '.join(without)} {do} not."
    if all(verdict is Verdict.BETTER for verdict in verdicts.values()):
        return f"So late interaction is worth its cost on this data, compared with {' and '.join(verdicts)}."
    return "So whether late interaction is worth its cost on this data is not known yet."


def _compared(compared: Comparison, what: str, measure: str, loss: float) -> str:
    late, other = compared.system, compared.other
    means = (
        f"{late.name!r} has {label_of(measure)} {late.intervals[measure].mean:.3f}, {other.name!r} "
        f"{other.intervals[measure].mean:.3f}; {_difference(compared)}"
    )
    costs = f"{_costs(late)} instead of {_costs(other)}"
    if compared.verdict is Verdict.BETTER:
        return f"Late interaction is better than {what}: {means}. It takes {costs}."
    if compared.verdict is Verdict.WORSE:
        return f"Late interaction is worse than {what}: {means}. It takes {costs}."
    if compared.verdict is Verdict.EQUAL:
        return f"Late interaction and {what} differ by no more than {loss:g}: {means}. It takes {costs}."
    return (
        f"Late interaction or {what}: the data cannot tell. {means}. {_queries(late, measure):,} queries are too few; "
        f"{_would_tell(compared.needed)}."
    )


def _at_a_million(systems: Sequence[ScoredSystem], documents: int | None) -> list[str]:
    """Return what the sizes and times mean for 1 million documents."""
    sentences = []
    for system in systems:
        parts = []
        if system.bytes_per_document is not None:
            parts.append(f"{size(system.bytes_per_document * _MILLION)} to store")
        if system.median_milliseconds is not None and documents is not None and _FEW <= documents < _MILLION:
            longest = system.median_milliseconds * _MILLION / documents
            parts.append(
                f"{time_text(system.median_milliseconds)} to {time_text(longest)} per query (the first if a first "
                f"stage keeps the candidates as few, the second if time grows with the {documents:,} documents "
                "measured)"
            )
        if parts:
            sentences.append(f"For 1 million such documents, {system.name!r} takes {' and '.join(parts)}.")
    if sentences and documents is not None and documents < _FEW:
        sentences.append(
            f"With only {counted(documents, 'document')}, fixed parts of an index weigh more than with many, so these "
            "sizes are overstated, and the times say nothing about larger collections."
        )
    return sentences


def _unjudged(systems: Sequence[ScoredSystem], *, has_negatives: bool) -> list[str]:
    """Return what documents without a judgment mean for the result."""
    least, most = (choose(systems, key=lambda system: system.unjudged) for choose in (min, max))
    if most.unjudged < _MENTIONED_HOLES:
        return []
    if f"{least.unjudged:.0%}" == f"{most.unjudged:.0%}":
        shares = f"{most.unjudged:.0%}"
    else:
        shares = f"{least.unjudged:.0%} ({least.name!r}) to {most.unjudged:.0%} ({most.name!r})"
    if has_negatives:
        meaning = "Systems with a higher share may be better than they look"
    else:
        meaning = "The judgments name relevant documents only, so it is not known how many of these are relevant, too"
    return [
        (
            f"Of the first {JUDGED_DEPTH} documents of each query, {shares} have no judgment and count as not "
            f"relevant. {meaning}; late_interaction.evaluation.judge_pools can judge them."
        )
    ]


def _difference(compared: Comparison) -> str:
    return f"difference {difference_text(compared.difference)}"


def _price(system: ScoredSystem, cost: str) -> str:
    return f"{size(system.bytes_per_document)} per document" if cost == "size" else _milliseconds(system)


def _costs(system: ScoredSystem) -> str:
    known = [] if system.bytes_per_document is None else [f"{size(system.bytes_per_document)} per document"]
    known += [] if system.median_milliseconds is None else [_milliseconds(system)]
    return " and ".join(known) or "an unknown cost"


def _milliseconds(system: ScoredSystem) -> str:
    return f"{time_text(system.median_milliseconds)} per query"


def _would_tell(queries: int | None) -> str:
    if queries is None:
        return "more queries would tell"
    if queries > _MANY_QUERIES:
        return f"more than {_MANY_QUERIES:,} queries would be needed"
    step = 10 ** max(int(math.log10(queries)) - 1, 0)  # two digits, rounded up
    return f"about {math.ceil(queries / step) * step:,} queries would be needed"


def _queries(system: ScoredSystem, measure: str) -> int:
    return len(system.values[measure])
