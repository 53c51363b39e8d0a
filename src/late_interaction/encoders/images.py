"""Check and convert images before they are encoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from late_interaction.errors import InvalidRequestError
from late_interaction.images.rgb import to_rgb
from late_interaction.optional import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

__all__ = ["as_rgb", "checked_images", "probe_image", "require_pillow"]

_PROBE_SIZE = 96, 64  # pixels, width and height


def require_pillow() -> None:
    """Raise `OptionalDependencyError` unless Pillow is installed."""
    require("PIL", package="pillow", feature="A page-image encoder", extra="pages")


def checked_images(images: Sequence[object]) -> list[Image.Image]:
    """Return the images if all are PIL images.

    Raises:
        InvalidRequestError: One is not a PIL image, or has no pixels. A path is never opened here.
    """
    from PIL import Image

    if not isinstance(images, (list, tuple)):
        raise InvalidRequestError(f"Images must be a list, got {type(images).__name__}.")
    found = []
    for image in images:
        if not isinstance(image, Image.Image):
            raise InvalidRequestError(
                f"Images must be PIL images, got {type(image).__name__}. An encoder does not open files or URLs: open "
                "the image yourself (PIL.Image.open), or index Document(image=…)."
            )
        if not all(image.size):
            raise InvalidRequestError(f"The image is empty ({image.width} x {image.height} pixels).")
        found.append(image)
    return found


def as_rgb(image: Image.Image) -> Image.Image:
    """Return the image as displayed, in RGB; see `late_interaction.images.rgb.to_rgb`.

    Raises:
        InvalidRequestError: The file is damaged, or the mode cannot be converted to RGB.
    """
    try:
        return to_rgb(image)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files and unusual modes
        raise InvalidRequestError(f"An image of mode {image.mode} cannot be read: {error}") from error


def probe_image() -> Image.Image:
    """Return a fixed image with edges, gradients and colors, whose vectors are part of a fingerprint."""
    from PIL import Image

    width, height = _PROBE_SIZE
    down, across = np.mgrid[:height, :width]
    colors = [across * 255 // width, (down * 7) % 256, ((across // 16 + down // 16) % 2) * 255]
    return Image.fromarray(np.stack(colors, axis=-1).astype(np.uint8))
