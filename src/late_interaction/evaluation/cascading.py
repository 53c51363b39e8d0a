"""Cascades as systems of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from late_interaction.cascades import Cascade, parse_stages
from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.systems import Answer, System, lexical_bytes, vector_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from late_interaction.evaluation.dataset import JudgedQuery
    from late_interaction.evaluation.query_encoding import QueryEncoder
    from late_interaction.index import Index

__all__ = ["Ranker", "cascade_systems", "with_cross_encoder"]

_RERANKED = 20
"""Documents that a cross-encoder ranks again, after a system, unless the user says otherwise."""


@dataclass(frozen=True)
class Ranker:
    """What a name in the notation of stages stands for.

    Attributes:
        model: What `Cascade` takes; None for a mode of the index.
        parts: What it stores, see `System`.
        encoder: Encodes the queries once for several systems; None if it encodes them itself, or not at all.
    """

    model: Any
    parts: Mapping[str, int | None]
    encoder: QueryEncoder | None = None


def with_cross_encoder(first: Sequence[str], stages: Sequence[Any]) -> list[Any]:
    """Return stages, with the cross-encoder after each of the first stages, unless it is in one of the given ones."""
    if any(isinstance(one, str) and "cross-encoder" in one for one in stages):
        return list(stages)
    return [*stages, *(f"{name}:{_RERANKED},cross-encoder:{_RERANKED}" for name in first)]


def cascade_systems(index: Index, stages: Sequence[Any], rankers: Mapping[str, Ranker]) -> list[System]:
    """Return the systems of cascades.

    Args:
        index: The index.
        stages: Notations such as ``lexical:200,late:20``, or `Cascade` objects.
        rankers: What the names in notations stand for.

    Raises:
        InvalidRequestError: One is neither, or malformed.
    """
    if isinstance(stages, (str, Mapping)) or not hasattr(stages, "__iter__"):
        raise InvalidRequestError(
            f'stages must be a list of cascades, for example ["lexical:200,late:20"], got {stages!r}.'
        )
    found: dict[str, System] = {}
    for given in stages:
        system = _given(given) if isinstance(given, Cascade) else _parsed(index, given, rankers)
        found.setdefault(system.name, system)
    return list(found.values())


def _parsed(index: Index, notation: str, rankers: Mapping[str, Ranker]) -> System:
    models = {name: ranker.model for name, ranker in rankers.items() if ranker.model is not None}
    cascade = Cascade(index, parse_stages(notation, models))
    stages = [part.strip() for part in notation.split(",")]
    used = [rankers[stage.rpartition(":")[0].strip()] for stage in stages]
    parts = {name: size for ranker in used for name, size in ranker.parts.items()}
    encoders = {id(ranker.encoder): ranker.encoder for ranker in used if ranker.encoder is not None}
    return _system(", ".join(stages), cascade, parts, list(encoders.values()))


def _given(cascade: Cascade) -> System:
    """Return the system of a cascade of the caller, which encodes queries itself. What its models store is not known.

    Its index is that of the caller, and may be another one.
    """
    names = [stage.stage for stage in cascade.search("").stages]  # a blank query is not searched for
    parts: dict[str, int | None] = {}
    for name in names:
        if name in ("late", "hybrid"):
            parts["vectors"] = vector_bytes(cascade.index)
        if name in ("lexical", "hybrid"):
            parts["words"] = lexical_bytes(cascade.index)
        if name not in ("late", "lexical", "hybrid", "cross-encoder"):
            parts[name] = None
    return _system(f"{', '.join(names)}:{cascade.max_k}", cascade, parts, [])


def _system(name: str, cascade: Cascade, parts: Mapping[str, int | None], encoders: Sequence[QueryEncoder]) -> System:
    def search(query: JudgedQuery, k: int) -> Answer:
        hits = cascade.search(query.query, min(k, cascade.max_k))
        stages = [
            {"stage": one.stage, "candidates": one.candidates, "milliseconds": one.milliseconds} for one in hits.stages
        ]
        return Answer([hit.id for hit in hits], stages)

    settings = {"kind": "cascade", "stages": name}
    return System(name, settings, search, parts, encoders, is_deepened=False, limit=cascade.max_k)
