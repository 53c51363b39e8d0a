"""Explain the score of a text: which of its words each query word matches."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError
from late_interaction.explanations.markup import ascii_html

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from late_interaction.documents import Document
    from late_interaction.encoders.protocol import Span
    from late_interaction.explanations.regions import PageRegion

__all__ = ["Explanation", "MatchSpan", "explain", "word_around"]


@dataclass(frozen=True)
class MatchSpan:
    """A query word and its most similar document word.

    Attributes:
        query_word: The query word.
        document_word: The document word.
        start: Start of the document word in `Explanation.text`, in characters.
        end: End of the document word in `Explanation.text`, exclusive.
        similarity: Cosine similarity of their token vectors without the part that all documents have in common; the
            maximum if a word has several tokens. 1 for equal vectors, about 0 for unrelated ones, with every encoder.
    """

    query_word: str
    document_word: str
    start: int
    end: int
    similarity: float


@dataclass(frozen=True)
class Explanation:
    """The matched words behind the score of one document for one query.

    Attributes:
        query: The query.
        document: The document.
        text: The encoded text, which the spans refer to.
        score: MaxSim.
        similarities: Similarity of every query token vector and document token vector, (query tokens, tokens), as in
            `MatchSpan`. The score is the sum of maxima with the common part, so it is not the sum of theirs.
        spans: Matched words, in the order of the query. Marker tokens, punctuation and query expansion tokens
            contribute to the score, and have no span.
    """

    query: str
    document: Document
    text: str
    score: float
    similarities: NDArray[np.float32]
    spans: tuple[MatchSpan, ...]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the spans as JSON values, for metadata and APIs."""
        return [asdict(span) for span in self.spans]

    def highlights(self) -> dict[Span, float]:
        """Return the matched spans of the text with their maximum similarity, in order. Overlaps are merged."""
        merged: list[tuple[Span, float]] = []
        for span in sorted(self.spans, key=lambda span: (span.start, span.end)):
            start, end, similarity = span.start, span.end, span.similarity
            if merged and start < merged[-1][0][1]:
                (start, last_end), last_similarity = merged.pop()
                end, similarity = max(end, last_end), max(similarity, last_similarity)
            merged.append(((start, end), similarity))
        return dict(merged)

    def to_html(self) -> str:
        """Return the text as self-contained HTML in ASCII, with matched words highlighted. All text is escaped."""
        parts = []
        at = 0
        for (start, end), similarity in self.highlights().items():
            opacity = round(max(0.0, min(1.0, similarity)) ** 2, 2)
            parts.append(html.escape(self.text[at:start]))
            parts.append(
                f'<mark title="{similarity:.2f}" style="background: rgba(255, 193, 7, {opacity})">'
                f"{html.escape(self.text[start:end])}</mark>"
            )
            at = end
        parts.append(html.escape(self.text[at:]))
        return ascii_html(
            f'<figure class="late-interaction"><figcaption><b>{html.escape(self.query)}</b> '
            f"<small>{html.escape(self.document.id)} · {self.score:.2f}</small></figcaption>"
            f'<p style="white-space: pre-wrap">{"".join(parts)}</p></figure>'
        )

    def heatmap(self, word: str | None = None) -> Image:
        """Raise an error, because only page images have heatmaps.

        Raises:
            InvalidRequestError: Always.
        """
        raise InvalidRequestError(
            f"{self.document.id!r} is a text, and only pages have heatmaps. Call to_html() to highlight its words."
        )

    def boxes(self) -> tuple[PageRegion, ...]:
        """Raise an error, because only page images have regions.

        Raises:
            InvalidRequestError: Always.
        """
        raise InvalidRequestError(
            f"{self.document.id!r} is a text, and only pages have boxes and crops. Use spans, the words that match and "
            "where they are in the text."
        )

    def crops(self) -> list[Image]:
        """Raise an error, as `boxes` does.

        Raises:
            InvalidRequestError: Always.
        """
        self.boxes()
        return []

    def __repr__(self) -> str:
        return f"Explanation({self.query!r}, {self.document.id!r}, score={self.score:.4f}, spans={self.spans!r})"

    def _repr_html_(self) -> str:
        return self.to_html()


def explain(
    query: str,
    document: Document,
    similarities: NDArray[np.float32],
    query_spans: Sequence[Span | None],
    document_spans: Sequence[Span | None],
    *,
    score: float | None = None,
) -> Explanation:
    """Return the matched words for the similarities of query and document tokens.

    Args:
        query: The query.
        document: The document.
        similarities: (query tokens, tokens) float32.
        query_spans: For each row, the characters of the query that it stands for, or None.
        document_spans: For each column, the characters of the encoded text that it stands for, or None.
        score: MaxSim; None for that of the similarities.
    """
    text = document.text_to_encode
    if score is None:
        score = float(similarities.max(axis=1).sum()) if similarities.size else 0.0
    best: dict[tuple[Span, Span], float] = {}
    columns = [column for column, span in enumerate(document_spans) if span is not None]
    for row, query_span in enumerate(query_spans):
        if query_span is None or not columns or not any(map(str.isalnum, query[slice(*query_span)])):
            continue
        column = max(columns, key=lambda at: float(similarities[row, at]))
        document_span = document_spans[column]
        if document_span is not None:
            words = (word_around(query, query_span), word_around(text, document_span))
            best[words] = max(float(similarities[row, column]), best.get(words, -1.0))
    spans = tuple(
        MatchSpan(query[slice(*query_word)], text[slice(*word)], *word, similarity)
        for (query_word, word), similarity in best.items()
    )
    return Explanation(query, document, text, score, similarities, spans)


def word_around(text: str, span: Span) -> Span:
    """Return the span of the word that contains a token. In scripts without spaces, return the span of the token."""
    start, end = span
    while start > 0 and _joins(text[start - 1 : start + 1]):
        start -= 1
    while end < len(text) and _joins(text[end - 1 : end + 1]):
        end += 1
    return start, end


def _joins(pair: str) -> bool:
    """Return whether two adjacent characters belong to one word. Scripts from U+2E80 on are written without spaces."""
    return all(character.isalnum() and character < "\u2e80" for character in pair)
