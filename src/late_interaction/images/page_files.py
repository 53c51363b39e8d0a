"""Open the files of page images, once for consecutive pages of a file."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from late_interaction.images.pdf import open_pdf
from late_interaction.images.pictures import open_frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import TypeAlias

    from typing_extensions import Self

    from late_interaction.images.pdf import Pdf
    from late_interaction.images.pictures import Frames

    _Identity: TypeAlias = tuple[str, int, int, int, int]

__all__ = ["PageFiles"]

_Opened = TypeVar("_Opened")


class PageFiles:
    """The file that was opened last stays open until another one is needed, or the block ends. A context manager.

    Opening a PDF of 2,400 pages takes longer than rendering three of them. A file that was replaced or written to since
    it was opened is opened again.

    For one thread, and for blocks that only load images: a process that is forked inside the block would share the
    position in the file.

    Example:
        >>> with PageFiles() as files:  # doctest: +SKIP
        ...     images = [files.pdf("report.pdf").render(page, 1) for page in (1, 2)]
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._identity: _Identity | None = None
        self._opened: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def pdf(self, path: str) -> Pdf:
        """Return the open PDF.

        Raises:
            ImageUnavailableError: As for `open_pdf`.
        """
        return self._open(open_pdf, path)

    def frames(self, path: str) -> Frames:
        """Return the open image file.

        Raises:
            ImageUnavailableError: As for `open_frames`.
        """
        return self._open(open_frames, path)

    def _open(self, open_file: Callable[[str], AbstractContextManager[_Opened]], path: str) -> _Opened:
        identity = _identity(path)
        if identity is None or identity != self._identity:
            self._close()
            self._opened = self._stack.enter_context(open_file(path))
            self._identity = identity
        opened: _Opened = self._opened
        return opened

    def _close(self) -> None:
        self._identity = self._opened = None
        self._stack.close()


def _identity(path: str) -> _Identity | None:
    try:
        status = os.stat(path)  # noqa: PTH116  # Path() refuses a NUL in other ways in each version of Python
    except (OSError, ValueError):
        return None  # opening it explains why
    return path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
