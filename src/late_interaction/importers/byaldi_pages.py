"""The page images of a byaldi index: PNG files in base64 in gzip-compressed JSON, read one page at a time.

A file has up to 500 pages, which are too large together, so it is not read as JSON at once. Images are kept as
thumbnails, as an index stores them.
"""

from __future__ import annotations

import gzip
import re
import zlib
from bisect import bisect_right
from itertools import islice
from typing import TYPE_CHECKING

from late_interaction.errors import CorruptIndexError, ImageUnavailableError
from late_interaction.images import PageImage
from late_interaction.images.pictures import from_base64
from late_interaction.importers.files import damaged, file_names, open_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["StoredPages"]

_FOLDER = "collection"
_FILE_NAME = re.compile(r"([0-9]{1,12})\.json\.gz")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,11}")
_BLOCK_CHARACTERS = 1 << 18
_MAX_PAGE_CHARACTERS = 256 * 2**20
"""Characters of an image in base64: more than any image of 89 million pixels takes in practice."""


class StoredPages:
    """The page images of a byaldi index, which may have none, or those of some pages.

    Attributes:
        unreadable: By the number of its embedding, why an image cannot be used, of those that were read.

    Args:
        folder: The folder of the index.

    Raises:
        CorruptIndexError: A file does not begin as a JSON object of images, or the files are not in order.
    """

    def __init__(self, folder: Path) -> None:
        self.unreadable: dict[int, str] = {}
        self._folder = folder
        names = [name for name in file_names(folder, below=_FOLDER) if _FILE_NAME.fullmatch(name)]
        self._names = sorted(names, key=lambda name: int(name.partition(".")[0]))
        self._firsts = [next((number for number, _ in self._encoded(name)), -1) for name in self._names]
        if self._firsts != sorted(self._firsts):
            raise damaged(folder / _FOLDER, "has files that are not in the order of their pages")

    @property
    def exist(self) -> bool:
        """Whether there are any."""
        return bool(self._names)

    def read(self, start: int) -> Iterator[tuple[int, PageImage | None]]:
        """Yield the images from the embedding of this number on, each with its number, ascending.

        An image that cannot be used is None: the vectors of its page are as good as those of others.

        Raises:
            CorruptIndexError: A file is damaged, or the numbers do not ascend.
            OptionalDependencyError: Pillow is not installed.
        """
        first = max(0, bisect_right(self._firsts, start) - 1)
        before = -1
        for name in islice(self._names, first, None):
            for number, image in self._encoded(name):
                if number <= before:
                    raise damaged(self._folder / _FOLDER / name, f"has page {number} after page {before}")
                before = number
                if number >= start:
                    yield number, self._page(number, image)

    def _page(self, number: int, encoded: str) -> PageImage | None:
        try:
            page = PageImage.from_pixels(from_base64(encoded))
            return PageImage.from_json(page.to_json(), page.thumbnail)  # without the pixels
        except ImageUnavailableError as error:
            self.unreadable[number] = error.reason
            return None

    def _encoded(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield the images of a file in base64. Its JSON has nothing else: an object of strings without escapes."""
        path = self._folder / _FOLDER / name
        pieces = self._between_quotes(path, name)
        before = next(pieces, "").strip()
        if before == "{}":
            return
        if before != "{":
            raise damaged(path, "must contain a JSON object of images by their numbers")
        while before in ("{", ","):
            key, colon, image, after = (next(pieces, None) for _ in range(4))
            if key is None or colon is None or image is None or after is None:
                raise damaged(path, "is truncated")
            if not _NUMBER.fullmatch(key) or colon.strip() != ":":
                raise damaged(path, "must contain a JSON object of images by their numbers")
            yield int(key), image.replace("\\/", "/")
            before = after.strip()
        if before != "}" or next(pieces, None) is not None:
            raise damaged(path, "must contain a JSON object of images by their numbers")

    def _between_quotes(self, path: Path, name: str) -> Iterator[str]:
        """Yield what is between the quotes of a file, alternately outside and inside of strings."""
        parts: list[str] = []
        size = 0
        with open_file(self._folder, f"{_FOLDER}/{name}") as file:
            try:
                with gzip.open(file, "rt", encoding="utf-8") as stream:
                    while block := stream.read(_BLOCK_CHARACTERS):
                        *ended, rest = block.split('"')
                        for piece in ended:
                            yield "".join([*parts, piece])
                            parts, size = [], 0
                        parts.append(rest)
                        size += len(rest)
                        if size > _MAX_PAGE_CHARACTERS:
                            raise damaged(path, f"has an image of more than {_MAX_PAGE_CHARACTERS:,} characters")
            except CorruptIndexError:
                raise
            except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
                raise damaged(path, f"is not a complete gzip file of JSON ({error})") from None
        yield "".join(parts)
