"""Images of any mode as they are shown, in RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["to_rgb"]

_ORIENTATION = 0x0112  # the tag of EXIF


def to_rgb(image: Image) -> Image:
    """A copy as it is shown, in RGB: turned as its EXIF orientation says, on white where it is transparent.

    16-bit grey (modes ``I;16`` and, where it holds more than 255, ``I``) is scaled to 8 bits.
    """
    import PIL.Image
    from PIL import ImageOps

    upright = image if image.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        return PIL.Image.fromarray(_eight_bits(np.asarray(upright), upright.info.get("transparency"))).convert("RGB")
    if upright.mode == "La":  # which Pillow turns into nothing else
        upright = upright.convert("LA")
    if upright.has_transparency_data:
        seen = upright.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return upright.convert("RGB")


def _eight_bits(pixels: NDArray[Any], transparent: int | None) -> NDArray[np.uint8]:
    sixteen = pixels.dtype.itemsize == 2 or pixels.max() > 255
    grey = np.clip(pixels // 257 if sixteen else pixels, 0, 255)
    return np.where(pixels == transparent, 255, grey).astype(np.uint8)
