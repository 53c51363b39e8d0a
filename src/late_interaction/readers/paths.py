"""`read_paths`: from files and folders to one `Document` per passage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.errors import InvalidDocumentError
from late_interaction.readers.decoding import UnreadableFileError, read_text
from late_interaction.readers.documents import split_document
from late_interaction.readers.folders import check_paths, find_files
from late_interaction.readers.kinds import PDF, PICTURES, suffixes_of
from late_interaction.readers.pages import read_page_images, read_page_texts
from late_interaction.readers.passages import MAX_CHARS, check_max_chars

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from late_interaction.documents import Document

__all__ = ["read_paths"]


def read_paths(
    paths: Iterable[str | os.PathLike[str]],
    *,
    max_chars: int = MAX_CHARS,
    modalities: Collection[str] = ("text",),
    keep_images: bool = False,
    on_skip: Callable[[Path, str], None] | None = None,
) -> Iterator[Document]:
    """Read the passages of text, Markdown, reStructuredText, HTML and PDF files, or the pages of PDFs and images.

    Folders are read recursively in the order of their sorted names; hidden files, files of other kinds and links back
    to a folder that is being read are passed over. A file that several paths lead to under the same name is read once.
    One file of text, or one page, is in memory at a time.

    Args:
        paths: Files and folders.
        modalities: ``text`` reads texts, and the text on the pages of PDFs; ``image`` reads the pages of PDFs and
            images (PNG, JPEG, TIFF, WebP) as page images, of which those of PDFs carry their text too. With both, PDFs
            are pages. An index says what its encoder reads: `Index.modalities`.
        keep_images: The index keeps a thumbnail of each page image and no longer needs the file.
        max_chars: The greatest length of a passage, without the title and headings that `Document.encoded_text` has
            in front of it.
        on_skip: Called with the path of a file or folder that cannot be read, or that has pages which cannot be, and
            the reason; reading goes on. Without it such a path is an error.

    Returns:
        The passages in reading order. Their ids, ``<source>#<passage>``, stay the same from one reading to the next, so
        that adding a changed file again replaces its passages (a file that became shorter leaves its last ones behind:
        delete them by the metadata ``source`` first). Metadata: ``source`` (the path, relative if given so),
        ``title``, ``heading`` (``A > B``, the headings below the title; absent where there is none), ``passage``
        (the number in the file, from 0) and, of PDFs and images, ``page`` (from 1). The id of a page image is
        ``<source>#page=<page>``.

    Raises:
        InvalidRequestError: A path does not exist, or is a file of another kind.
        InvalidDocumentError: While iterating, without `on_skip`: a file is not UTF-8 text, a PDF is damaged or
            encrypted, an image is too large, or a file cannot be opened.

    Example:
        >>> index.add(read_paths(["docs", "README.md"]))  # doctest: +SKIP
        >>> index.add(read_paths(["report.pdf"], modalities=["image"]))  # doctest: +SKIP
    """
    # Not a generator itself, so that a mistyped path is an error before anything is indexed.
    check_max_chars(max_chars)
    suffixes = suffixes_of(modalities)
    report = _refuse if on_skip is None else on_skip
    files = find_files(check_paths(paths, suffixes), suffixes, report)
    pages = {PDF, *PICTURES} if "image" in modalities else frozenset()
    return _read(files, pages, max_chars=max_chars, keep_images=keep_images, report=report)


def _read(
    files: Iterable[Path],
    pages: Collection[str],
    *,
    max_chars: int,
    keep_images: bool,
    report: Callable[[Path, str], None],
) -> Iterator[Document]:
    for path in files:
        source, suffix = path.as_posix(), path.suffix.lower()
        try:
            _check_name(source)
            if suffix in pages:
                yield from read_page_images(path, source, keep_images=keep_images, report=report)
            elif suffix == PDF:
                yield from read_page_texts(path, source, max_chars=max_chars, report=report)
            else:
                yield from split_document(read_text(path), source=source, suffix=suffix, max_chars=max_chars)
        except UnreadableFileError as error:
            report(path, str(error))


def _check_name(source: str) -> None:
    try:
        source.encode()
    except UnicodeEncodeError:
        raise UnreadableFileError("its name is not valid UTF-8") from None


def _refuse(path: Path, reason: str) -> None:
    name = str(path).encode(errors="backslashreplace").decode()
    raise InvalidDocumentError(f"{name} cannot be read: {reason}. Leave it out, or pass on_skip to go on without it.")
