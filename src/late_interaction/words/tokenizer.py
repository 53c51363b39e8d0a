"""Split texts and queries into words by the same rules.

A text becomes two sequences of words. The *exact* sequence has each word as it is written, apart from its case and
compatibility characters. The *forms* are what a word is also found by: its stem, without diacritics, and the parts of a
name in camel case. A form that equals the word is left out.

Scripts that do not separate words by spaces become overlapping pairs of characters, so a word is a phrase of pairs. A
run ends with its last character alone, so one character is a prefix wherever it stands. Korean words become both.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import unidata_version

import regex

from late_interaction.words.characters import COMPLEX, HANGUL, IDEOGRAPHIC, LETTERS, lowered, normalized
from late_interaction.words.stems import stemmer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["MARKS", "Clause", "Tokenizer", "tokenizer_for"]

_VERSION = 1
"""Increase this when the same text would give other words."""

MARKS = "._+#"
"""The characters in words that are neither letters, digits nor combining: of ``.net``, ``c++``, ``c#`` and pairs."""

_MAX_CLAUSES = 512  # a longer query, such as a pasted page, is truncated: its first words say what it is about
_MAX_PHRASE_WORDS = 16
_MAX_CHARACTERS_OF_ONE_WORD = 3
"""A longer run of a script without spaces may have several words, so its parts are also searched one by one."""

_MAX_CACHED_WORDS = 65_536
_MAX_CACHED_CHARACTERS = 32


def _word_pattern(letter: str, start: str, inside: str) -> str:
    """Return the pattern of a word of letters and digits, with the marks of .net, c++ and c# if it has them.

    Each argument is the inside of a character class: letters, what a word starts with, and what follows.
    """
    return (
        rf"(?:(?<![{inside}._)\]}}])\.(?=[{letter}]))?"
        rf"[{start}][{inside}]*"
        rf"(?:(?:\+\+?|\#)(?![{inside}_+\#]))?"
    )


_ASCII_WORD = re.compile(_word_pattern("A-Za-z", "A-Za-z0-9", "A-Za-z0-9"))
_CLUSTER = regex.compile(r"\P{M}\p{M}*")
_PART_BOUNDARY = regex.compile(
    r"(?<=\p{Nd})(?=\p{Lu}\p{Ll})|(?<=\p{Lu})(?=\p{Lu}\p{Ll}{2})|(?<=\p{Ll})(?=\p{Lu})", regex.VERSION1
)
_SPACES = re.compile(r"\s+")


@cache
def _token_pattern() -> regex.Pattern[str]:
    """Return the pattern of a word, or of a run of a script without spaces, in a normalized text."""
    without_spaces = f"{IDEOGRAPHIC}{COMPLEX}{HANGUL}"
    spaced = rf"[[{LETTERS}]--[{without_spaces}]]"
    word = _word_pattern(rf"{spaced}&&\p{{L}}", spaced, rf"{spaced}\p{{M}}")
    return regex.compile(
        rf"(?P<ideographic>(?:[{IDEOGRAPHIC}]\p{{M}}*)+)"
        rf"|(?P<complex>(?:[[{COMPLEX}]&&\p{{L}}]\p{{M}}*)+)"
        rf"|(?P<hangul>[[{HANGUL}]&&\p{{L}}]+)"
        rf"|(?P<word>{word})",
        regex.VERSION1,
    )


class Clause(NamedTuple):
    """A word or phrase that a query asks for. A text with any of them matches.

    Attributes:
        words: The words, next to each other and in this order.
        is_exact: Only words as they are written match, not their forms.
        is_prefix: The last word is the beginning of a word.
        is_word: This is a word of the query, not one more way to match it.
    """

    words: tuple[str, ...]
    is_exact: bool = False
    is_prefix: bool = False
    is_word: bool = True


class _Word(NamedTuple):
    """A word as it is written, all its forms (the stem first), and those that differ from it."""

    exact: str
    forms: tuple[str, ...]
    other_forms: tuple[str, ...]


class Tokenizer:
    """Splits texts and queries into words, with the stems of one language. Any thread may call any method.

    Args:
        language: One of `LANGUAGES`, or None for no stems.

    Example:
        >>> Tokenizer("english").document("The C++ parsers")
        ('the c++ parsers', 'c parser')
        >>> Tokenizer(None).document("Größe 東京都")
        ('grösse 東京 京都 都', 'grosse')
    """

    def __init__(self, language: str | None) -> None:
        self._stem = stemmer(language)
        self._has_stems = language is not None
        self._cache: dict[str, _Word] = {}

    @property
    def version(self) -> str:
        """What the words of a text depend on besides the language. If it is the same, so are the words."""
        return _version(has_stems=self._has_stems)

    def document(self, text: str) -> tuple[str, str]:
        """Return the exact words and the other forms of a text, each in order and separated by spaces."""
        exact: list[str] = []
        forms: list[str] = []
        words = self._cache
        if text.isascii():
            for found in _ASCII_WORD.findall(text):
                word = words.get(found) or self._word(found)
                exact.append(word.exact)
                forms += word.other_forms
            return " ".join(exact), " ".join(forms)
        for match in _token_pattern().finditer(normalized(text)):
            found = match[0]
            if match.lastgroup == "word":
                word = words.get(found) or self._word(found)
                exact.append(word.exact)
                forms += word.other_forms
            elif match.lastgroup == "hangul":
                exact.append(found)
                if len(found) > 2:
                    forms += _pairs(found)
            else:
                characters, mark = _characters(found, match.lastgroup)
                exact += (*_pairs(characters, mark), characters[-1] + mark)
        return " ".join(exact), " ".join(forms)

    def query(self, text: str) -> list[Clause]:
        """Return what a query asks for: its words, and the phrases that say how they are written. At most 512."""
        clauses: dict[Clause, None] = {}
        for chunk in dict.fromkeys(_SPACES.split(normalized(text))):
            for clause in self._clauses(chunk):
                clauses[clause] = None
                if len(clauses) == _MAX_CLAUSES:
                    return list(clauses)
        return list(clauses)

    def _clauses(self, chunk: str) -> Iterator[Clause]:
        """Yield the clauses of a part of a query without spaces."""
        compound: list[str] = []
        for match in _token_pattern().finditer(chunk):
            found = match[0]
            if match.lastgroup == "word":
                word = self._cache.get(found) or self._word(found)
                compound.append(word.exact)
                yield Clause((word.exact,), is_exact=True, is_word=False)
                for number, form in enumerate(word.forms):
                    yield Clause((form,), is_word=number == 0)
                continue
            yield from _phrase(compound)
            compound = []
            yield from _run_clauses(found, match.lastgroup)
        yield from _phrase(compound)

    def _word(self, written: str) -> _Word:
        """Return the exact word and the forms of a normalized word."""
        exact, bare = lowered(written), written.strip(MARKS)
        parts = _PART_BOUNDARY.split(bare)
        forms = dict.fromkeys(self._stem(lowered(part)) for part in (bare, *(parts if len(parts) > 1 else ())))
        word = _Word(exact, tuple(forms), tuple(form for form in forms if form != exact))
        if len(written) <= _MAX_CACHED_CHARACTERS:
            if len(self._cache) >= _MAX_CACHED_WORDS:
                self._cache.clear()
            self._cache[written] = word
        return word


def _run_clauses(run: str, script: str | None) -> Iterator[Clause]:
    """Yield the clauses of a run of a script without spaces, or of a Korean word."""
    characters, mark = _characters(run, script)
    is_korean = script == "hangul"
    if is_korean:
        yield Clause((run,), is_exact=True, is_word=False)
    if len(characters) == 1:
        yield Clause((characters[0] + mark,), is_prefix=True)
        return
    pairs = tuple(_pairs(characters, mark))
    may_be_words = len(characters) > (2 if is_korean else _MAX_CHARACTERS_OF_ONE_WORD)
    if len(pairs) <= _MAX_PHRASE_WORDS:
        yield Clause(pairs, is_word=not may_be_words)
    if may_be_words:
        # A pair of characters is a word of Chinese; in Thai it says as little as a pair of letters.
        parts = pairwise(pairs) if script == "complex" else ((pair,) for pair in pairs)
        yield from map(Clause, parts)


def _phrase(words: list[str]) -> Iterator[Clause]:
    """Yield the phrase of words that are written without spaces between them."""
    if len(words) > 1:
        yield Clause(tuple(words[:_MAX_PHRASE_WORDS]), is_exact=True, is_word=False)


def _characters(run: str, script: str | None) -> tuple[Sequence[str], str]:
    """Return the characters of a run, each with its combining marks, and what separates them in a pair.

    Without the separator, a prefix could end between a character and its marks.
    """
    characters: Sequence[str] = run if run.isalnum() else _CLUSTER.findall(run)
    return (characters, "_") if script == "complex" else (characters, "")


def _pairs(characters: Sequence[str], mark: str = "") -> Iterator[str]:
    return (first + mark + second for first, second in pairwise(characters))


@cache
def _version(*, has_stems: bool) -> str:
    from importlib.metadata import version

    stems = f" snowballstemmer {version('snowballstemmer')}" if has_stems else ""
    return f"{_VERSION} unicodedata {unidata_version} regex {version('regex')}{stems}"


@cache
def tokenizer_for(language: str | None) -> Tokenizer:
    """Return the tokenizer of a language, which keeps the words that it has seen."""
    return Tokenizer(language)
