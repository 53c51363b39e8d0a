"""`PageImage`: the image of a page, as a reference to a file, a thumbnail, or both."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.errors import ImageUnavailableError
from late_interaction.images.page_files import PageFiles
from late_interaction.images.pdf import open_pdf, rendered_size
from late_interaction.images.pictures import from_bytes, from_memory, open_frames, pixel_digest, to_thumbnail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    from PIL.Image import Image

    ViewedSize: TypeAlias = Callable[[float, float], tuple[int, int]]

__all__ = ["PageImage", "file_digest", "load_pages"]

_DISPLAY_SCALE = 2.0  # pixels per point of a page rendered for people: 144 dpi
_OVERSAMPLING = 1.25  # for models, whose processor then resizes the page: A4 at 100 dpi for 768 patches


@dataclass(frozen=True)
class PageImage:
    """The image of a page: a page of a file, a thumbnail stored in the index, or both.

    The file is not copied. Its page is rendered when needed, if the content of the file has not changed.

    Attributes:
        digest: Hash of the file's content, or of the pixels of an image without a file.
        path: Absolute path of the file; None for an image without a file.
        page: Page of the file, from 1.
        width: Width of the upright image, in pixels; for a page of a PDF in points (1/72 inch).
        height: Height, in the same unit.
        has_thumbnail: Whether the index stores the image too, as WebP with sides of at most 1,024 pixels.

    Example:
        >>> PageImage.from_file("report.pdf", page=3)  # doctest: +SKIP
    """

    digest: str
    path: str | None
    page: int
    width: float
    height: float
    has_thumbnail: bool = False
    _thumbnail: bytes | None = field(default=None, repr=False, compare=False)
    _pixels: Image | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], page: int = 1) -> PageImage:
        """Return a page of a PDF or TIFF, or another image file. The file is read, not stored.

        Args:
            path: The file.
            page: The page, from 1.

        Raises:
            ImageUnavailableError: The file does not exist, is damaged, encrypted or too large, or does not have the
                page.
        """
        place = os.path.abspath(path)  # noqa: PTH100  # resolve() would follow links
        try:
            place.encode()
        except UnicodeEncodeError:
            raise ImageUnavailableError(repr(place), "its name is not valid UTF-8") from None
        if _is_pdf(place):
            with open_pdf(place) as pdf:
                width, height = pdf.size(page)
        else:
            with open_frames(place) as frames:
                width, height = frames.load(page).size  # decoded, because only decoding finds a truncated file
        return cls(file_digest(place), place, page, width, height)

    @classmethod
    def from_pixels(cls, image: Image) -> PageImage:
        """Return an image in memory, of any mode. An index stores its thumbnail, because there is no file.

        Raises:
            ImageUnavailableError: The image has no pixels, is closed, or its file is damaged.
        """
        pixels = from_memory(image)
        return cls(pixel_digest(pixels), None, 1, *pixels.size, has_thumbnail=True, _pixels=pixels)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], thumbnail: bytes | None = None) -> PageImage:
        """Return the page image that `to_json` and `thumbnail` describe.

        Raises:
            ValueError: A field is missing, unknown or invalid.
        """
        if not isinstance(values, dict) or values.keys() != _FIELDS.keys():
            raise ValueError(f"a page image must have the fields {', '.join(_FIELDS)}")
        for name, is_valid in _FIELDS.items():
            if not is_valid(values[name]):
                raise ValueError(f"{name} of a page image is invalid: {values[name]!r}")
        return cls(**values, _thumbnail=thumbnail)

    def to_json(self) -> dict[str, Any]:
        """Return all fields except the pixels, as JSON values."""
        return {
            "digest": self.digest,
            "path": self.path,
            "page": self.page,
            "width": self.width,
            "height": self.height,
            "has_thumbnail": self.has_thumbnail,
        }

    def with_thumbnail(self) -> PageImage:
        """Return the same page image with a thumbnail, which is made when an index stores it."""
        return replace(self, has_thumbnail=True)

    def with_pixels(self, image: Image) -> PageImage:
        """Return the same page image with its pixels, an RGB image, so that the file is not read again."""
        return replace(self, _pixels=image)

    @property
    def thumbnail(self) -> bytes | None:
        """Return the thumbnail as a WebP file, made at the first call; None without a thumbnail."""
        with PageFiles() as files:
            return self._made_thumbnail(files)

    def load(self, viewed_size: ViewedSize | None = None) -> Image:
        """Return the image, RGB and upright: from memory or the file, otherwise the thumbnail.

        Args:
            viewed_size: Returns the size in pixels to which a model resizes an image of a width and height (see
                `late_interaction.encoders.PageEncoder`). A page of a PDF is rendered large enough for it. Without it, a
                page is rendered at 144 dpi, for display.

        Raises:
            ImageUnavailableError: The file is missing, has changed or cannot be read, and there is no thumbnail.
        """
        with PageFiles() as files:
            return self._loaded(viewed_size, files)

    def loaded_size(self, viewed_size: ViewedSize) -> tuple[int, int]:
        """Return the width and height in pixels of the image that `load` returns for a model, without loading it."""
        if self.path is not None and _is_pdf(self.path):
            return rendered_size((self.width, self.height), self._scale(viewed_size))
        return int(self.width), int(self.height)

    def _loaded(self, viewed_size: ViewedSize | None, files: PageFiles) -> Image:
        try:
            return self._original(viewed_size, files)
        except ImageUnavailableError:
            if self._thumbnail is None:
                raise
            return from_bytes(self._thumbnail)

    def _made_thumbnail(self, files: PageFiles) -> bytes | None:
        if self.has_thumbnail and self._thumbnail is None:
            object.__setattr__(self, "_thumbnail", to_thumbnail(self._original(None, files)))  # the dataclass is frozen
        return self._thumbnail

    def _original(self, viewed_size: ViewedSize | None, files: PageFiles) -> Image:
        if self._pixels is not None:
            return self._pixels.copy()
        if self.path is None:
            raise ImageUnavailableError("The page image", "it has no file, and only its thumbnail was stored")
        if file_digest(self.path) != self.digest:
            raise ImageUnavailableError(self.path, "the file has changed since it was indexed; index it again")
        if not _is_pdf(self.path):
            return files.frames(self.path).load(self.page)
        scale = _DISPLAY_SCALE if viewed_size is None else self._scale(viewed_size)
        return files.pdf(self.path).render(self.page, scale)

    def _scale(self, viewed_size: ViewedSize) -> float:
        width, height = viewed_size(self.width, self.height)
        return _OVERSAMPLING * max(width / self.width, height / self.height)


def load_pages(pages: Iterable[PageImage], viewed_size: ViewedSize) -> list[Image]:
    """Return the images as `PageImage.load` does for a model, with one opening for consecutive pages of a file.

    Thumbnails that an index is to store are made at the same opening.

    Raises:
        ImageUnavailableError: As for `PageImage.load`.
    """
    images = []
    with PageFiles() as files:
        for page in pages:
            images.append(page._loaded(viewed_size, files))
            page._made_thumbnail(files)
    return images


def _is_length(value: object) -> bool:
    return type(value) in (int, float) and 1e-3 < value < 1e7  # type: ignore[operator]  # a number


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "digest": lambda value: isinstance(value, str),
    "path": lambda value: value is None or isinstance(value, str),
    "page": lambda value: type(value) is int and value > 0,
    "width": _is_length,
    "height": _is_length,
    "has_thumbnail": lambda value: isinstance(value, bool),
}
"""The fields of `PageImage.to_json`, with a check of each value."""


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return a hash of the content of a file. The file is read again only if it has changed.

    Raises:
        ImageUnavailableError: The file is missing, is not a regular file, or cannot be read.
    """
    name = os.fspath(path)
    try:
        status = Path(name).stat()
        if not stat.S_ISREG(status.st_mode):  # reading a device may never end, and a pipe may block
            raise ImageUnavailableError(name, "it is not a regular file")
        return _digest_of(name, status.st_ino, status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        raise ImageUnavailableError(name, "the file does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: the name has a NUL
        raise ImageUnavailableError(name, getattr(error, "strerror", None) or str(error)) from None


@lru_cache(maxsize=1024)
def _digest_of(path: str, inode: int, size: int, modified: int) -> str:
    del inode, size, modified  # part of the key of the cache
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:32]


def _is_pdf(path: str) -> bool:
    return path.lower().endswith(".pdf")
