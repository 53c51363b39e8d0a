"""What a search asks for, checked before anything is encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict, get_args

from late_interaction.engines.base import require
from late_interaction.errors import InvalidRequestError
from late_interaction.filters import parse
from late_interaction.validation import check_fraction, check_ids, check_k, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.engines.base import Engine
    from late_interaction.filters import Filter, Where

__all__ = ["Mode", "SearchOptions", "SearchRequest"]

Mode: TypeAlias = Literal["late", "lexical", "hybrid"]

_MIN_DIVERSITY_POOL = 20  # best documents among which the diverse ones are chosen
_DIVERSITY_OVERSAMPLING = 4  # or this many for each of the k


class SearchOptions(TypedDict, total=False):
    """The options of `Index.search`, which describes them."""

    where: Where | None
    candidates: Iterable[str] | None
    mode: Mode
    min_relevance: float | None
    diversity: float | None
    diversity_pool: int | None
    truncate: bool


@dataclass(frozen=True)
class SearchRequest:
    """What a search asks of an engine.

    Attributes:
        k: The number of hits.
        clause: Only documents that pass this filter.
        candidates: Only documents of these ids.
        mode: How documents are ranked.
        min_relevance: Only hits of at least this relevance; of ``hybrid``, in the mode ``late``.
        diversity: 0 counts relevance alone, 1 difference alone; None keeps the ranking.
        depth: How many matches a ranking needs: k, or more where the diverse ones are chosen among them.
        max_candidates: See `Capabilities`.
        truncate: Whether queries that are longer than the encoder reads are truncated; else they are an error.
    """

    k: int
    clause: Filter | None
    candidates: list[str] | None
    mode: Mode
    min_relevance: float
    diversity: float | None
    depth: int
    max_candidates: int | None
    truncate: bool

    @classmethod
    def of(
        cls,
        engine: Engine,
        k: int,
        *,
        mode: Mode = "late",
        where: Where | None = None,
        candidates: Iterable[str] | None = None,
        diversity: float | None = None,
        diversity_pool: int | None = None,
        min_relevance: float | None = None,
        truncate: bool = True,
    ) -> SearchRequest:
        """Return the request, if the engine can answer it.

        Raises:
            InvalidRequestError: An argument is out of range.
            InvalidFilterError: The filter is malformed, or the engine cannot apply it.
            UnsupportedError: The engine lacks what the mode or diversity needs.
        """
        if mode not in get_args(Mode):
            hint = did_you_mean(mode, get_args(Mode))
            raise InvalidRequestError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}.{hint}")
        k = depth = check_k(k)
        if mode != "late":
            require(engine, "lexical")
        if diversity is not None:
            diversity = check_fraction(diversity, "diversity")
            require(engine, "vectors")
            pool = max(_MIN_DIVERSITY_POOL, _DIVERSITY_OVERSAMPLING * k)
            depth = max(k, pool if diversity_pool is None else check_k(diversity_pool, "diversity_pool"))
        clause = None if where is None else parse(where)
        if clause is not None:
            engine.check_filter(clause)
        limit = engine.capabilities.max_candidates
        if limit is not None and k > limit:
            raise InvalidRequestError(f"k must be at most {limit} for {type(engine).__name__}, got {k}.")
        return cls(
            k,
            clause,
            None if candidates is None else check_ids(candidates),
            mode,
            0.0 if min_relevance is None else check_fraction(min_relevance, "min_relevance"),
            diversity,
            depth if limit is None else min(depth, limit),
            limit,
            truncate,
        )

    def within_limit(self, depth: int) -> int:
        """Return the depth, or the greatest one that the engine has."""
        return depth if self.max_candidates is None else min(depth, self.max_candidates)

    def candidate_groups(self) -> list[list[str]] | list[None]:
        """Return the candidates in groups of as many as the engine takes at a time; ``[None]`` for all documents."""
        return [None] if self.candidates is None else _in_groups(self.candidates, self.max_candidates)


def _in_groups(ids: list[str], limit: int | None) -> list[list[str]]:
    """Return ids in groups of as many as an engine takes at a time, each id once if there is more than one group."""
    if limit is None or len(ids) <= limit:
        return [ids]
    unique = list(dict.fromkeys(ids))
    return [unique[start : start + limit] for start in range(0, len(unique), limit)]
