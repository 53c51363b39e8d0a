"""Regions of a page: adjacent patches as one box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from late_interaction.encoders.protocol import Box

__all__ = ["PageRegion", "adjacent_groups", "surrounding_box", "with_margin"]

_MAX_GAP = 0.25  # between two patches that count as adjacent, as a share of the smaller one's side; corners may touch
_MARGIN_ACROSS = 0.2  # of the page's width: what a label or a row of a table says stands beside it
_MARGIN_DOWN = 0.05  # of the page's height


@dataclass(frozen=True)
class PageRegion:
    """A region of a page that answers some words of a query.

    Attributes:
        box: Left, top, right and bottom, as fractions of the page's width and height.
        page_box: The same in the unit of `PageImage.width`: points (1/72 inch) for a page of a PDF, pixels for an
            image. The origin is the upper left corner of the page as displayed.
        score: In [0, 1], on the scale of `Hit.relevance`: 0 is what unrelated pages have, 1 what the query itself would
            have. Regions of different pages can be compared.
        words: The words of the query that the region answers, strongest first.
    """

    box: Box
    page_box: Box
    score: float
    words: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the region as JSON values, for metadata and APIs."""
        return {
            "box": list(self.box),
            "page_box": list(self.page_box),
            "score": self.score,
            "words": list(self.words),
        }


def adjacent_groups(boxes: Sequence[Box]) -> list[list[int]]:
    """Return the positions of the boxes in groups, each of boxes that touch or overlap one another in a chain."""
    edges = np.array(boxes, np.float64).reshape(-1, 4)
    sides = edges[:, 2:] - edges[:, :2]
    left = set(range(len(edges)))
    groups = []
    while left:
        group, border = [], [left.pop()]
        while border:
            at = border.pop()
            group.append(at)
            gap = _MAX_GAP * np.minimum(sides, sides[at])
            near = (edges[:, :2] <= edges[at, 2:] + gap).all(axis=1) & (edges[:, 2:] + gap >= edges[at, :2]).all(axis=1)
            found = left.intersection(np.flatnonzero(near).tolist())
            left -= found
            border.extend(found)
        groups.append(sorted(group))
    return groups


def surrounding_box(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around these."""
    edges = np.array(boxes, np.float64)
    (left, top), (right, bottom) = edges[:, :2].min(axis=0).tolist(), edges[:, 2:].max(axis=0).tolist()
    return left, top, right, bottom


def with_margin(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a box in pixels of an image of this size, with a margin."""
    width, height = size
    across, down = _MARGIN_ACROSS * width, _MARGIN_DOWN * height
    return (
        max(0, int(box[0] * width - across)),
        max(0, int(box[1] * height - down)),
        min(width, int(np.ceil(box[2] * width + across))),
        min(height, int(np.ceil(box[3] * height + down))),
    )
