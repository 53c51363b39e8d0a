"""`read_paths`: read files and folders into one `Document` per passage or page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidDocumentError
from late_interaction.readers.by_file import by_file_or_one
from late_interaction.readers.decoding import UnreadableFileError, check_encoding
from late_interaction.readers.file_metadata import read_file_metadata, with_metadata
from late_interaction.readers.folders import check_paths, find_files
from late_interaction.readers.kinds import readers_of
from late_interaction.readers.options import ReadOptions
from late_interaction.readers.page_ranges import PageRanges
from late_interaction.readers.passages import MAX_CHARS, check_max_chars
from late_interaction.readers.patterns import Selection
from late_interaction.readers.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from late_interaction.documents import Document
    from late_interaction.readers.by_file import ByFile
    from late_interaction.readers.kinds import Reader

__all__ = ["read_paths"]


def read_paths(
    paths: Iterable[str | os.PathLike[str]],
    *,
    max_chars: int = MAX_CHARS,
    modalities: Collection[str] = ("text",),
    keep_images: bool = False,
    on_skip: Callable[[Path, str], None] | None = None,
    glob: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] = (),
    gitignore: bool = True,
    encoding: str | None = None,
    metadata: Mapping[str, Mapping[str, Any]] | str | os.PathLike[str] | None = None,
    passwords: str | Mapping[str, str] | None = None,
    pages: str | Mapping[str, str] | None = None,
    fold_equal_pages: bool = False,
) -> Iterator[Document]:
    """Read the passages of files of text, tables, notebooks and PDFs, or the pages of PDFs and images.

    Folders are read recursively, in the order of their sorted names. Hidden files, links back to a folder that is being
    read, and directories of indexes are skipped. Files of other kinds, files without text or rows, and what git ignores
    are counted in one warning when all is read. A file that several paths lead to under the same name is read once. At
    most one text file or one page is in memory at a time.

    ``metadata``, ``passwords`` and ``pages`` name a file by its path, or by its path relative to a folder in ``paths``.

    Args:
        paths: Files and folders.
        modalities: ``text`` reads text files (Markdown, reStructuredText, HTML, plain text), Jupyter notebooks without
            their outputs, CSV and TSV files row by row, and the text of PDFs. ``image`` reads the pages of PDFs, with
            their text, and images (PNG, JPEG, TIFF, WebP) as page images. With both, PDFs are read as page images.
            `Index.modalities` says what the encoder of an index reads.
        keep_images: Let the index keep a thumbnail of each page image, so that it no longer needs the file.
        max_chars: Maximum length of a passage in characters, without the title and headings that
            `Document.encoded_text` has in front of it.
        on_skip: Called with the path and the reason if a file or folder, or some of its pages, cannot be read; reading
            continues. Without it, this is an error.
        glob: Of the files in folders, read only those that match this pattern, or one of these, for example
            ``docs/**/*.md``. Patterns are as in ``.gitignore``, relative to the folder in ``paths``.
        exclude: Do not read files and folders that match this pattern, or one of these.
        gitignore: Do not read what git ignores, in folders inside a work tree of git. A path in ``paths`` is read in
            any case. A folder of which ``glob``, ``exclude`` and git leave nothing is skipped, see ``on_skip``.
        encoding: The encoding of text, for example ``cp1252``. By default the one that an HTML page declares, otherwise
            UTF-8. The byte order mark of UTF-8, UTF-16 or UTF-32 decides in any case.
        metadata: Metadata of all passages of a file: a dict such as ``{"a.md": {"year": 2020}}``, or the path of a JSON
            file of the same, or of a CSV file with a column ``source`` and a column for each key. Its numbers become
            numbers, and empty cells are left out.
        passwords: The password of encrypted PDFs, or a dict of passwords by file. The process keeps them in memory to
            load the page images. An index does not store them: use ``keep_images`` to show the pages later.
        pages: Read only these pages of PDFs and TIFFs, for example ``1-3,7``, or a dict of such by file.
        fold_equal_pages: Make one document of page images of a file that look equal and have equal texts, such as blank
            ones. Its metadata has all their numbers in ``pages``.

    Returns:
        The passages in reading order. Their ids, ``<source>#<passage>``, do not change from one reading to the next, so
        adding a changed file again replaces its passages (if the file became shorter, its last passages remain: delete
        them by the metadata ``source`` first). Metadata: ``source`` (the path, relative if given so), ``title``,
        ``heading`` (``A > B``, the headings below the title; absent if there is none), ``passage`` (its position in the
        file, from 0), for PDFs and images ``page`` (from 1), for tables ``row`` (from 1, below the header). The id of a
        page image is ``<source>#page=<page>``.

    Raises:
        InvalidRequestError: A path does not exist or is a file of another kind, or an option is invalid.
        InvalidDocumentError: While iterating, without ``on_skip``: a file is not text in its encoding, a PDF is damaged
            or encrypted, an image is too large, or a file cannot be opened.

    Example:
        >>> index.add(read_paths(["docs", "README.md"]))  # doctest: +SKIP
        >>> index.add(read_paths(["report.pdf"], modalities=["image"]))  # doctest: +SKIP
        >>> index.add(read_paths(["docs"], exclude="drafts/", metadata="docs/metadata.csv"))  # doctest: +SKIP
    """
    # Not a generator itself, so that a mistyped path raises before anything is indexed.
    check_max_chars(max_chars)
    readers = readers_of(modalities)
    places = check_paths(paths, readers)
    options = ReadOptions(
        max_chars,
        keep_images,
        check_encoding(encoding),
        by_file_or_one(passwords, places, "passwords", str),
        by_file_or_one(pages, places, "pages", PageRanges.parse),
        fold_equal_pages,
        _refuse if on_skip is None else on_skip,
    )
    by_file = read_file_metadata(metadata, places)
    selection = Selection(glob, exclude, gitignore=gitignore)
    own = None if metadata is None or isinstance(metadata, Mapping) else os.path.realpath(metadata)
    return _read(places, readers, selection, by_file, options, own)


def _read(
    places: list[Path],
    readers: Mapping[str, Reader],
    selection: Selection,
    metadata: ByFile[Mapping[str, Any]],
    options: ReadOptions,
    metadata_file: str | None,
) -> Iterator[Document]:
    unread = Unread()
    for path in find_files(places, readers, options.report, selection, unread):
        if metadata_file is not None and os.path.realpath(path) == metadata_file:
            continue
        source = path.as_posix()
        try:
            _check_name(source)
            is_empty = True
            for document in readers[path.suffix.lower()](path, source, options):
                is_empty = False
                yield with_metadata(document, metadata(path))
            if is_empty:
                unread.add_empty()
        except UnreadableFileError as error:
            options.report(path, str(error))
    unread.log()


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
