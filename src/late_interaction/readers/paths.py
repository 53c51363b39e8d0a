"""`read_paths`: from files and folders to one `Document` per passage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.errors import InvalidDocumentError
from late_interaction.readers.decoding import UnreadableFileError, read_text
from late_interaction.readers.documents import split_document
from late_interaction.readers.folders import check_paths, find_files
from late_interaction.readers.passages import MAX_CHARS, check_max_chars

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from late_interaction.documents import Document

__all__ = ["read_paths"]


def read_paths(
    paths: Iterable[str | os.PathLike[str]],
    *,
    max_chars: int = MAX_CHARS,
    on_skip: Callable[[Path, str], None] | None = None,
) -> Iterator[Document]:
    """Read the passages of text, Markdown, reStructuredText and HTML files.

    Folders are read recursively in the order of their sorted names; hidden files, files of other kinds and links back
    to a folder that is being read are passed over. A file that several paths lead to under the same name is read once.
    One file is in memory at a time.

    Args:
        paths: Files and folders.
        max_chars: The greatest length of a passage, without the title and headings that `Document.encoded_text` has
            in front of it.
        on_skip: Called with the path of a file or folder that cannot be read, and the reason; reading goes on. Without
            it such a path is an error.

    Returns:
        The passages in reading order. Their ids, ``<source>#<passage>``, stay the same from one reading to the next, so
        that adding a changed file again replaces its passages (a file that became shorter leaves its last ones behind:
        delete them by the metadata ``source`` first). Metadata: ``source`` (the path, relative if given so),
        ``title``, ``heading`` (``A > B``, the headings below the title; absent where there is none) and ``passage``
        (the number in the file, from 0).

    Raises:
        InvalidRequestError: A path does not exist, or is a file of another kind.
        InvalidDocumentError: While iterating, without `on_skip`: a file is not UTF-8 text or cannot be opened.

    Example:
        >>> index.add(read_paths(["docs", "README.md"]))  # doctest: +SKIP
    """
    # Not a generator itself, so that a mistyped path is an error before anything is indexed.
    check_max_chars(max_chars)
    return _read(check_paths(paths), max_chars, _refuse if on_skip is None else on_skip)


def _read(roots: list[Path], max_chars: int, report: Callable[[Path, str], None]) -> Iterator[Document]:
    for path in find_files(roots, report):
        try:
            documents = _read_file(path, max_chars)
        except UnreadableFileError as error:
            report(path, str(error))
        else:
            yield from documents


def _read_file(path: Path, max_chars: int) -> list[Document]:
    source = path.as_posix()
    _check_name(source)
    return split_document(read_text(path), source=source, suffix=path.suffix.lower(), max_chars=max_chars)


def _check_name(source: str) -> None:
    try:
        source.encode()
    except UnicodeEncodeError:
        raise UnreadableFileError("its name is not valid UTF-8") from None


def _refuse(path: Path, reason: str) -> None:
    name = str(path).encode(errors="backslashreplace").decode()
    raise InvalidDocumentError(f"{name} cannot be read: {reason}. Leave it out, or pass on_skip to go on without it.")
