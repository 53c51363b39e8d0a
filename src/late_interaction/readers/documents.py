"""`split_document`: split the text of one file into one `Document` per passage."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from late_interaction.documents import Document
from late_interaction.errors import InvalidRequestError
from late_interaction.readers.decoding import UTF_8, read_text
from late_interaction.readers.passages import MAX_CHARS, check_max_chars, pack_blocks
from late_interaction.readers.sections import HTML, SUFFIXES, read_sections

if TYPE_CHECKING:
    from late_interaction.readers.options import ReadOptions

__all__ = ["read_text_file", "split_document"]


def read_text_file(path: Path, source: str, options: ReadOptions) -> list[Document]:
    """Return the passages of a file of text, see `split_document`.

    Raises:
        UnreadableFileError: The file cannot be opened, or is not text in its encoding.
    """
    suffix = path.suffix.lower()
    return split_document(
        _read(path, suffix, options.encoding),
        source=source,
        suffix=suffix,
        max_chars=options.max_chars,
    )


def split_document(text: str, *, source: str, suffix: str, max_chars: int = MAX_CHARS) -> list[Document]:
    r"""Split a text into passages with title, headings and position; `read_paths` does so for files.

    Args:
        text: The whole text.
        source: The origin, for ids and metadata. If the text has no title, the title is the name without suffix.
        suffix: The format, as the suffix of a file: ``.txt``, ``.md``, ``.rst``, ``.html``…
        max_chars: Maximum length of a passage, in characters.

    Returns:
        The passages in order.

    Raises:
        InvalidRequestError: The suffix is unknown, or ``max_chars`` is less than 1.

    Example:
        >>> [passage.id for passage in split_document("# Go\n\nNow.", source="a.md", suffix=".md")]
        ['a.md#0']
    """
    check_max_chars(max_chars)
    if suffix not in SUFFIXES:
        raise InvalidRequestError(f"suffix must be one of {', '.join(SUFFIXES)}, got {suffix!r}.")
    title, sections = read_sections(text, suffix)
    title = title or " ".join(PurePath(source).stem.split())
    documents: list[Document] = []
    for section in sections:
        # The title is often the first heading too.
        headings = section.headings[1:] if section.headings[:1] == (title,) else section.headings
        context = " > ".join((title, *headings) if title else headings)
        for passage in pack_blocks(section.blocks, max_chars):
            metadata: dict[str, str | int] = {"source": source, "passage": len(documents)}
            if title:
                metadata["title"] = title
            if headings:
                metadata["heading"] = " > ".join(headings)
            documents.append(
                Document(
                    passage,
                    id=f"{source}#{len(documents)}",
                    metadata=metadata,
                    encoded_text=f"{context}\n{passage}" if context else None,
                )
            )
    return documents


def _read(path: Path, suffix: str, encoding: str | None) -> str:
    if suffix == ".ipynb":
        return read_text(path, UTF_8)
    if suffix not in HTML:
        return read_text(path, encoding)
    from late_interaction.readers.webpages import declared_encoding  # with bs4, which takes a while to import

    return read_text(path, encoding, declared=declared_encoding)
