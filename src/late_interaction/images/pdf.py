"""Read the text, size and image of the pages of PDF files with pypdfium2.

PDFium has global state and must not be called by two threads at once. So every call holds a mutex of the process, and
everything that PDFium opens is closed under the mutex, never by the garbage collector.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.errors import ImageUnavailableError
from late_interaction.forking import Mutex
from late_interaction.optional import require
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image

__all__ = ["Pdf", "open_pdf", "remember_password", "rendered_size"]

_pdfium = Mutex()  # reentrant: the garbage collector may close an unused reader while its thread holds it
_passwords: dict[str, str] = {}  # by absolute path, for the page images that are loaded after their file was read
_MAX_PIXELS = 40_000_000  # of a rendered page: 120 MB as RGB
_MAX_SIDE = 20_000  # pixels, of a rendered page


class Pdf:
    """An open PDF. Any thread may call its methods; pages are numbered from 1.

    All methods raise `ImageUnavailableError` if the page does not exist or is damaged.

    Attributes:
        path: The file.
        pages: Number of pages.
    """

    def __init__(self, path: str, document: Any, pages: int) -> None:
        self.path = path
        self.pages = pages
        self._document = document

    def size(self, page: int) -> tuple[float, float]:
        """Return the width and height of a page as displayed, with its rotation, in points (1/72 inch)."""
        with self._page(page) as opened:
            return _size(opened)

    def read(self, page: int) -> tuple[tuple[float, float], str]:
        """Return the size of a page in points, and its text in the order of the file; a scan has no text.

        Words that hyphens split at the end of a line are as on the page.
        """
        with self._page(page) as opened, closing(opened.get_textpage()) as text_page:
            return _size(opened), _cleaned(text_page.get_text_bounded())

    def render(self, page: int, scale: float) -> Image:
        """Return the image of a page, RGB.

        Args:
            page: The page.
            scale: Pixels per point, reduced if the image would be too large; see `rendered_size`.
        """
        with self._page(page) as opened:
            scale = _bounded(_size(opened), scale)
            with closing(opened.render(scale=scale, rev_byteorder=True)) as bitmap:
                image: Image = bitmap.to_pil()
                return (
                    image.copy() if image.mode == "RGB" else image.convert("RGB")
                )  # the memory of the bitmap is freed

    @contextmanager
    def _page(self, page: int) -> Iterator[Any]:
        import pypdfium2

        if not 1 <= page <= self.pages:
            raise ImageUnavailableError(
                self.path, f"page {page} is out of range: the file has {counted(self.pages, 'page')}"
            )
        with _pdfium:
            try:
                with closing(self._document[page - 1]) as opened:
                    yield opened
            except pypdfium2.PdfiumError as error:
                raise ImageUnavailableError(self.path, f"page {page} is damaged ({error})") from None


@contextmanager
def open_pdf(path: str | os.PathLike[str], password: str | None = None) -> Iterator[Pdf]:
    """Open a PDF for reading.

    Args:
        path: The file.
        password: Its password, which this process remembers for the file if it is right. It is not stored.

    Raises:
        ImageUnavailableError: The file is missing, encrypted with another password, damaged, not a PDF, or has no
            pages.
        OptionalDependencyError: pypdfium2 is not installed.
    """
    require("pypdfium2", package="pypdfium2", feature="Reading PDFs", extra="pages")
    require("PIL", package="pillow", feature="Reading PDFs", extra="pages")
    import pypdfium2

    name = os.fspath(path)
    place = os.path.abspath(name)  # noqa: PTH100  # resolve() would follow links
    known = _passwords.get(place) if password is None else password
    try:
        with Path(name).open("rb"):  # unlike PDFium, its error says why a file cannot be read
            pass
        with _pdfium:
            pypdfium2.raw.FPDF_LoadMemDocument(b"", 0, None)  # clears the last error, which may be of another file
            document = pypdfium2.PdfDocument(name, password=known)
    except FileNotFoundError:
        raise ImageUnavailableError(name, "the file does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: the name has a NUL
        raise ImageUnavailableError(name, getattr(error, "strerror", None) or str(error)) from None
    except pypdfium2.PdfiumError as error:
        raise ImageUnavailableError(name, _reason(error, known)) from None
    if password is not None:
        _passwords[place] = password
    try:
        with _pdfium, _no_advice_on_builds():
            pages = len(document)
            if pages:
                document.init_forms()  # otherwise the content of form fields is not rendered
        if not pages:
            raise ImageUnavailableError(name, "it has no pages")
        yield Pdf(name, document, pages)
    finally:
        with _pdfium:
            document.close()


def remember_password(path: str | os.PathLike[str], password: str) -> None:
    """Remember the password of a file in this process, for when it is opened."""
    _passwords[os.path.abspath(os.fspath(path))] = password  # noqa: PTH100  # resolve() would follow links


@contextmanager
def _no_advice_on_builds() -> Iterator[None]:
    """Drop what pypdfium2 logs in this thread inside the block.

    For each form in XFA it advises to compile another PDFium. The fields are drawn without it, from the other
    description of the form that such a file has.
    """
    thread = threading.get_ident()

    def of_another_thread(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger = logging.getLogger("pypdfium2._helpers.document")
    logger.addFilter(of_another_thread)
    try:
        yield
    finally:
        logger.removeFilter(of_another_thread)


def rendered_size(size: tuple[float, float], scale: float) -> tuple[int, int]:
    """Return the width and height in pixels of the image that `Pdf.render` returns for a page of this size in points.

    The image has at most 40 million pixels, and sides of at most 20,000 pixels.
    """
    scale = _bounded(size, scale)
    return math.ceil(size[0] * scale), math.ceil(size[1] * scale)


def _size(page: Any) -> tuple[float, float]:
    width, height = page.get_size()
    return max(float(width), 1.0), max(float(height), 1.0)


def _bounded(size: tuple[float, float], scale: float) -> float:
    width, height = size
    return min(scale, math.sqrt(_MAX_PIXELS / (width * height)), _MAX_SIDE / max(width, height))


def _cleaned(text: str) -> str:
    """Return the text without NULs and surrogates.

    PDFium puts a mark in place of a hyphen at the end of a line and the line break, whether or not the hyphen belongs
    to the word. Both are restored: readers undo hyphenation.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    for mark in ("\ufffe\n", "\x02\n", "\ufffe", "\x02"):
        text = text.replace(mark, "-\n")
    return text.encode("utf-8", "ignore").decode().strip()


def _reason(error: Exception, password: str | None) -> str:
    from pypdfium2 import raw

    # Older releases of pypdfium2 have no error code.
    if getattr(error, "err_code", None) in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY) or "assword" in str(error):
        if password is not None:
            return "it is encrypted, and the password is wrong"
        return (
            "it is encrypted; read it with its password (--password), or save it without one (an index stores no "
            "passwords)"
        )
    return "it is not a PDF, or is damaged"
