"""`split_document`: from the content of one file to one `Document` per passage."""

from __future__ import annotations

from pathlib import PurePath

from late_interaction.documents import Document
from late_interaction.errors import InvalidRequestError
from late_interaction.readers.passages import MAX_CHARS, check_max_chars, pack_blocks
from late_interaction.readers.sections import SUFFIXES, read_sections

__all__ = ["split_document"]


def split_document(text: str, *, source: str, suffix: str, max_chars: int = MAX_CHARS) -> list[Document]:
    r"""Split a text into passages with their title, headings and place. See `read_paths`, which does this to files.

    Args:
        text: The whole text.
        source: Where it comes from, for ids and metadata. Its last part without suffix is the title of a text without.
        suffix: How to read it: ``.txt``, ``.md``, ``.rst`` or ``.html``.
        max_chars: The greatest length of a passage.

    Raises:
        InvalidRequestError: Another suffix, or `max_chars` is less than 1.

    Example:
        >>> [passage.id for passage in split_document("# Go\n\nNow.", source="a.md", suffix=".md")]
        ['a.md#0']
    """
    check_max_chars(max_chars)
    if suffix not in SUFFIXES:
        raise InvalidRequestError(f"A text of the kind {suffix!r} cannot be read. Known: {', '.join(SUFFIXES)}.")
    title, sections = read_sections(text, suffix)
    title = title or " ".join(PurePath(source).stem.split())
    documents: list[Document] = []
    for section in sections:
        # The title is often the first heading of the path too.
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
