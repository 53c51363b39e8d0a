"""The hits of a cascade, and what each stage did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from late_interaction.documents import Hits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.documents import Hit

__all__ = ["StageReport", "StagedHits"]


@dataclass(frozen=True)
class StageReport:
    """What one stage did for one query.

    Attributes:
        stage: The name of the stage: ``lexical``, ``late``, ``hybrid``, ``index``, ``sentence-transformer``,
            ``sparse-encoder``, ``cross-encoder``, or that of a function.
        candidates: How many documents it ranked; of the first stage, all documents that pass the filter, or all ids
            that the search was restricted to.
        kept: How many of them it kept.
        milliseconds: How long it took, encoding the query included. Of `Cascade.search_many`, queries are encoded
            together, and each has an equal share of that.
    """

    stage: str
    candidates: int
    kept: int
    milliseconds: float


class StagedHits(Hits):
    """The hits of one query, best first, as a list.

    Attributes:
        stages: What each stage did, in their order.
    """

    def __init__(self, hits: Iterable[Hit] = (), stages: Iterable[StageReport] = ()) -> None:
        super().__init__(hits)
        self.stages = tuple(stages)
