"""Pages of PDFs and image files: as page images, or PDFs as the text on them."""

from __future__ import annotations

import os
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
from late_interaction.readers.kinds import PDF
from late_interaction.readers.passages import split_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from late_interaction.images.pdf import Pdf

__all__ = ["read_page_images", "read_page_texts"]


def read_page_images(
    path: Path, source: str, *, keep_images: bool, report: Callable[[Path, str], None]
) -> Iterator[Document]:
    """The pages of a PDF or an image file, one document each; those of a PDF with the text on them.

    Raises:
        UnreadableFileError: Nothing of the file can be read. A page that cannot be is reported and left out.
    """
    pages = _pdf_pages(path, report) if path.suffix.lower() == PDF else _pictures(path, report)
    try:
        for image, text in pages:
            yield Document(
                text,
                image=image.with_thumbnail() if keep_images else image,
                id=f"{source}#page={image.page}",
                metadata={"source": source, "passage": image.page - 1, "page": image.page},
            )
    except (ImageUnavailableError, OptionalDependencyError) as error:
        raise UnreadableFileError(_reason(error)) from None


def read_page_texts(path: Path, source: str, *, max_chars: int, report: Callable[[Path, str], None]) -> list[Document]:
    """The passages of the text on the pages of a PDF.

    Raises:
        UnreadableFileError: Nothing of the file can be read, or there is no text in it.
    """
    title = " ".join(PurePath(source).stem.split())
    documents: list[Document] = []
    try:
        with open_pdf(path) as pdf:
            for page, _, text in _readable(pdf, path, report):
                for passage in split_text(text, max_chars=max_chars):
                    metadata = {"source": source, "passage": len(documents), "title": title, "page": page}
                    identity = f"{source}#{len(documents)}"
                    encoded_text = f"{title}\n{passage}"
                    documents.append(Document(passage, id=identity, metadata=metadata, encoded_text=encoded_text))
    except (ImageUnavailableError, OptionalDependencyError) as error:
        raise UnreadableFileError(_reason(error)) from None
    if not documents:
        raise UnreadableFileError("it has no text, as scans have none; an encoder for page images could read it")
    return documents


def _pdf_pages(path: Path, report: Callable[[Path, str], None]) -> Iterator[tuple[PageImage, str]]:
    place = os.path.abspath(path)  # noqa: PTH100  # keeps links as they are
    digest = file_digest(place)
    with open_pdf(place) as pdf:
        for page, (width, height), text in _readable(pdf, path, report):
            yield PageImage(digest, place, page, width, height), text


def _readable(
    pdf: Pdf, path: Path, report: Callable[[Path, str], None]
) -> Iterator[tuple[int, tuple[float, float], str]]:
    """Number, size and text of each page that can be read.

    Damaged ones in a row are told at once: a small file may claim a million.
    """
    pages = ((page, _read(pdf, page)) for page in range(1, pdf.pages + 1))
    for is_damaged, group in groupby(pages, key=lambda read: read[1] is None):
        if is_damaged:
            first, *others = (page for page, _ in group)
            report(path, f"pages {first} to {others[-1]} are damaged" if others else f"page {first} is damaged")
        else:
            yield from ((page, *read) for page, read in group if read is not None)


def _read(pdf: Pdf, page: int) -> tuple[tuple[float, float], str] | None:
    try:
        return pdf.read(page)
    except ImageUnavailableError:
        return None


def _pictures(path: Path, report: Callable[[Path, str], None]) -> Iterator[tuple[PageImage, str]]:
    place = os.path.abspath(path)  # noqa: PTH100  # keeps links as they are
    digest = file_digest(place)
    with open_frames(place) as frames:
        for page in range(1, frames.count + 1):
            try:
                width, height = frames.load(page).size  # decoded, since what is cut off shows only then
            except ImageUnavailableError as error:
                report(path, f"page {page}: {error.reason}" if frames.count > 1 else error.reason)
            else:
                yield PageImage(digest, place, page, width, height), ""


def _reason(error: ImageUnavailableError | OptionalDependencyError) -> str:
    return error.reason if isinstance(error, ImageUnavailableError) else str(error)
