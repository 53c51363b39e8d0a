"""Why a document matches: which of its words each word of the query meets."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from late_interaction.documents import Document
    from late_interaction.encoders.protocol import Span

__all__ = ["Explanation", "MatchSpan", "explain", "word_around"]


@dataclass(frozen=True)
class MatchSpan:
    """A word of the query and the word of the document it meets best.

    Attributes:
        query_word: The word of the query.
        document_word: The word of the document.
        start: Where the document's word begins in `Explanation.text`, in characters.
        end: Where it ends.
        similarity: Their cosine; the greatest one where several tokens of the two words meet.
    """

    query_word: str
    document_word: str
    start: int
    end: int
    similarity: float


@dataclass(frozen=True)
class Explanation:
    """Where the score of one document for one query comes from.

    Attributes:
        query: The query.
        document: The document.
        text: The text that was encoded, in which the spans lie.
        score: MaxSim, as a search gives it.
        similarities: Cosine of every query token vector with every stored vector, (query tokens, tokens).
        spans: Matched words, in the order of the query. Markers, punctuation and query expansion add to
            the score, not here.
    """

    query: str
    document: Document
    text: str
    score: float
    similarities: NDArray[np.float32]
    spans: tuple[MatchSpan, ...]

    def to_dicts(self) -> list[dict[str, Any]]:
        """The spans as JSON values, for metadata and APIs."""
        return [asdict(span) for span in self.spans]

    def highlights(self) -> dict[Span, float]:
        """Every matched span of the text with its greatest similarity, in order; spans that overlap are one."""
        merged: list[tuple[Span, float]] = []
        for span in sorted(self.spans, key=lambda span: (span.start, span.end)):
            start, end, similarity = span.start, span.end, span.similarity
            if merged and start < merged[-1][0][1]:
                (start, last_end), last_similarity = merged.pop()
                end, similarity = max(end, last_end), max(similarity, last_similarity)
            merged.append(((start, end), similarity))
        return dict(merged)

    def to_html(self) -> str:
        """The text with its matched words marked, the stronger the match the deeper; self-contained and escaped."""
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
        return (
            f'<figure class="late-interaction"><figcaption><b>{html.escape(self.query)}</b> '
            f"<small>{html.escape(self.document.id)} · {self.score:.2f}</small></figcaption>"
            f'<p style="white-space: pre-wrap">{"".join(parts)}</p></figure>'
        )

    def heatmap(self, word: str | None = None) -> Image:
        """Pages have one, and this is a text.

        Raises:
            InvalidRequestError: Always.
        """
        raise InvalidRequestError(f"{self.document.id!r} is a text and no page image. `to_html` marks its words.")

    def _repr_html_(self) -> str:
        return self.to_html()


def explain(
    query: str,
    document: Document,
    similarities: NDArray[np.float32],
    query_spans: Sequence[Span | None],
    document_spans: Sequence[Span | None],
) -> Explanation:
    """Turn token similarities into words that meet.

    Args:
        query: The query.
        document: The document.
        similarities: (query tokens, tokens).
        query_spans: For each row, its characters in the query, or None.
        document_spans: For each column, its characters in the encoded text, or None.
    """
    text = document.text_to_encode
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
    """The whole word that a token is a piece of. Where writing has no spaces between words, the token itself."""
    start, end = span
    while start > 0 and _joins(text[start - 1 : start + 1]):
        start -= 1
    while end < len(text) and _joins(text[end - 1 : end + 1]):
        end += 1
    return start, end


def _joins(pair: str) -> bool:
    """Whether two neighbouring characters are of one word. Scripts from U+2E80 up are written without spaces."""
    return all(character.isalnum() and character < "\u2e80" for character in pair)
