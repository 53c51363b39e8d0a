"""What an engine can do beyond the required core of `Engine`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from late_interaction.filters import OPERATORS

__all__ = ["Capabilities", "Capability"]

Capability: TypeAlias = Literal["lexical", "vectors", "verify", "compact", "copy", "sources"]
"""The capabilities that stand for methods of `Engine`."""


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do beyond the required core.

    Attributes:
        snapshots: Reads inside `Engine.one_state` are of one state, whatever others write.
        atomic_upsert: An upsert or delete happens completely or not at all, also with ``replacing``. Without it, an
            error can leave the first batches in the engine; the same call again completes it.
        exact_search: `Engine.search` returns the exact k best. Without it, candidate generation may miss some.
        lexical: `Engine.search_lexical`, and so the modes ``lexical`` and ``hybrid``.
        vectors: `Engine.vectors`, `Engine.records` and `Engine.background`: stored token vectors, for explanations,
            diversity and relevance.
        verify: `Engine.verify`.
        compact: `Engine.compact`.
        copy: `Engine.copy`.
        sources: `Engine.roots` and the other methods that remember which folder a document was read from.
        max_candidates: The greatest ``k``, and the most ids in ``candidates``, that one search takes; None for any.
        filter_operators: The operators of the ``where`` language that `Engine.search` and the others understand.
        remote: Calls wait for another machine, so many threads may usefully call at once.
    """

    snapshots: bool = False
    atomic_upsert: bool = False
    exact_search: bool = False
    lexical: bool = False
    vectors: bool = False
    verify: bool = False
    compact: bool = False
    copy: bool = False
    sources: bool = False
    max_candidates: int | None = None
    filter_operators: frozenset[str] = OPERATORS
    remote: bool = False
