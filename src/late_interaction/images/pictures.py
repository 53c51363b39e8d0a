"""Read image files and images in memory with Pillow, as RGB."""

from __future__ import annotations

import base64
import hashlib
import io
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.errors import ImageUnavailableError
from late_interaction.images.rgb import to_rgb
from late_interaction.optional import require
from late_interaction.wording import counted

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

# Pillow detects the format from the content, not the name, and would run PostScript in another program.
_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")
_MAX_PIXELS = 89_000_000  # of one image: 267 MB as RGB. A0 at 200 dpi has 62 million; above 89 million Pillow warns
_THUMBNAIL_SIDE = 1024  # pixels; small print of an A4 page is still readable
_THUMBNAIL_QUALITY = 80
_JPEG_QUALITY = 85
_MODEL_SIDE = 2048  # pixels; models resize larger images themselves


class Frames:
    """The images of an open file: the pages of a TIFF, and the first frame of any other format.

    Attributes:
        count: Number of images.
    """

    def __init__(self, name: str, image: Image) -> None:
        self._name = name
        self._image = image
        with _explained(name):
            self.count = int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1

    def load(self, page: int) -> Image:
        """Return the image of a page, numbered from 1, RGB and upright.

        Raises:
            ImageUnavailableError: The image is damaged or too large, or the page is out of range.
        """
        if not 1 <= page <= self.count:
            raise ImageUnavailableError(
                self._name, f"page {page} is out of range: the file has {counted(self.count, 'page')}"
            )
        with _explained(self._name):
            if self.count > 1:
                self._image.seek(page - 1)
                _check_size(self._name, self._image)
            return to_rgb(self._image)


@contextmanager
def open_frames(file: str | os.PathLike[str] | io.BytesIO) -> Iterator[Frames]:
    """Open an image file.

    Raises:
        ImageUnavailableError: The file is missing, damaged, too large, or not an image in a supported format.
        OptionalDependencyError: Pillow is not installed.
    """
    require("PIL", package="pillow", feature="Reading images", extra="pages")
    import PIL.Image

    name = "An image" if isinstance(file, io.BytesIO) else str(file)
    with ExitStack() as opened:
        with _explained(name):
            # Not by its name: Pillow would map the file, and then misread gray TIFFs that lie on their side.
            stream = file if isinstance(file, io.BytesIO) else opened.enter_context(Path(file).open("rb"))
            image = opened.enter_context(PIL.Image.open(stream, formats=_FORMATS))
        # Outside `_explained`, which is for errors of Pillow, not of the caller's block.
        _check_size(name, image)
        yield Frames(name, image)


def from_bytes(data: bytes) -> Image:
    """Return the image in the bytes of a file, RGB and upright.

    Raises:
        ImageUnavailableError: As for `open_frames`.
    """
    with open_frames(io.BytesIO(data)) as frames:
        return frames.load(1)


def from_base64(data: str) -> Image:
    """Return the image in base64, plain or as a data URI, RGB and upright.

    Raises:
        ImageUnavailableError: The data is not base64, or as for `open_frames`.
    """
    try:
        decoded = base64.b64decode(data.rpartition(",")[2] if data.startswith("data:") else data)
    except ValueError as error:
        raise ImageUnavailableError("An image", f"it is not base64 ({error})") from None
    return from_bytes(decoded)


def from_memory(image: Image) -> Image:
    """Return a copy of a PIL image, RGB and upright.

    Raises:
        ImageUnavailableError: The image has no pixels, is closed, or its file is damaged.
    """
    if not all(image.size):
        raise ImageUnavailableError("An image", f"it is empty ({image.width} x {image.height} pixels)")
    with _explained("An image"):
        return to_rgb(image)


def pixel_digest(image: Image) -> str:
    """Return a hash of the size and pixels of an RGB image."""
    return hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()[:32]


def to_thumbnail(image: Image) -> bytes:
    """Return an RGB image as WebP, with sides of at most 1,024 pixels."""
    return _encoded(image, _THUMBNAIL_SIDE, "WEBP", _THUMBNAIL_QUALITY)


def to_jpeg(image: Image, side: int = _MODEL_SIDE) -> str:
    """Return an RGB image as JPEG in base64, with sides of at most ``side`` pixels, for browsers and models."""
    return base64.b64encode(_encoded(image, side, "JPEG", _JPEG_QUALITY)).decode()


def _encoded(image: Image, side: int, kind: str, quality: int) -> bytes:
    small = image.copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, kind, quality=quality)
    return buffer.getvalue()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Raise `ImageUnavailableError`, with the reason, for whatever Pillow raises inside the block."""
    import PIL
    import PIL.Image

    try:
        yield
    except PIL.UnidentifiedImageError:
        raise ImageUnavailableError(name, f"it is not one of {', '.join(_FORMATS)}, or is damaged") from None
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        raise ImageUnavailableError(name, f"it is too large ({error})") from None
    except FileNotFoundError:
        raise ImageUnavailableError(name, "the file does not exist") from None
    except ImageUnavailableError:
        raise
    except Exception as error:  # noqa: BLE001  # on damaged files, Pillow's decoders raise errors of many types
        raise ImageUnavailableError(name, f"it is damaged or cannot be read ({error})") from None


def _check_size(name: str, image: Image) -> None:
    width, height = image.size
    if width * height > _MAX_PIXELS:
        raise ImageUnavailableError(
            name, f"it is too large: {width:,} x {height:,} pixels, at most {_MAX_PIXELS:,} in total"
        )
