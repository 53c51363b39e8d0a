"""What a stage of a cascade is: it finds documents, or ranks those of the stage before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from late_interaction.documents import Document, Hit
    from late_interaction.filters import Filter
    from late_interaction.retrieval.queries import Query

__all__ = ["FirstStage", "Restriction", "Stage", "is_unchanged", "reordered", "text_of"]


class Restriction(NamedTuple):
    """Which documents the first stage may find.

    Attributes:
        clause: Only documents that pass this filter.
        candidates: Only documents of these ids.
    """

    clause: Filter | None = None
    candidates: list[str] | None = None


class Stage(ABC):
    """One ranker of a cascade. Any thread may call.

    Attributes:
        name: What reports call it.
    """

    name: str

    def encode(self, queries: Sequence[Query]) -> Sequence[Any]:
        """Return what the stage needs of each query; they are encoded together.

        Raises:
            InvalidRequestError: The stage cannot rank by one of the queries.
        """
        for query in queries:
            text_of(query, self.name)
        return [None] * len(queries)

    @abstractmethod
    def rank(self, query: Query, encoded: Any, hits: list[Hit]) -> list[Hit]:
        """Return the hits with the scores of this stage, best first; of equal ones, the earlier first.

        Documents that were deleted or replaced since they were found are left out where the stage notices it.

        Args:
            query: The query.
            encoded: What `encode` gave for it.
            hits: What the stage before has kept, at least one.
        """
        ...


class FirstStage(Stage):
    """A ranker that can find documents, too."""

    @abstractmethod
    def find(self, query: Query, encoded: Any, count: int, restriction: Restriction) -> list[Hit]:
        """Return the best documents, best first, with the scores of this stage.

        Args:
            query: The query.
            encoded: What `encode` gave for it.
            count: How many, at most.
            restriction: Which documents.
        """
        ...

    @abstractmethod
    def check(self, count: int, restriction: Restriction) -> None:
        """Raise unless the stage can find this many documents under this restriction."""
        ...


def text_of(query: Query, stage: str) -> str:
    """Return the text of a query.

    Raises:
        InvalidRequestError: It has none.
    """
    if query.text is None:
        given = "token vectors" if query.image is None else "an image"
        raise InvalidRequestError(
            f"The stage {stage!r} needs a text, and the query is {given} without one. Pass a string, or use a cascade "
            "whose stages are all 'late'."
        )
    return query.text


def reordered(hits: list[Hit], scored: Mapping[str, Hit]) -> list[Hit]:
    """Return the hits that have a new score, best first; of equal ones, those that came first.

    Args:
        hits: The hits of the stage before.
        scored: Hits of the same documents with their new scores, by id.
    """
    return sorted((scored[hit.id] for hit in hits if hit.id in scored), key=lambda hit: -hit.score)


def is_unchanged(document: Document, now: Document | None) -> bool:
    """Return whether a document is stored with the same text and image as when it was found, whatever its metadata."""
    return (
        now is not None
        and document.text == now.text
        and document.text_to_encode == now.text_to_encode
        and document.encoded_content == now.encoded_content
    )
