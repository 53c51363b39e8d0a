"""Pack paragraphs into passages of at most a given length. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.readers.blocks import Block, split_paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["MAX_CHARS", "check_max_chars", "pack_blocks", "split_sentences", "split_text"]

MAX_CHARS = 1000
"""Default maximum length of a passage: about 250 tokens of English, which every encoder can read."""

# A text may be split after each match of these.
_SENTENCES = re.compile(
    r"[.!?…।۔؟][\"'”’»)\]*_]*\s+(?=[^\sa-z])"  # before a lowercase letter it is an abbreviation
    r"|[。！？｡]+[”’」』）]*"
)
_MAX_MARKS = 16  # combining characters after which a text is split in any case
_BLANK_LINES = re.compile(r"\n{2,}")
_LINES = re.compile(r"\n")
_WORDS = re.compile(r"\s+")
# In order of preference. Sentence ends are preferred to line ends, because most lines are wrapped; in lists and tables,
# which have no sentences, line ends separate the items.
_PROSE_SEPARATORS = (_SENTENCES, _LINES, _WORDS)
_CODE_SEPARATORS = (_BLANK_LINES, _LINES, _WORDS)
_ROW_SEPARATORS = (_LINES, _SENTENCES, _WORDS)


def split_text(text: str, *, max_chars: int = MAX_CHARS) -> list[str]:
    r"""Split plain text into passages: at blank lines if possible, else after sentences, lines or words.

    Args:
        text: Any text.
        max_chars: Maximum length of a passage, in characters.

    Returns:
        The passages in order, none of them blank. Together they contain all of the text except white space.

    Raises:
        InvalidRequestError: ``max_chars`` is less than 1.

    Example:
        >>> split_text("First paragraph.\n\nSecond paragraph. It goes on.", max_chars=20)
        ['First paragraph.', 'Second paragraph.', 'It goes on.']
    """
    check_max_chars(max_chars)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return pack_blocks(split_paragraphs(lines), max_chars)


def split_sentences(text: str) -> list[str]:
    r"""Return the sentences of a text in order, without white space around them. A blank line ends a sentence.

    Example:
        >>> split_sentences("It rains, e.g. today. 東京は雨。晴れ。\n\nNo stop")
        ['It rains, e.g. today.', '東京は雨。', '晴れ。', 'No stop']
    """
    paragraphs = _BLANK_LINES.split(text.replace("\r\n", "\n"))
    sentences = (sentence.strip() for paragraph in paragraphs for sentence in _split(paragraph, _SENTENCES))
    return [sentence for sentence in sentences if sentence]


def check_max_chars(max_chars: int) -> None:
    """Raise `InvalidRequestError` unless ``max_chars`` is positive."""
    if max_chars < 1:
        raise InvalidRequestError(f"max_chars must be at least 1, got {max_chars}.")


def pack_blocks(blocks: Iterable[Block], max_chars: int) -> list[str]:
    """Return passages of at most ``max_chars`` characters: consecutive blocks are joined, long blocks are split."""
    parts = (
        (f"{text}\n\n", _CODE_SEPARATORS if block.verbatim else _PROSE_SEPARATORS)
        for block in blocks
        for text in _tables(block, max_chars)
    )
    passages = (passage.strip("\n").rstrip() for passage in _merge(parts, max_chars))
    return [passage for passage in passages if passage]


def _tables(block: Block, max_chars: int) -> Iterator[str]:
    """Yield a block; a table that is too long as several tables of whole rows with the same header.

    A header of more than half a passage is not repeated.
    """
    if not block.rows or len(block.text) <= max_chars:
        yield block.text
        return
    header, rows = f"{block.header}\n" if block.header else "", block.rows
    if len(header) > max_chars - max_chars // 2:
        header, rows = "", (block.header, *rows)
    for part in _merge([(f"{row}\n", _ROW_SEPARATORS) for row in rows], max_chars - len(header)):
        if part.strip():
            yield f"{header}{part.rstrip()}"


def _merge(parts: Iterable[tuple[str, Sequence[re.Pattern[str]]]], max_chars: int) -> list[str]:
    """Join consecutive parts while they fit; split a longer part after matches of its first separator."""
    merged: list[str] = []
    for text, separators in parts:
        if merged and _fits(merged[-1] + text, max_chars):
            merged[-1] += text
        elif _fits(text, max_chars):
            merged.append(text)
        else:
            # A short passage, such as the line that introduces a listing, is joined with the start of the next part.
            whole = merged.pop() + text if merged and len(merged[-1]) < max_chars // 2 else text
            if separators:
                smaller = ((part, separators[1:]) for part in _split(whole, separators[0]))
                merged += _merge(smaller, max_chars)
            else:
                merged += _slice(whole, max_chars)
    return merged


def _split(text: str, pattern: re.Pattern[str]) -> Iterator[str]:
    start = 0
    for match in pattern.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    yield text[start:]


def _fits(text: str, max_chars: int) -> bool:
    return len(text) <= max_chars or len(text.rstrip()) <= max_chars


def _slice(text: str, max_chars: int) -> list[str]:
    slices: list[str] = []
    start = 0
    while start < len(text):
        end = start + max_chars
        # Not between a letter and its accents or vowel signs, unless there are very many of them.
        for earlier in range(end, max(start, end - _MAX_MARKS), -1):
            if earlier >= len(text) or not _is_mark(text[earlier]):
                end = earlier
                break
        slices.append(text[start:end].lstrip() if start else text[start:end])
        start = end
    return slices


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")
