"""Convert images of any mode to RGB, as displayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["to_rgb"]

_ORIENTATION = 0x0112  # EXIF tag
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
_INTEGER_MAXIMA, _FLOAT_MAXIMA = (255, 4095, 65535), (1, 255)  # of 8, 12 and 16 bits
_BLOCK_ROWS = 256  # converted at a time, in double precision
_LOW_DEPTHS = {"L;2": 85, "L;4": 17}  # Pillow's names for gray of 2 and 4 bits, and by what it multiplies them


def to_rgb(image: Image) -> Image:
    """Return a copy in RGB, as displayed: EXIF orientation applied, transparency on white.

    Gray of more than 8 bits, or of floating-point numbers, is scaled. White is the maximum of the least range that
    contains all values: 8, 12 or 16 bits, or 1 for floating-point numbers. Values in no range are stretched, so that
    the least is black and the greatest white. NaN is white.
    """
    import PIL.Image
    from PIL import ImageOps

    is_inverted, is_unsigned, step = _is_inverted(image), _is_unsigned(image), _step(image)  # before it is decoded
    upright = image if image.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
    transparent = upright.info.get("transparency")
    if upright.mode.startswith("I") or upright.mode == "F":
        values = np.asarray(upright)
        gray = _eight_bits(values.view(np.uint32) if is_unsigned else values)
        gray = 255 - gray if is_inverted else gray
        return _gray_on_white(gray, values == transparent)
    if step and upright.mode == "L" and isinstance(transparent, int):
        gray = np.asarray(upright)
        return _gray_on_white(gray, gray == transparent * step)
    if upright.mode == "La":  # which Pillow converts only to LA
        upright = upright.convert("LA")
    if upright.has_transparency_data:
        shown = upright.convert("RGBA")
        return PIL.Image.alpha_composite(PIL.Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    return upright.convert("RGB")


def _gray_on_white(gray: NDArray[np.uint8], is_transparent: NDArray[np.bool_] | bool) -> Image:  # noqa: FBT001
    import PIL.Image

    return PIL.Image.fromarray(np.where(is_transparent, np.uint8(255), gray)).convert("RGB")


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return gray values of any range and type as 8 bits."""
    is_float = values.dtype.kind == "f"
    finite = values[np.isfinite(values)] if is_float else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    maxima = _FLOAT_MAXIMA if is_float else _INTEGER_MAXIMA
    if low >= 0 and high <= maxima[-1]:
        low, high = 0.0, float(next(maximum for maximum in maxima if high <= maximum))
    gray = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        scaled = (values[rows].astype(np.float64) - low) * 255 / max(high - low, np.finfo(np.float64).tiny)
        gray[rows] = np.clip(np.nan_to_num(scaled, nan=255.0), 0, 255)
    return gray


def _is_inverted(image: Image) -> bool:
    """Return whether zero is white in a TIFF. Pillow inverts gray of 8 bits itself, but not of more."""
    return bool(_tag(image, _PHOTOMETRIC) == 0)


def _is_unsigned(image: Image) -> bool:
    """Return whether a TIFF has unsigned integers of 32 bits, which Pillow reads as signed ones."""
    return image.mode == "I" and _tag(image, _BITS) == (32,) and _tag(image, _SAMPLE_FORMAT) in (None, (1,))


def _step(image: Image) -> int | None:
    """Return by what Pillow multiplies gray of 2 or 4 bits in a PNG, but not the value that is transparent in it."""
    tiles = getattr(image, "tile", None)
    return _LOW_DEPTHS.get(str(tiles[0][3])) if tiles and image.format == "PNG" else None


def _tag(image: Image, tag: int) -> Any:
    tags = getattr(image, "tag_v2", None)
    return None if tags is None else tags.get(tag)
