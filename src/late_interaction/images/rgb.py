"""Convert images of any mode to RGB, as displayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["to_rgb"]

_ORIENTATION = 0x0112  # EXIF tag


def to_rgb(image: Image) -> Image:
    """Return a copy in RGB, as displayed: EXIF orientation applied, transparency on white.

    16-bit gray (mode ``I;16``, and mode ``I`` with values above 255) is scaled to 8 bits.
    """
    import PIL.Image
    from PIL import ImageOps

    upright = image if image.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        return PIL.Image.fromarray(_eight_bits(np.asarray(upright), upright.info.get("transparency"))).convert("RGB")
    if upright.mode == "La":  # which Pillow converts only to LA
        upright = upright.convert("LA")
    if upright.has_transparency_data:
        shown = upright.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    return upright.convert("RGB")


def _eight_bits(pixels: NDArray[Any], transparent: int | None) -> NDArray[np.uint8]:
    sixteen = pixels.dtype.itemsize == 2 or pixels.max() > 255
    gray = np.clip(pixels // 257 if sixteen else pixels, 0, 255)
    return np.where(pixels == transparent, 255, gray).astype(np.uint8)
