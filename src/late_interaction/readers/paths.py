"""`read_paths`: read files and folders into one `Document` per passage or page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.errors import InvalidDocumentError
from late_interaction.readers.decoding import UnreadableFileError
from late_interaction.readers.folders import check_paths, find_files
from late_interaction.readers.kinds import readers_of
from late_interaction.readers.options import ReadOptions
from late_interaction.readers.passages import MAX_CHARS, check_max_chars

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from late_interaction.documents import Document
    from late_interaction.readers.kinds import Reader

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

    Folders are read recursively, in the order of their sorted names. Hidden files, files of other kinds and links back
    to a folder that is being read are skipped. A file that several paths lead to under the same name is read once. At
    most one text file or one page is in memory at a time.

    Args:
        paths: Files and folders.
        modalities: ``text`` reads text files and the text of PDFs. ``image`` reads the pages of PDFs, with their text,
            and images (PNG, JPEG, TIFF, WebP) as page images. With both, PDFs are read as page images.
            `Index.modalities` says what the encoder of an index reads.
        keep_images: Let the index keep a thumbnail of each page image, so that it no longer needs the file.
        max_chars: Maximum length of a passage in characters, without the title and headings that
            `Document.encoded_text` has in front of it.
        on_skip: Called with the path and the reason if a file or folder, or some of its pages, cannot be read; reading
            continues. Without it, this is an error.

    Returns:
        The passages in reading order. Their ids, ``<source>#<passage>``, do not change from one reading to the next, so
        adding a changed file again replaces its passages (if the file became shorter, its last passages remain: delete
        them by the metadata ``source`` first). Metadata: ``source`` (the path, relative if given so), ``title``,
        ``heading`` (``A > B``, the headings below the title; absent if there is none), ``passage`` (its position in the
        file, from 0) and, for PDFs and images, ``page`` (from 1). The id of a page image is ``<source>#page=<page>``.

    Raises:
        InvalidRequestError: A path does not exist or is a file of another kind, or an option is invalid.
        InvalidDocumentError: While iterating, without ``on_skip``: a file is not UTF-8 text, a PDF is damaged or
            encrypted, an image is too large, or a file cannot be opened.

    Example:
        >>> index.add(read_paths(["docs", "README.md"]))  # doctest: +SKIP
        >>> index.add(read_paths(["report.pdf"], modalities=["image"]))  # doctest: +SKIP
    """
    # Not a generator itself, so that a mistyped path raises before anything is indexed.
    check_max_chars(max_chars)
    readers = readers_of(modalities)
    options = ReadOptions(max_chars, keep_images, _refuse if on_skip is None else on_skip)
    files = find_files(check_paths(paths, readers), readers, options.report)
    return _read(files, readers, options)


def _read(files: Iterable[Path], readers: Mapping[str, Reader], options: ReadOptions) -> Iterator[Document]:
    for path in files:
        source = path.as_posix()
        try:
            _check_name(source)
            yield from readers[path.suffix.lower()](path, source, options)
        except UnreadableFileError as error:
            options.report(path, str(error))


def _check_name(source: str) -> None:
    try:
        source.encode()
    except UnicodeEncodeError:
        raise UnreadableFileError("its name is not valid UTF-8") from None


def _refuse(path: Path, reason: str) -> None:
    name = str(path).encode(errors="backslashreplace").decode()
    raise InvalidDocumentError(
        f"{name} cannot be read: {reason}. Leave it out, or pass on_skip to continue without it."
    )
