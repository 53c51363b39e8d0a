"""Images for the tests of page encoders."""

from __future__ import annotations

import numpy as np
from PIL import Image

# Wide, high, square; smaller and larger than what models see; sides of one and three pixels, which are also what
# channels look like.
SIZES = [(100, 50), (60, 200), (90, 90), (40, 300), (33, 47), (500, 333), (3, 50), (50, 3), (1, 1), (150, 150)]


def noise(size, seed=0):
    """An image without two equal corners."""
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def pages():
    """An image of each size."""
    return [noise(size, seed) for seed, size in enumerate(SIZES)]
