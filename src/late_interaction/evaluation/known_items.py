"""What may be asked of a document whose text is known: its title, its first sentence, or its rarest one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from late_interaction.documents import Document
from late_interaction.readers.passages import split_sentences
from late_interaction.words import tokenizer_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["KINDS", "KnownItem", "known_items", "normalized", "section_keys", "words_of"]

KINDS = ("title", "first-sentence", "rare-words")

_MIN_TITLE_WORDS = 2
_MIN_SENTENCE_WORDS = 4
_MAX_SENTENCE_WORDS = 40  # a longer one is a list or a table, which nobody asks
_MIN_WORDS_LEFT = 8  # a document of fewer words says too little to be found by them
_SPACES = re.compile(r"\s+")
_HEADING_MARKS = re.compile(r"^#{1,6}\s+|\s+#+$")
_PUNCTUATION = re.compile(r"[^\w\s)\]]$")


@dataclass(frozen=True)
class KnownItem:
    """A query made of a document, and the document without it.

    Attributes:
        kind: One of `KINDS`.
        query: The text of the query.
        document: The document without the text of the query, under the same id.
    """

    kind: str
    query: str
    document: Document


def words_of(text: str) -> list[str]:
    """Return the words of a text in any script, in order; of scripts without spaces, pairs of characters."""
    return tokenizer_for(None).document(text)[0].split()


def normalized(text: str) -> str:
    """Return a text such that equal ones differ neither in white space nor in case."""
    return _SPACES.sub(" ", text).strip().casefold()


def section_keys(document: Document) -> Iterator[str]:
    """Yield a key for the title of a document, and for each heading above it.

    A title or heading names one document only if no other document has its key.
    """
    title = document.metadata.get("title")
    if not isinstance(title, str):
        return
    yield normalized(title)
    heading = document.metadata.get("heading")
    if isinstance(heading, str):
        parts = heading.split(" > ")
        for length in range(1, len(parts) + 1):
            yield normalized("\n".join((title, *parts[:length])))


def known_items(
    document: Document, sections: Mapping[str, int], frequencies: Mapping[str, int], documents: int
) -> list[KnownItem]:
    """Return what may be asked of a document, at most one query of each kind.

    Args:
        document: A document with text.
        sections: How many documents have each of the keys of `section_keys`.
        frequencies: How many documents have each word.
        documents: The number of documents.
    """
    asked: dict[str, tuple[str, ...]] = {}
    line, body = _heading_line(document.text)
    if title := _title(document, sections):
        asked["title"] = title
    elif line:
        asked["title"] = (line,)
    sentences = [one for one in split_sentences(body) if _is_sentence(one)]
    if sentences:
        asked["first-sentence"] = (sentences[0],)
    if rest := sentences[1:]:
        asked["rare-words"] = (max(rest, key=lambda one: _rarity(one, frequencies, documents)),)
    made = ((kind, phrases, _without(document, phrases)) for kind, phrases in asked.items())
    return [
        KnownItem(kind, " ".join(_SPACES.sub(" ", phrase) for phrase in phrases), left)
        for kind, phrases, left in made
        if left is not None
    ]


def _title(document: Document, sections: Mapping[str, int]) -> tuple[str, ...]:
    """Return the title of a document, with its heading if other documents have the same title; empty if it has none."""
    keys = list(section_keys(document))
    title = str(document.metadata.get("title", "")).strip()
    heading = str(document.metadata.get("heading", "")).rpartition(" > ")[2].strip()
    if keys and sections[keys[0]] == 1:
        phrases: tuple[str, ...] = (title,)
    elif len(keys) > 1 and heading and sections[keys[-1]] == 1:
        phrases = (title, heading)
    else:
        return ()
    return phrases if len(words_of(" ".join(phrases))) >= _MIN_TITLE_WORDS else ()


def _heading_line(text: str) -> tuple[str, str]:
    """Return the heading that a text begins with, without marks, and the text after it; an empty one if there is none.

    A heading is a line of Markdown that is marked as one, or a first line that does not end in punctuation, before a
    blank line.
    """
    first, _, rest = text.strip().partition("\n")
    line = _HEADING_MARKS.sub("", first.strip()).strip()
    is_marked = line != first.strip()
    is_alone = rest.startswith("\n") and not _PUNCTUATION.search(line)
    if rest.strip() and (is_marked or is_alone) and _MIN_TITLE_WORDS <= len(words_of(line)) <= _MAX_SENTENCE_WORDS:
        return line, rest
    return "", text


def _is_sentence(text: str) -> bool:
    return _MIN_SENTENCE_WORDS <= len(words_of(text)) <= _MAX_SENTENCE_WORDS


def _rarity(sentence: str, frequencies: Mapping[str, int], documents: int) -> float:
    """Return the mean inverse document frequency of the words of a sentence."""
    words = set(words_of(sentence))
    return sum(math.log(documents / frequencies[word]) for word in words if frequencies[word]) / len(words)


def _without(document: Document, phrases: tuple[str, ...]) -> Document | None:
    """Return a document without phrases, or None if too little is left."""
    text = document.text
    encoded = document.encoded_text
    for phrase in phrases:
        pattern = _pattern(phrase)
        text = pattern.sub(" ", text)
        encoded = None if encoded is None else pattern.sub(" ", encoded)
    searched = text if encoded is None else encoded
    if len(words_of(text)) < _MIN_WORDS_LEFT or any(normalized(phrase) in normalized(searched) for phrase in phrases):
        return None
    return Document(text.strip(), id=document.id, metadata=document.metadata, encoded_text=encoded and encoded.strip())


def _pattern(phrase: str) -> re.Pattern[str]:
    """Return a pattern of a phrase with any white space between its words, and not within other words."""
    before, after = (r"\b" if end.isalnum() else "" for end in (phrase[0], phrase[-1]))
    return re.compile(before + r"\s+".join(map(re.escape, phrase.split())) + after, re.IGNORECASE)
