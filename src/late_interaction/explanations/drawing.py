"""Draw heat over the image of a page."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image

    from late_interaction.encoders.protocol import Box

__all__ = ["highlighted"]

_MAX_OPACITY = 0.65  # of the color over the page
_LOW_COLOR, _HIGH_COLOR = np.array([255.0, 214.0, 10.0]), np.array([230.0, 30.0, 0.0])


def highlighted(page: Image, boxes: Sequence[Box | None], heat: NDArray[np.float32], max_side: int) -> Image:
    """Return a copy of the page, at most ``max_side`` pixels on its longer side, with its patches highlighted.

    Args:
        page: The page, RGB.
        boxes: For each vector, its patch as fractions of the page, or None.
        heat: How strongly to highlight each, (vectors,) in [0, 1].
        max_side: Pixels.
    """
    import PIL.Image
    from PIL import ImageFilter

    page = page.copy()
    page.thumbnail((max_side, max_side))
    width, height = page.size
    canvas = np.zeros((height, width), np.uint8)
    patches = [(box, float(value)) for box, value in zip(boxes, heat, strict=True) if box is not None]
    for (left, top, right, bottom), value in sorted(patches, key=itemgetter(1)):  # the strongest is drawn last
        rows = slice(int(top * height), max(math.ceil(bottom * height), 1))
        columns = slice(int(left * width), max(math.ceil(right * width), 1))
        canvas[rows, columns] = round(255 * value)
    side = min((min((box[2] - box[0]) * width, (box[3] - box[1]) * height) for box, _ in patches), default=0.0)
    blurred = PIL.Image.fromarray(canvas).filter(ImageFilter.GaussianBlur(side / 3))  # smooths the edges of patches
    blend = np.asarray(blurred, np.float32)[..., None] / 255
    color = _LOW_COLOR + (_HIGH_COLOR - _LOW_COLOR) * blend
    opacity = _MAX_OPACITY * np.minimum(2 * blend, 1)
    return PIL.Image.fromarray((np.asarray(page) * (1 - opacity) + color * opacity).astype(np.uint8))
