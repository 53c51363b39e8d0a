"""Undo hyphenation: drop soft hyphens, and join the words that hyphens split at the end of a line."""

from __future__ import annotations

import re
from functools import cached_property

__all__ = ["Hyphenation", "without_soft_hyphens"]

_LETTERS = r"[^\W\d_\u0300-\u036f](?:[^\W\d_]|[\u0300-\u036f])*"
_QUOTES = "\"'\u201c\u2018\u2019\u201e\u00ab\u2039"
_SOFT_HYPHEN_AT_LINE_END = re.compile("\u00ad[ \\t]*(?:\\n[ \\t]*)?(?=[^\\W\\d_])")
# Only whole words of letters: a URL, an option or an identifier that is wrapped after a hyphen keeps it.
_HYPHEN_AT_LINE_END = re.compile(
    rf"(?<![^\s(\[{{{_QUOTES}*_\u2013\u2014])(?<!\w_)(?P<first>{_LETTERS}(?:[-\u2010]{_LETTERS})*)"
    r"[-\u2010][ \t]*\n[ \t]*"
    rf"(?=(?P<second>{_LETTERS})(?![\w@/\\(])(?![-\u2010](?:\s|$))(?P<more>[-\u2010][^\W\d_])?)"
)
_WORDS = re.compile(rf"{_LETTERS}(?:[-\u2010]{_LETTERS})*")
_MIN_WORD = 4  # letters of a word that is evidence of a compound: short ones are syllables of many words
# "pre- and postwar": the hyphen stands for a word that follows.
_CONJUNCTIONS = frozenset(("and", "or", "und", "oder", "sowie", "et", "ou", "och", "og", "eller", "oraz", "lub", "или"))
_COMPOUNDING = frozenset(("self", "well", "half", "cross", "quasi"))  # first parts of compounds


class Hyphenation:
    """Joins words that were split at the end of a line, in parts of one text.

    A hyphen between a letter and a lowercase letter of the next line is either hyphenation or belongs to a compound. It
    is kept if the text shows that: if the compound occurs elsewhere and the joined word does not, or if both parts
    are words of the text.

    Args:
        text: The whole text, which shows how its words are written.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def undone(self, text: str) -> str:
        r"""Return a part of the text without soft hyphens and without hyphenation.

        Example:
            >>> Hyphenation("").undone("An exam-\nple of pre-\nand post\u00adwar state-of-the-\nart.")
            'An example of pre-\nand postwar state-of-the-art.'
        """
        return _HYPHEN_AT_LINE_END.sub(self._joined, without_soft_hyphens(text))

    def _joined(self, match: re.Match[str]) -> str:
        first, second = match["first"].lower(), match["second"].lower()
        if not match["second"][0].islower() or len(second) == 1:  # a name, or a conjunction: hyphenation leaves more
            return match[0]
        has_other_hyphen = bool(match["more"]) or "-" in first or "\u2010" in first
        if first + second in self._words and not has_other_hyphen:
            return match["first"]
        if second in _CONJUNCTIONS:
            return match[0]
        return f"{match['first']}-" if has_other_hyphen or self._are_compound(first, second) else match["first"]

    def _are_compound(self, first: str, second: str) -> bool:
        """Return whether the hyphen between two parts belongs to the word, as far as the text shows."""
        if len(first) == 1 or f"{first}-{second}" in self._words:  # as in "e-mail"
            return True
        if min(len(first), len(second)) < _MIN_WORD:
            return False
        return first in _COMPOUNDING or {first, second} <= self._words

    @cached_property
    def _words(self) -> frozenset[str]:
        """The words of the text in lower case, without those that are split at the end of a line."""
        whole = _HYPHEN_AT_LINE_END.sub(" - ", without_soft_hyphens(self._text))
        return frozenset(word.lower().replace("\u2010", "-") for word in _WORDS.findall(whole))


def without_soft_hyphens(text: str) -> str:
    r"""Return a text without soft hyphens, and without the line breaks after them, inside words.

    Example:
        >>> without_soft_hyphens("hy\u00adphen\u00ad\n  ation\u00ad")
        'hyphenation'
    """
    if "\u00ad" not in text:
        return text
    return _SOFT_HYPHEN_AT_LINE_END.sub("", text).replace("\u00ad", "")
