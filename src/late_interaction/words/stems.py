"""Reduce words to stems with the Snowball stemmers, in the one language that an index names."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

import regex

from late_interaction.errors import InvalidRequestError
from late_interaction.validation import did_you_mean
from late_interaction.words.characters import folded

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEFAULT_LANGUAGE", "LANGUAGES", "check_language", "stemmer"]

DEFAULT_LANGUAGE = "english"
"""The language of a new index, as of every index of earlier releases."""

_SCRIPTS = {
    "arabic": ("Arabic",),
    "armenian": ("Armenian",),
    "greek": ("Greek",),
    "hindi": ("Devanagari",),
    "nepali": ("Devanagari",),
    "persian": ("Arabic",),
    "russian": ("Cyrillic",),
    "serbian": ("Cyrillic", "Latin"),
    "tamil": ("Tamil",),
    "yiddish": ("Hebrew",),
}
"""Scripts of the words that are stemmed; Latin for the other languages."""

LANGUAGES = tuple(
    sorted(
        (
            *_SCRIPTS,
            *("basque", "catalan", "czech", "danish", "dutch", "english", "esperanto", "estonian", "finnish", "french"),
            *("german", "hungarian", "indonesian", "irish", "italian", "lithuanian", "norwegian", "polish"),
            *("portuguese", "romanian", "sesotho", "spanish", "swedish", "turkish"),
        )
    )
)
"""The languages that words can be stemmed in."""

_LANGUAGES_WITHOUT_MARKS = frozenset({"english", "indonesian"})
"""Diacritics are folded before stemming, so that a stem is the same with and without them (résumé, resume).

The stemmers of other languages need the diacritics.
"""

_MAX_STEMMED_CHARACTERS = 64  # a longer word is not a word of a language


def check_language(language: object) -> str | None:
    """Return a language of `LANGUAGES`, or None for no stems.

    Raises:
        InvalidRequestError: It is not one of them.
    """
    if language is not None and (not isinstance(language, str) or language not in LANGUAGES):
        raise InvalidRequestError(
            f"language must be one of {', '.join(LANGUAGES)}, or None for no stems, got {language!r:.80}."
            f"{did_you_mean(language, LANGUAGES)}"
        )
    return language


@cache
def stemmer(language: str | None) -> Callable[[str], str]:
    """Return a function that reduces a word in lower case to its stem, with diacritics folded.

    Words of other scripts, with digits or of more than 64 characters are not stemmed.
    """
    if language is None:
        return folded
    name = language.replace("_", " ").title().replace(" ", "")
    # The class of the language, and not `snowballstemmer.stemmer`: that one returns PyStemmer's if it is installed,
    # which may be another version of the algorithm.
    make = getattr(import_module(f"snowballstemmer.{language}_stemmer"), f"{name}Stemmer")
    scripts = "".join(rf"\p{{{script}}}" for script in _SCRIPTS.get(language, ("Latin",)))
    is_stemmed = regex.compile(rf"[{scripts}\p{{M}}]{{1,{_MAX_STEMMED_CHARACTERS}}}").fullmatch
    folds_first = language in _LANGUAGES_WITHOUT_MARKS

    def stem(word: str) -> str:
        if folds_first:
            word = folded(word)
        if is_stemmed(word):
            word = make().stemWord(word) or word  # a stemmer has state, so threads must not share one
        return folded(word)

    return stem
