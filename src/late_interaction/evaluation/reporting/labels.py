"""Where to write the names of points in a plot, so that they overlap neither each other nor the points."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["placed_labels"]

_Box = tuple[float, float, float, float]  # left, bottom, right, top

_GAP = 4.0  # pixels between a marker and its label
_DIRECTIONS = 16
_RINGS = 12
_BAR_WIDTH = 4.0  # pixels, with the room beside it
_WEIGHT_OF_LABELS = 10.0  # how much worse it is to cover a label or a point than a bar
_COST_OF_A_RING = 20.0  # square pixels that may be covered rather than to place a label so much farther away


def placed_labels(
    points: Sequence[tuple[float, float]],
    radii: Sequence[float],
    sizes: Sequence[tuple[float, float]],
    bounds: _Box,
    *,
    bars: Sequence[tuple[float, float]],
) -> list[tuple[float, float]]:
    """Return the lower left corner of the label of each point, in pixels.

    Labels are placed one after the other, those of the most crowded points first, each where it covers least of other
    labels, points and bars, and is near its point.

    Args:
        points: Where the points are, in pixels.
        radii: Of their markers, in pixels.
        sizes: Width and height of each label, in pixels.
        bounds: Left, bottom, right and top of the area, in pixels.
        bars: Lower and upper end of the error bar of each point, in pixels.

    Example:
        >>> placed_labels([(100.0, 100.0)], [6.0], [(40.0, 10.0)], (0.0, 0.0, 300.0, 200.0), bars=[(90.0, 110.0)])
        [(110.0, 95.0)]
    """
    taken = [(x - radius, y - radius, x + radius, y + radius) for (x, y), radius in zip(points, radii, strict=True)]
    half = _BAR_WIDTH / 2
    lines = [(x - half, low, x + half, high) for (x, _), (low, high) in zip(points, bars, strict=True)]
    placed: dict[int, tuple[float, float]] = {}
    for index in sorted(range(len(points)), key=lambda index: (_distance_to_next(points, index), index)):
        size = sizes[index]

        def cost(candidate: tuple[int, tuple[float, float]], size: tuple[float, float] = size) -> float:
            ring, corner = candidate
            box = _box(corner, size)
            outside = size[0] * size[1] - _common(box, bounds)
            covered = sum(_common(box, other) for other in taken) + outside
            return _COST_OF_A_RING * ring + _WEIGHT_OF_LABELS * covered + sum(_common(box, line) for line in lines)

        _, placed[index] = min(_candidates(points[index], radii[index], size), key=cost)
        taken.append(_box(placed[index], size))
    return [placed[index] for index in range(len(points))]


def _candidates(
    point: tuple[float, float], radius: float, size: tuple[float, float]
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Yield lower left corners of a label, in rings from near to far, each from the right counterclockwise."""
    (x, y), (width, height) = point, size
    for ring in range(_RINGS):
        distance = radius + _GAP + ring * height
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * step / _DIRECTIONS
            center_x = x + math.cos(angle) * (distance + width / 2)
            center_y = y + math.sin(angle) * (distance + height / 2)
            yield ring, (center_x - width / 2, center_y - height / 2)


def _common(one: _Box, other: _Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def _box(corner: tuple[float, float], size: tuple[float, float]) -> _Box:
    return corner[0], corner[1], corner[0] + size[0], corner[1] + size[1]


def _distance_to_next(points: Sequence[tuple[float, float]], index: int) -> float:
    return min((math.dist(points[index], point) for other, point in enumerate(points) if other != index), default=0.0)
