"""Read the pages of PDFs and image files as page images, or the text of PDFs as passages."""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import groupby
from pathlib import PurePath
from typing import TYPE_CHECKING

from late_interaction.documents import Document
from late_interaction.errors import ImageUnavailableError, OptionalDependencyError
from late_interaction.images import PageImage
from late_interaction.images.page_image import file_digest
from late_interaction.images.pdf import open_pdf
from late_interaction.images.pictures import open_frames
from late_interaction.readers.decoding import UnreadableFileError
from late_interaction.readers.folding import Page, folded
from late_interaction.readers.hyphenation import Hyphenation
from late_interaction.readers.passages import split_text
from late_interaction.validation import is_invisible
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from late_interaction.images.pdf import Pdf
    from late_interaction.images.pictures import Frames
    from late_interaction.readers.options import ReadOptions

_COMPARED_SCALE = 1.0  # pixels per point of rendered pages that are compared

__all__ = ["read_pdf_images", "read_pdf_text", "read_pictures"]


def read_pdf_images(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield the pages of a PDF as page images, one document each, with the text of the page.

    Raises:
        UnreadableFileError: Nothing of the file can be read. A single damaged page is reported and left out.
    """
    with _readable_file():
        digest = file_digest(_absolute(path))
        with open_pdf(_absolute(path), options.password_of(path)) as pdf:
            pages: Iterable[Page] = _pdf_pages(pdf, path, options)
            if options.fold_equal_pages:
                pages = folded(pages, lambda page: pdf.render(page, _COMPARED_SCALE))
            yield from _documents(path, source, digest, pages, options)


def read_pictures(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield the pages of an image file as page images, one document each, without text.

    Raises:
        UnreadableFileError: Nothing of the file can be read. A single damaged page is reported and left out.
    """
    with _readable_file():
        digest = file_digest(_absolute(path))
        with open_frames(_absolute(path)) as frames:
            pages: Iterable[Page] = _picture_pages(frames, path, options)
            if options.fold_equal_pages:
                pages = folded(pages, frames.load)
            yield from _documents(path, source, digest, pages, options)


def read_pdf_text(path: Path, source: str, options: ReadOptions) -> list[Document]:
    """Return the passages of the text of a PDF, in order.

    Raises:
        UnreadableFileError: Nothing of the file can be read, or it has no text.
    """
    title = " ".join(PurePath(source).stem.split())
    documents: list[Document] = []
    with _readable_file(), open_pdf(path, options.password_of(path)) as pdf:
        for page, _, text, _ in _pdf_pages(pdf, path, options):
            for passage in split_text(text, max_chars=options.max_chars):
                if is_invisible(passage):
                    continue
                metadata = {"source": source, "passage": len(documents), "title": title, "page": page}
                identity = f"{source}#{len(documents)}"
                encoded_text = f"{title}\n{passage}"
                documents.append(Document(passage, id=identity, metadata=metadata, encoded_text=encoded_text))
    if not documents:
        which = "it has" if options.pages_of(path) is None else f"its pages {options.pages_of(path)} have"
        raise UnreadableFileError(f"{which} no text, like a scan; an encoder of page images can read it")
    return documents


@contextmanager
def _readable_file() -> Iterator[None]:
    try:
        yield
    except ImageUnavailableError as error:
        raise UnreadableFileError(error.reason) from None
    except OptionalDependencyError as error:
        raise UnreadableFileError(str(error)) from None


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100  # resolve() would follow links


def _documents(path: Path, source: str, digest: str, pages: Iterable[Page], options: ReadOptions) -> Iterator[Document]:
    for page, (width, height), text, equal in pages:
        image = PageImage(digest, _absolute(path), page, width, height)
        yield Document(
            text,
            image=image.with_thumbnail() if options.keep_images else image,
            id=f"{source}#page={page}",
            metadata={"source": source, "passage": page - 1, "page": page, **({"pages": equal} if equal[1:] else {})},
        )


def _pdf_pages(pdf: Pdf, path: Path, options: ReadOptions) -> Iterator[Page]:
    """Yield each page that can be read.

    Consecutive damaged pages are reported as one range, because a small file may claim to have a million.
    """
    pages = ((page, _read(pdf, page)) for page in _chosen(pdf.pages, path, options))
    for is_damaged, group in groupby(pages, key=lambda read: read[1] is None):
        if is_damaged:
            first, *others = (page for page, _ in group)
            options.report(path, f"pages {first} to {others[-1]} are damaged" if others else f"page {first} is damaged")
        else:
            yield from (Page(page, *read, [page]) for page, read in group if read is not None)


def _chosen(pages: int, path: Path, options: ReadOptions) -> Iterable[int]:
    """Return the pages to read of a file with so many pages.

    Raises:
        UnreadableFileError: It has none of them.
    """
    chosen = options.pages_of(path)
    if chosen is None:
        return range(1, pages + 1)
    if not (found := chosen.within(pages)):
        raise UnreadableFileError(f"it has {counted(pages, 'page')}, so none of the pages {chosen}")
    return found


def _read(pdf: Pdf, page: int) -> tuple[tuple[float, float], str] | None:
    try:
        size, text = pdf.read(page)
    except ImageUnavailableError:
        return None
    return size, Hyphenation(text).undone(text)


def _picture_pages(frames: Frames, path: Path, options: ReadOptions) -> Iterator[Page]:
    for page in _chosen(frames.count, path, options):
        try:
            size = frames.load(page).size  # decoded, because only decoding finds a truncated file
        except ImageUnavailableError as error:
            options.report(path, f"page {page}: {error.reason}" if frames.count > 1 else error.reason)
        else:
            yield Page(page, size, "", [page])
