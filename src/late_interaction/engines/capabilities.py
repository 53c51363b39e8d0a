"""What an engine can do beyond the required core of `Engine`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from late_interaction.errors import UnsupportedError
from late_interaction.filters import OPERATORS

if TYPE_CHECKING:
    from late_interaction.engines.optional_methods import OptionalMethods

__all__ = ["Capabilities", "Capability", "require", "unsupported"]

Capability: TypeAlias = Literal["lexical", "vectors", "verify", "compact", "copy", "sources", "keeps_vectors"]
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
        keeps_vectors: `Engine.upsert_keeping`: a document is replaced without its vectors being read or written.
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
    keeps_vectors: bool = False
    max_candidates: int | None = None
    filter_operators: frozenset[str] = OPERATORS
    remote: bool = False


_NAMES: dict[Capability, str] = {
    "lexical": "search by words, so mode must be 'late'",
    "vectors": "return stored token vectors, which explanations and diversity need",
    "verify": "check what it stores",
    "compact": "be compacted",
    "copy": "be copied into a directory",
    "sources": "remember which folder a document was read from, so only documents can be added, not files",
    "keeps_vectors": "store a document again without its vectors",
}


def unsupported(engine: OptionalMethods, capability: Capability) -> UnsupportedError:
    """Return the error for a capability that an engine does not have."""
    return UnsupportedError(f"{type(engine).__name__} cannot {_NAMES[capability]}.")


def require(engine: OptionalMethods, capability: Capability) -> None:
    """Raise unless the engine has the capability, before anything is encoded or read.

    Raises:
        UnsupportedError: It does not.
    """
    if not getattr(engine.capabilities, capability):
        raise unsupported(engine, capability)
