"""Images on their way into a page encoder."""

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

_PROBE_SIZE = 96, 64


def require_pillow() -> None:
    """Raise `OptionalDependencyError` unless Pillow is installed."""
    require("PIL", package="pillow", feature="A page-image encoder", extra="pages")


def checked_images(images: Sequence[object]) -> list[Image.Image]:
    """The images, if they are such.

    Raises:
        InvalidRequestError: One is something else, such as a path, which is never opened here, or has no pixels.
    """
    from PIL import Image

    if not isinstance(images, (list, tuple)):
        raise InvalidRequestError(f"Images are given as a list, not as {type(images).__name__}.")
    found = []
    for image in images:
        if not isinstance(image, Image.Image):
            raise InvalidRequestError(
                f"Only PIL images can be encoded as images, not {type(image).__name__}. An encoder opens no files and "
                "fetches no addresses: open the image yourself (PIL.Image.open), or index Document(image=…)."
            )
        if not all(image.size):
            raise InvalidRequestError(f"An image of {image.width} x {image.height} pixels shows nothing.")
        found.append(image)
    return found


def as_rgb(image: Image.Image) -> Image.Image:
    """The image as it is shown, in RGB; see `late_interaction.images.rgb.to_rgb`.

    Raises:
        InvalidRequestError: Its file is damaged, or its mode cannot be converted.
    """
    try:
        return to_rgb(image)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for damaged files and odd modes
        raise InvalidRequestError(f"An image of mode {image.mode} cannot be read: {error}") from error


def probe_image() -> Image.Image:
    """A fixed image with edges, slopes and colours, the vectors of which are part of a fingerprint."""
    from PIL import Image

    width, height = _PROBE_SIZE
    down, across = np.mgrid[:height, :width]
    colours = [across * 255 // width, (down * 7) % 256, ((across // 16 + down // 16) % 2) * 255]
    return Image.fromarray(np.stack(colours, axis=-1).astype(np.uint8))
