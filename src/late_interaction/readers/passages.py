"""Packing paragraphs into passages of a sensible size. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.readers.blocks import Block, split_paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["MAX_CHARS", "check_max_chars", "pack_blocks", "split_text"]

MAX_CHARS = 1000
"""The usual greatest length of a passage: some 250 tokens of English, which every encoder takes."""

# A text may be cut after each match of these.
_SENTENCES = re.compile(
    r"[.!?…।۔؟][\"'”’»)\]*_]*\s+(?=[^\sa-z])"  # before a lower-case letter it is an abbreviation
    r"|[。！？｡]+[”’」』）]*"
)
_BLANK_LINES = re.compile(r"\n{2,}")
_LINES = re.compile(r"\n")
_WORDS = re.compile(r"\s+")
# From the best places to the worst. A line end comes after a sentence end, because most lines are wrapped; where there
# are no sentences, as in lists and tables, it is what separates the items.
_CUTS_OF_PROSE = (_SENTENCES, _LINES, _WORDS)
_CUTS_OF_CODE = (_BLANK_LINES, _LINES, _WORDS)


def split_text(text: str, *, max_chars: int = MAX_CHARS) -> list[str]:
    r"""Split plain text into passages: at blank lines if possible, else after sentences, lines or words.

    Args:
        text: Any text.
        max_chars: The greatest length of a passage.

    Returns:
        The passages in order, none of them blank. Together they have all of the text but white space where it was cut.

    Raises:
        InvalidRequestError: `max_chars` is less than 1.

    Example:
        >>> split_text("First paragraph.\n\nSecond paragraph. It goes on.", max_chars=20)
        ['First paragraph.', 'Second paragraph.', 'It goes on.']
    """
    check_max_chars(max_chars)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return pack_blocks(split_paragraphs(lines), max_chars)


def check_max_chars(max_chars: int) -> None:
    """Raise `InvalidRequestError` unless passages can have this length."""
    if max_chars < 1:
        raise InvalidRequestError(f"max_chars must be at least 1, not {max_chars}.")


def pack_blocks(blocks: Iterable[Block], max_chars: int) -> list[str]:
    """Join neighbouring blocks into passages, and cut those that are too long."""
    parts = ((f"{block.text}\n\n", _CUTS_OF_CODE if block.verbatim else _CUTS_OF_PROSE) for block in blocks)
    passages = (passage.strip("\n").rstrip() for passage in _merge(parts, max_chars))
    return [passage for passage in passages if passage]


def _merge(parts: Iterable[tuple[str, Sequence[re.Pattern[str]]]], max_chars: int) -> list[str]:
    """Join neighbouring parts as long as they fit; cut a longer one after matches of its first pattern."""
    merged: list[str] = []
    for text, cuts in parts:
        if merged and _fits(merged[-1] + text, max_chars):
            merged[-1] += text
        elif _fits(text, max_chars):
            merged.append(text)
        else:
            # What is short, such as the line that introduces a listing, goes with the start of what follows.
            whole = merged.pop() + text if merged and len(merged[-1]) < max_chars // 2 else text
            if cuts:
                merged += _merge(((part, cuts[1:]) for part in _cut(whole, cuts[0])), max_chars)
            else:
                merged += _slice(whole, max_chars)
    return merged


def _cut(text: str, pattern: re.Pattern[str]) -> Iterator[str]:
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
        # Not between a letter and its accents or vowel signs; but whoever stacks dozens of them is cut anyhow.
        for earlier in range(end, max(start, end - 16), -1):
            if earlier >= len(text) or not _is_mark(text[earlier]):
                end = earlier
                break
        slices.append(text[start:end].lstrip() if start else text[start:end])
        start = end
    return slices


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")
