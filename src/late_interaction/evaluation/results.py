"""What one system found for the queries of a dataset, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["SystemResult"]


@dataclass(frozen=True)
class SystemResult:
    """Rankings of a system, with its cost.

    Attributes:
        name: Of the system in a report, for example ``late, 2 bits``.
        settings: JSON values that distinguish it: ``kind``, ``bits``, ``pooling``, ``dim``, ``model``, ``stages``.
        rankings: Document ids for each query id, best first. A query that was not asked is missing.
        milliseconds: The time of each query, encoding included; empty if it is not known, as of a run from a file.
        bytes_per_document: What must be stored to search; None if it is not known.
        stages: For cascades, what each stage did, in the median over queries: ``stage``, ``candidates``,
            ``milliseconds``.
    """

    name: str
    settings: Mapping[str, Any]
    rankings: Mapping[str, Sequence[str]]
    milliseconds: Sequence[float] = ()
    bytes_per_document: float | None = None
    stages: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
