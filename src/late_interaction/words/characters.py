"""What is the same character for lexical search, and which characters make words in which scripts."""

from __future__ import annotations

import unicodedata

import regex

__all__ = ["COMPLEX", "HANGUL", "IDEOGRAPHIC", "LETTERS", "folded", "lowered", "normalized"]

IDEOGRAPHIC = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\u30FC"
COMPLEX = (
    r"\p{Thai}\p{Lao}\p{Myanmar}\p{Khmer}\p{Javanese}\p{Balinese}"
    r"\p{Tai_Le}\p{New_Tai_Lue}\p{Tai_Tham}\p{Tai_Viet}\p{Ahom}"
)
HANGUL = r"\p{Hangul}"
LETTERS = r"\p{L}\p{N}--[\u02B9-\u02BC\uA78C]"
"""Letters and digits, without the modifier letters that are written for apostrophes."""

# Characters that do not change which word is written: soft hyphens, zero-width characters, variation selectors and
# marks of direction (all of these are default-ignorable), enclosing marks, the Arabic tatweel, and Armenian marks of
# stress, exclamation and question, which stand inside a word.
_IGNORED = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Me}\u0640\u055B\u055C\u055E]+")

# Hebrew and Arabic marks of vowels and cantillation, which most texts leave out. The marks that belong to a letter,
# such as hamza, are composed with it before.
_VOWEL_MARKS = (
    r"[\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7"
    r"\u0610-\u061A\u064B-\u065F\u0670\u06D6-\u06DC\u06DF-\u06E4\u06E7\u06E8\u06EA-\u06ED\u08CA-\u08E1\u08E3-\u08FF]+"
)
_STRESS_MARKS = r"(?<=\p{Cyrillic})[\u0300\u0301]+"
_UNWRITTEN_MARKS = regex.compile(f"{_VOWEL_MARKS}|{_STRESS_MARKS}")

_OTHER_DIGITS = regex.compile(r"[\p{Nd}--0-9]", regex.VERSION1)
_FOLDED_MARKS = regex.compile(r"(?<=[\p{Latin}\p{Greek}])\p{Mn}+")

_FOLDED_LETTERS = str.maketrans(
    # Latin letters whose diacritic Unicode does not decompose.
    {"ı": "i", "ł": "l", "đ": "d", "ø": "o", "ħ": "h", "ŧ": "t", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe"}
    # Cyrillic letters that are commonly written without their mark. й and ї are other letters than и and і.
    | {"ё": "е", "ѐ": "е", "ѝ": "и"}
    # Letters that Arabic, Persian and Urdu keyboards write in different ways.
    | dict.fromkeys("أإآٱ", "ا")
    | {"ى": "ي", "ی": "ي", "ې": "ي", "ئ": "ي", "ؤ": "و", "ة": "ه", "ہ": "ه", "ۂ": "ه", "ۀ": "ه", "ک": "ك"}
    # The nukta and the candrabindu of Hindi, which many texts leave out or replace.
    | {"\u093c": None, "\u0901": "\u0902"}
)


def normalized(text: str) -> str:
    """Return a text in Unicode form NFKC, without characters that do not change its words, and with ASCII digits.

    The case is kept.
    """
    text = unicodedata.normalize("NFKC", _IGNORED.sub("", text))
    if _IGNORED.search(text):  # compatibility characters of such
        text = unicodedata.normalize("NFKC", _IGNORED.sub("", text))
    text = _UNWRITTEN_MARKS.sub("", text)
    return str(_OTHER_DIGITS.sub(lambda match: str(unicodedata.digit(match[0])), text))


def lowered(word: str) -> str:
    """Return a normalized word without differences of case; the Turkish İ becomes i, as I does."""
    word = word.casefold()
    if word.isascii():
        return word
    return unicodedata.normalize("NFKC", word).replace("i\u0307", "i")


def folded(word: str) -> str:
    """Return a lowered word without the diacritics that many texts and queries leave out."""
    if word.isascii():
        return word
    bare = _FOLDED_MARKS.sub("", unicodedata.normalize("NFD", word))
    return unicodedata.normalize("NFC", bare).translate(_FOLDED_LETTERS)
