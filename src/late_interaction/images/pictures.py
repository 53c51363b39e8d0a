"""Image files and images in memory, read with Pillow into plain RGB."""

from __future__ import annotations

import base64
import hashlib
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

from late_interaction.errors import ImageUnavailableError
from late_interaction.images.rgb import to_rgb
from late_interaction.optional import require

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from PIL.Image import Image

__all__ = [
    "Frames",
    "from_base64",
    "from_bytes",
    "from_memory",
    "open_frames",
    "pixel_digest",
    "to_jpeg",
    "to_thumbnail",
]

# Pillow goes by the content of a file, not its name, and hands PostScript to a program that runs it.
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")
_MAX_PIXELS = 89_000_000  # of one image: 267 MB as RGB. A0 at 200 dpi has 62 million; beyond 89 Pillow warns
_THUMBNAIL_SIDE = 1024  # pixels; small print of an A4 page can still be read
_THUMBNAIL_QUALITY = 80
_JPEG_QUALITY = 85
_MODEL_SIDE = 2048  # pixels; models that are shown larger images make them smaller themselves


class Frames:
    """The images of an open file: the pages of a TIFF, one of any other kind, animated ones among them.

    Attributes:
        count: How many there are.
    """

    def __init__(self, name: str, image: Image) -> None:
        self._name = name
        self._image = image
        with _told(name):
            self.count = int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1

    def load(self, page: int) -> Image:
        """One of them, from 1, as RGB and upright.

        Raises:
            ImageUnavailableError: It is damaged or too large, or there is no such page.
        """
        if not 1 <= page <= self.count:
            raise ImageUnavailableError(self._name, f"it has {self.count} pages, and no page {page}")
        with _told(self._name):
            if self.count > 1:
                self._image.seek(page - 1)
                _check_size(self._name, self._image)
            return to_rgb(self._image)


@contextmanager
def open_frames(file: str | os.PathLike[str] | io.BytesIO) -> Iterator[Frames]:
    """The images of a file.

    Raises:
        ImageUnavailableError: It is gone, no image of a kind that is read, or too large.
        OptionalDependencyError: Pillow is not installed.
    """
    require("PIL", package="pillow", feature="Reading images", extra="pages")
    import PIL.Image

    name = "An image" if isinstance(file, io.BytesIO) else str(file)
    with _told(name):
        image = PIL.Image.open(file, formats=_FORMATS)
    with image:  # outside of `_told`: what is raised in the caller's block is none of the image's
        _check_size(name, image)
        yield Frames(name, image)


def from_bytes(data: bytes) -> Image:
    """The image in the bytes of a file, RGB and upright.

    Raises:
        ImageUnavailableError: As for `open_frames`.
    """
    with open_frames(io.BytesIO(data)) as frames:
        return frames.load(1)


def from_base64(data: str) -> Image:
    """The same from base64, plain or as a data URI.

    Raises:
        ImageUnavailableError: It is not base64, or as for `open_frames`.
    """
    try:
        decoded = base64.b64decode(data.rpartition(",")[2] if data.startswith("data:") else data)
    except ValueError as error:
        raise ImageUnavailableError("An image", f"it is not base64 ({error})") from None
    return from_bytes(decoded)


def from_memory(image: Image) -> Image:
    """A copy of an image of Pillow, RGB and upright.

    Raises:
        ImageUnavailableError: It has no pixels, is closed, or its file is damaged.
    """
    if not all(image.size):
        raise ImageUnavailableError("An image", f"it has {image.width} x {image.height} pixels")
    with _told("An image"):
        return to_rgb(image)


def pixel_digest(image: Image) -> str:
    """What tells an RGB image from another: a hash of its size and pixels."""
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()[:32]


def to_thumbnail(image: Image) -> bytes:
    """An RGB image as WebP of at most 1,024 pixels a side."""
    return _encoded(image, _THUMBNAIL_SIDE, "WEBP", _THUMBNAIL_QUALITY)


def to_jpeg(image: Image, side: int = _MODEL_SIDE) -> str:
    """An RGB image as JPEG in base64, of at most so many pixels a side, for browsers and models."""
    return base64.b64encode(_encoded(image, side, "JPEG", _JPEG_QUALITY)).decode()


def _encoded(image: Image, side: int, kind: str, quality: int) -> bytes:
    small = image.copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, kind, quality=quality)
    return buffer.getvalue()


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Whatever Pillow raises while an image is read becomes an error that says what is wrong with it."""
    import PIL
    import PIL.Image

    try:
        yield
    except PIL.UnidentifiedImageError:
        raise ImageUnavailableError(name, f"it is none of {', '.join(_FORMATS)}, or damaged") from None
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise ImageUnavailableError(name, f"it is too large ({error})") from None
    except FileNotFoundError:
        raise ImageUnavailableError(name, "the file is gone") from None
    except ImageUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001  # Pillow raises whatever a damaged file leads its decoders to
        raise ImageUnavailableError(name, f"it is damaged or cannot be read ({error})") from None


def _check_size(name: str, image: Image) -> None:
    width, height = image.size
    if width * height > _MAX_PIXELS:
        raise ImageUnavailableError(
            name, f"it is too large: {width:,} x {height:,} pixels, at most {_MAX_PIXELS:,} in all"
        )
