"""The words of texts and queries as sparse vectors, for servers that multiply each dimension by its IDF.

The words are those of `late_interaction.words`, so every script is searched as in the local engine. A document has
several kinds of dimension, each with the weight that BM25 gives to its frequency:

- exact words, for queries that write a word the same way;
- words and their forms together, for queries that write it another way;
- in scripts without spaces, the first characters of words, and two adjacent pairs of characters as one.

A sparse vector cannot say that words are next to each other. So a phrase of pairs counts by its parts of three
characters, as many as are there, and the phrase of a compound (``foo-bar``) counts as its words alone.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import regex

from late_interaction.engines.first_stage import SparseVector
from late_interaction.words import tokenizer_for
from late_interaction.words.characters import COMPLEX, HANGUL, IDEOGRAPHIC

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["document_terms", "highest_score", "query_terms", "query_vector", "word_vector"]

_K1 = 1.2
_B = 0.75
_AVERAGE_LENGTH = 128
"""The length, in words and other forms, whose documents are neither favored nor disadvantaged.

BM25 compares with the average of the collection, which a server does not tell and every new document would change.
"""

_FORM_WEIGHT = 0.9
_QUERY_WEIGHT = 0.5
"""A query has two dimensions for each of its words: as it is written, and its stem. The score is their mean."""

_EXACT, _ANY, _FIRST, _ADJACENT = "=", "~", "^", "&"
"""What begins the name of a dimension, by its kind."""

_WITHOUT_SPACES = regex.compile(rf"[[{IDEOGRAPHIC}]||[{COMPLEX}]||[{HANGUL}]]\p{{M}}*_?", regex.VERSION1)
"""The first character of a word or pair, with its marks, as `Tokenizer.query` has it alone."""

_MAX_CACHED_NAMES = 1 << 17


def word_vector(text: str, language: str | None) -> SparseVector:
    """Return the sparse vector of the text of a document.

    Args:
        text: The text.
        language: The language of stems; None for no stems.
    """
    frequencies, words = _frequencies(text, language)
    length = words / _AVERAGE_LENGTH
    norm = _K1 * (1 - _B + _B * length)
    return _vector({name: count * (_K1 + 1) / (count + norm) for name, count in frequencies.items()})


def document_terms(text: str, language: str | None) -> dict[str, float]:
    """Return the dimensions of the text of a document by name, with the frequency of each, for full-text search.

    See `word_vector` for the arguments.
    """
    return dict(_frequencies(text, language)[0])


def query_terms(query: str, language: str | None) -> dict[str, float]:
    """Return the dimensions of a query by name, with the weight of each; nothing if the query has no words."""
    weights: defaultdict[str, float] = defaultdict(float)
    for name, weight, _ in _query_weights(query, language):
        weights[name] += weight
    return dict(weights)


def query_vector(query: str, language: str | None) -> SparseVector:
    """Return the sparse vector of a query; empty if the query has no words."""
    return _vector(query_terms(query, language))


def highest_score(query: str, language: str | None, idf: Mapping[int, float], documents: int) -> float:
    """Return what the score of a document approaches in which every word of the query occurs many times.

    A word that no document has counts, as rare as a word can be. A spelling that no document has does not.

    Args:
        query: The query.
        language: The language of stems; None for no stems.
        idf: The IDF of those dimensions of `query_vector` that a document has. It is the score of any such document for
            a query of this dimension alone, of weight 1, divided by the weight in the document.
        documents: The number of documents.
    """
    rarest = math.log((documents + 0.5) / 0.5 + 1)  # as Qdrant computes it for a dimension of no document
    total = 0.0
    for name, weight, is_word in _query_weights(query, language):
        total += weight * (_K1 + 1) * idf.get(_dimension(name), rarest if is_word else 0.0)
    return total


def _frequencies(text: str, language: str | None) -> tuple[dict[str, float], int]:
    """Return the frequencies of the dimensions of a text by name, and its number of words and forms."""
    exact, forms = (words.split() for words in tokenizer_for(language).document(text))
    frequencies: defaultdict[str, float] = defaultdict(float)
    for word in exact:
        frequencies[_EXACT + word] += 1
        frequencies[_ANY + word] += 1
    for form in forms:
        frequencies[_ANY + form] += _FORM_WEIGHT
    if not text.isascii():
        _add_characters(frequencies, exact, 1)
        _add_characters(frequencies, forms, _FORM_WEIGHT)
    return frequencies, len(exact) + len(forms)


def _query_weights(query: str, language: str | None) -> Iterator[tuple[str, float, bool]]:
    """Yield the dimensions of a query with their weights, and whether they say a word of it, not a way to write one."""
    for clause in tokenizer_for(language).query(query):
        words = clause.words
        if len(words) == 1:
            kind = _FIRST if clause.is_prefix else _EXACT if clause.is_exact else _ANY
            yield kind + words[0], _QUERY_WEIGHT, clause.is_word
        elif not clause.is_exact:
            for first, second in pairwise(words):
                yield f"{_ADJACENT}{first} {second}", _QUERY_WEIGHT / (len(words) - 1), clause.is_word


def _add_characters(frequencies: defaultdict[str, float], words: Sequence[str], weight: float) -> None:
    """Add the first characters of words of scripts without spaces, and adjacent pairs of characters."""
    firsts = [_WITHOUT_SPACES.match(word) for word in words]
    for first in firsts:
        if first is not None:
            frequencies[_FIRST + first[0]] += weight
    is_pair = [first is not None and first.end() < len(word) for first, word in zip(firsts, words, strict=True)]
    for place, (word, following) in enumerate(pairwise(words)):
        if is_pair[place] and is_pair[place + 1]:
            frequencies[f"{_ADJACENT}{word} {following}"] += weight


def _vector(weights: Mapping[str, float]) -> SparseVector:
    """Return the vector with these weights. Names with the same hash, about one in 30,000, share a dimension."""
    by_dimension: defaultdict[int, float] = defaultdict(float)
    for name, weight in weights.items():
        by_dimension[_dimension(name)] += weight
    indices = np.fromiter(by_dimension.keys(), np.uint32, len(by_dimension))
    values = np.fromiter(by_dimension.values(), np.float32, len(by_dimension))
    order = np.argsort(indices)
    return SparseVector(indices[order], values[order])


@lru_cache(maxsize=_MAX_CACHED_NAMES)
def _dimension(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "little")
