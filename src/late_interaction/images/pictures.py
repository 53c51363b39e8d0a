"""Image files and images in memory, read with Pillow into plain RGB."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from late_interaction.errors import ImageUnavailableError
from late_interaction.images.rgb import ORIENTATION, to_rgb
from late_interaction.optional import require

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from PIL.Image import Image

__all__ = [
    "count_frames",
    "frame_size",
    "from_base64",
    "from_bytes",
    "pixel_digest",
    "read_frame",
    "to_jpeg",
    "to_thumbnail",
]

_MAX_PIXELS = 89_000_000  # of one image: 267 MB as RGB. A0 at 200 dpi has 62 million; beyond 89 Pillow warns
_THUMBNAIL_SIDE = 1024  # pixels; small print of an A4 page can still be read
_THUMBNAIL_QUALITY = 80
_JPEG_QUALITY = 85

# What Pillow raises for files that are damaged, cut off or made to harm.
_DECODING_ERRORS = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, OverflowError, MemoryError)


def count_frames(path: str | os.PathLike[str]) -> int:
    """How many images a file holds: the pages of a TIFF; 1 for all other kinds, animated ones among them.

    Raises:
        ImageUnavailableError: It is no image that can be read.
    """
    with _opened(path) as image:
        return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1


def read_frame(path: str | os.PathLike[str], frame: int) -> Image:
    """One image of a file as RGB, upright.

    Args:
        path: The file.
        frame: The page of a TIFF, from 1.

    Raises:
        ImageUnavailableError: It cannot be read, is too large, or there is no such page.
    """
    with _opened(path) as image:
        if frame > 1:
            image.seek(frame - 1)
            _check_size(path, image)
        return to_rgb(image)


def frame_size(path: str | os.PathLike[str], frame: int) -> tuple[int, int]:
    """Width and height in pixels of one image of a file, upright, without decoding it.

    Raises:
        ImageUnavailableError: As for `read_frame`.
    """
    with _opened(path) as image:
        if frame > 1:
            image.seek(frame - 1)
            _check_size(path, image)
        width, height = image.size
        return (height, width) if image.getexif().get(ORIENTATION, 1) in _TURNED else (width, height)


_TURNED = frozenset({5, 6, 7, 8})  # values of it that swap width and height


def pixel_digest(image: Image) -> str:
    """What tells an RGB image from another: a hash of its size and pixels."""
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()[:32]


def to_thumbnail(image: Image) -> bytes:
    """An RGB image as WebP of at most 1,024 pixels a side."""
    small = image.copy()
    small.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_THUMBNAIL_QUALITY)
    return buffer.getvalue()


def to_jpeg(image: Image, side: int) -> bytes:
    """An RGB image as JPEG of at most so many pixels a side, for browsers and models."""
    small = image.copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Image:
    """The image in the bytes of a file of any kind that Pillow reads, RGB and upright.

    Raises:
        ImageUnavailableError: The bytes are damaged, or the image is too large.
    """
    with _opened(io.BytesIO(data)) as image:
        return to_rgb(image)


def from_base64(data: str) -> Image:
    """The same from base64, plain or as a data URI.

    Raises:
        ImageUnavailableError: It is not base64, the bytes are damaged, or the image is too large.
    """
    try:
        return from_bytes(base64.b64decode(data.rpartition(",")[2] if data.startswith("data:") else data))
    except binascii.Error as error:
        raise ImageUnavailableError("An image", f"it is not base64 ({error})") from None


@contextmanager
def _opened(file: str | os.PathLike[str] | io.BytesIO) -> Iterator[Image]:
    """An image file, open; whatever Pillow raises while it is read becomes an error that says what is wrong with it."""
    require("PIL", package="pillow", feature="Reading images", extra="pages")
    import PIL
    import PIL.Image

    name = "An image" if isinstance(file, io.BytesIO) else str(file)
    try:
        with PIL.Image.open(file) as image:
            _check_size(file, image)
            yield image
    except PIL.UnidentifiedImageError:
        raise ImageUnavailableError(name, "it is no image, or of a kind that Pillow cannot read") from None
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise ImageUnavailableError(name, f"it is too large ({error})") from None
    except FileNotFoundError:
        raise ImageUnavailableError(name, "the file is gone") from None
    except _DECODING_ERRORS as error:
        if isinstance(error, ImageUnavailableError):
            raise
        raise ImageUnavailableError(name, f"it is damaged or cannot be read ({error})") from None


def _check_size(file: object, image: Image) -> None:
    width, height = image.size
    if width * height > _MAX_PIXELS:
        raise ImageUnavailableError(
            str(file), f"it is too large: {width:,} x {height:,} pixels, at most {_MAX_PIXELS:,} in all"
        )
