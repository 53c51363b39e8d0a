"""`PageImage`: the image of a page, by the place it is in or by itself."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.errors import ImageUnavailableError
from late_interaction.images.pdf import open_pdf, rendered_size
from late_interaction.images.pictures import from_bytes, from_memory, open_frames, pixel_digest, to_thumbnail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from PIL.Image import Image

    ViewedSize: TypeAlias = Callable[[float, float], tuple[int, int]]

__all__ = ["PageImage", "file_digest"]

_SHOWN_SCALE = 2.0  # pixels per point where a page is rendered for people: 144 dpi
_OVERSAMPLING = 1.25  # where it is rendered for a model, whose processor then resizes it: A4 at 100 dpi for 768 patches


@dataclass(frozen=True)
class PageImage:
    """The image of a page: a file and a page of it, a thumbnail kept in the index, or both.

    A file is referred to, not copied: its page is rendered when it is needed, and only if the file is still the same.

    Attributes:
        digest: A hash of the file's bytes, or of the pixels of an image that came without a file.
        path: The file, absolute; None for an image that came without one.
        page: Its page, from 1.
        width: Of the upright image, in pixels; of a page of a PDF in points (1/72 inch).
        height: The same.
        has_thumbnail: Whether the index keeps the image itself, as WebP of at most 1,024 pixels a side.

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
        """A page of a PDF or TIFF, or an image of any kind that Pillow reads. The file is read, not kept.

        Raises:
            ImageUnavailableError: It is not there, damaged, encrypted, too large, or has no such page.
        """
        place = os.path.abspath(path)  # noqa: PTH100  # resolve() would follow links, which users have for a reason
        try:
            place.encode()
        except UnicodeEncodeError:
            raise ImageUnavailableError(repr(place), "its name is not valid UTF-8") from None
        if _is_pdf(place):
            with open_pdf(place) as pdf:
                width, height = pdf.size(page)
        else:
            with open_frames(place) as frames:
                width, height = frames.load(page).size  # decoded, since what is cut off shows only then
        return cls(file_digest(place), place, page, width, height)

    @classmethod
    def from_pixels(cls, image: Image) -> PageImage:
        """An image in memory, of any mode. An index keeps a thumbnail of it, since there is nothing to refer to.

        Raises:
            ImageUnavailableError: It has no pixels, is closed, or its file is damaged.
        """
        pixels = from_memory(image)
        return cls(pixel_digest(pixels), None, 1, *pixels.size, has_thumbnail=True, _pixels=pixels)

    @classmethod
    def from_json(cls, values: Mapping[str, Any], thumbnail: bytes | None = None) -> PageImage:
        """What `to_json` and `thumbnail` gave.

        Raises:
            ValueError: It is something else.
        """
        if not isinstance(values, dict) or values.keys() != _FIELDS.keys():
            raise ValueError(f"a page image has the fields {', '.join(_FIELDS)}")
        for name, is_valid in _FIELDS.items():
            if not is_valid(values[name]):
                raise ValueError(f"{name} of a page image cannot be {values[name]!r}")
        return cls(**values, _thumbnail=thumbnail)

    def to_json(self) -> dict[str, Any]:
        """Everything but the pixels, as JSON values."""
        return {
            "digest": self.digest,
            "path": self.path,
            "page": self.page,
            "width": self.width,
            "height": self.height,
            "has_thumbnail": self.has_thumbnail,
        }

    def with_thumbnail(self) -> PageImage:
        """The same, of which an index also keeps the image itself, made when it is stored: then the file may go."""
        return replace(self, has_thumbnail=True)

    def with_pixels(self, image: Image) -> PageImage:
        """The same, of which the image is at hand: an RGB image that shows it."""
        return replace(self, _pixels=image)

    @property
    def thumbnail(self) -> bytes | None:
        """The WebP file that an index keeps, made at the first call; None where it keeps a reference alone."""
        if self.has_thumbnail and self._thumbnail is None:
            object.__setattr__(self, "_thumbnail", to_thumbnail(self._original(None)))  # the dataclass is frozen
        return self._thumbnail

    def load(self, viewed_size: ViewedSize | None = None) -> Image:
        """The image, RGB and upright: from memory or the file, or else the thumbnail.

        Args:
            viewed_size: Gives the size in pixels to which a model brings an image of a width and height (see
                `late_interaction.encoders.PageEncoder`). A page of a PDF is rendered large enough for it; without, for
                people, at 144 dpi.

        Raises:
            ImageUnavailableError: The file is gone, has changed or cannot be read, and there is no thumbnail.
        """
        try:
            return self._original(viewed_size)
        except ImageUnavailableError:
            if self._thumbnail is None:
                raise
            return from_bytes(self._thumbnail)

    def loaded_size(self, viewed_size: ViewedSize) -> tuple[int, int]:
        """Width and height in pixels of what `load` gives for a model, without loading it."""
        if self.path is not None and _is_pdf(self.path):
            return rendered_size((self.width, self.height), self._scale(viewed_size))
        return int(self.width), int(self.height)

    def _original(self, viewed_size: ViewedSize | None) -> Image:
        if self._pixels is not None:
            return self._pixels.copy()
        if self.path is None:
            raise ImageUnavailableError("The page image", "it came without a file, and only its thumbnail was kept")
        if file_digest(self.path) != self.digest:
            raise ImageUnavailableError(self.path, "the file has changed since it was indexed; index it again")
        if not _is_pdf(self.path):
            with open_frames(self.path) as frames:
                return frames.load(self.page)
        with open_pdf(self.path) as pdf:
            return pdf.render(self.page, _SHOWN_SCALE if viewed_size is None else self._scale(viewed_size))

    def _scale(self, viewed_size: ViewedSize) -> float:
        width, height = viewed_size(self.width, self.height)
        return _OVERSAMPLING * max(width / self.width, height / self.height)


def _is_length(value: object) -> bool:
    return type(value) in (int, float) and 1e-3 < value < 1e7  # type: ignore[operator]  # a number by now


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "digest": lambda value: isinstance(value, str),
    "path": lambda value: value is None or isinstance(value, str),
    "page": lambda value: type(value) is int and value > 0,
    "width": _is_length,
    "height": _is_length,
    "has_thumbnail": lambda value: isinstance(value, bool),
}
"""What `PageImage.to_json` gives, and a test of each."""


def file_digest(path: str | os.PathLike[str]) -> str:
    """What tells the content of a file from another: a hash of its bytes, read again only where the file has changed.

    Raises:
        ImageUnavailableError: The file is gone or cannot be read.
    """
    name = os.fspath(path)
    try:
        status = Path(name).stat()
        if not stat.S_ISREG(status.st_mode):  # a device has no end, and a pipe waits
            raise ImageUnavailableError(name, "it is no file")
        return _digest_of(name, status.st_ino, status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        raise ImageUnavailableError(name, "the file is gone") from None
    except (OSError, ValueError) as error:  # ValueError: the name has a NUL
        raise ImageUnavailableError(name, getattr(error, "strerror", None) or str(error)) from None


@lru_cache(maxsize=1024)
def _digest_of(path: str, inode: int, size: int, modified: int) -> str:
    del inode, size, modified  # they are the key under which the digest is remembered
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:32]


def _is_pdf(path: str) -> bool:
    return path.lower().endswith(".pdf")
