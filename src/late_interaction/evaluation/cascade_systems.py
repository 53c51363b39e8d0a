"""Cascades as systems of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from late_interaction.cascades import Cascade
from late_interaction.evaluation.systems import Answer, System, vector_bytes
from late_interaction.retrieval.recent_queries import forget_queries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from late_interaction.evaluation.dataset import JudgedQuery
    from late_interaction.evaluation.query_encoding import QueryEncoder
    from late_interaction.evaluation.requested import Notation
    from late_interaction.index import Index

__all__ = ["Ranker", "given_system", "name_of", "notation_system", "with_cross_encoder"]

_RERANKED = 20
"""Documents that a cross-encoder ranks again, after a system, unless the user says otherwise."""

_STORE_NOTHING = ("cross-encoder", "sentence-transformer", "sparse-encoder")
"""Stages that encode the candidates where they are not the first."""


@dataclass(frozen=True)
class Ranker:
    """What a name in the notation of stages stands for.

    Attributes:
        model: What `Cascade` takes.
        parts: What it stores, see `System`.
        encoder: Encodes the queries once for several systems; None if it encodes them itself, or not at all.
    """

    model: Any
    parts: Mapping[str, int | None]
    encoder: QueryEncoder | None = None


def with_cross_encoder(first: Sequence[str], stages: Sequence[Notation | Cascade]) -> list[Notation | Cascade]:
    """Return stages, with the cross-encoder after each of the first stages, unless it is in one of the given ones."""
    named = {name for one in stages if not isinstance(one, Cascade) for name, _ in one}
    if "cross-encoder" in named:
        return list(stages)
    return [*stages, *(((name, _RERANKED), ("cross-encoder", _RERANKED)) for name in first)]


def name_of(stages: Notation) -> str:
    """Return stages as users write them.

    Example:
        >>> name_of((("lexical", 200), ("late", 20)))
        'lexical:200, late:20'
    """
    return ", ".join(f"{name}:{count}" for name, count in stages)


def notation_system(name: str, index: Index, stages: Notation, rankers: Sequence[Ranker]) -> System:
    """Return the system of a cascade of named stages.

    Args:
        name: Of the system.
        index: The index.
        stages: The stages.
        rankers: What their names stand for.

    Raises:
        InvalidRequestError: A stage does not fit its place.
    """
    cascade = Cascade(index, [(ranker.model, count) for ranker, (_, count) in zip(rankers, stages, strict=True)])
    parts = {part: size for ranker in rankers for part, size in ranker.parts.items()}
    used = [ranker.encoder for ranker in rankers]
    return _system(name, cascade, parts, [None if one in used[:at] else one for at, one in enumerate(used)])


def given_system(name: str, cascade: Cascade) -> System:
    """Return the system of a cascade of the caller, which encodes queries itself. What its models store is not known.

    Its index is that of the caller, and may be another one.
    """
    parts: dict[str, int | None] = {}
    for position, (stage, _) in enumerate(cascade.stages):
        if stage in ("late", "hybrid"):
            parts["vectors"] = vector_bytes(cascade.index)
        if stage in ("lexical", "hybrid"):
            parts["words"] = cascade.index.engine.lexical_bytes()
        if stage not in ("late", "lexical", "hybrid", *(_STORE_NOTHING if position else ())):
            parts[stage] = None
    system = _system(name, cascade, parts, [None] * len(cascade.stages))

    def search(query: JudgedQuery, k: int) -> Answer:
        forget_queries()  # another cascade may have encoded it just now
        return system.search(query, k)

    return replace(system, search=search)


def _system(
    name: str, cascade: Cascade, parts: Mapping[str, int | None], encoders: Sequence[QueryEncoder | None]
) -> System:
    """Return the system of a cascade. Of each stage, there is the encoder whose time is added to that of the stage."""

    def search(query: JudgedQuery, k: int) -> Answer:
        hits = cascade.search(query.query, min(k, cascade.max_k))
        encoding = [0.0 if encoder is None else encoder.milliseconds(query) for encoder in encoders]
        stages = [
            {"stage": one.stage, "candidates": one.candidates, "milliseconds": one.milliseconds + added}
            for one, added in zip(hits.stages, encoding, strict=True)
        ]
        return Answer([hit.id for hit in hits], stages)

    settings = {"kind": "cascade", "stages": name}
    shared = [encoder for encoder in encoders if encoder is not None]
    return System(name, settings, search, parts, shared, is_deepened=False, limit=cascade.max_k)
