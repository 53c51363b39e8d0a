"""Explain the score of a page: which of its patches each query word matches, and a heatmap of them."""

from __future__ import annotations

import html
import math
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.errors import ImageUnavailableError, InvalidRequestError
from late_interaction.explanations.words import word_around
from late_interaction.images.pictures import to_jpeg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image

    from late_interaction.documents import Document
    from late_interaction.encoders.protocol import Box, Span

__all__ = ["PageExplanation", "PatchMatch", "explain_page"]

_MAX_SIDE = 1600  # pixels; the longer side of a heatmap
_MAX_WORD_SIDE = 480  # pixels; the longer side of the heatmap of one word in HTML
_MAX_OPACITY = 0.65  # of the color over the page
_LOW_COLOR, _HIGH_COLOR = np.array([255.0, 214.0, 10.0]), np.array([230.0, 30.0, 0.0])


@dataclass(frozen=True)
class PatchMatch:
    """A query word and its most similar patch of the page.

    Attributes:
        query_word: The query word.
        box: The patch: left, top, right, bottom, as fractions of the page's width and height.
        similarity: Cosine similarity of their vectors without the part that all documents have in common; the maximum
            if the word has several tokens.
    """

    query_word: str
    box: Box
    similarity: float


@dataclass(frozen=True)
class PageExplanation:
    """The matched patches behind the score of one page for one query.

    Attributes:
        query: The query.
        document: The page.
        score: MaxSim.
        similarities: Similarity of every query token vector and page vector, (query tokens, vectors), as in
            `PatchMatch`.
        boxes: For each page vector, its patch as fractions of the page; None for marker and prompt tokens.
        words: The words of the query, in order, with their rows of ``similarities``. Marker tokens, punctuation and
            query expansion tokens contribute to the score, and are not included.

    Example:
        >>> index.explain("revenue by region", "report.pdf#page=3").heatmap().save("why.png")  # doctest: +SKIP
    """

    query: str
    document: Document
    score: float
    similarities: NDArray[np.float32]
    boxes: tuple[Box | None, ...]
    words: Mapping[str, tuple[int, ...]]

    @property
    def spans(self) -> tuple[PatchMatch, ...]:
        """The most similar patch for each query word, in order; empty if the page has no patches."""
        patches = [at for at, box in enumerate(self.boxes) if box is not None]
        found = []
        for word, rows in self.words.items() if patches else ():
            similarities = self.similarities[np.ix_(rows, patches)].max(axis=0)
            best = int(similarities.argmax())
            box = self.boxes[patches[best]]
            if box is not None:
                found.append(PatchMatch(word, box, float(similarities[best])))
        return tuple(found)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the matches as JSON values, for metadata and APIs."""
        return [{**asdict(match), "box": list(match.box)} for match in self.spans]

    def heatmap(self, word: str | None = None) -> Image:
        """Return the page image with matching patches highlighted by similarity.

        A patch is highlighted in proportion to its similarity minus the page's median. So colors compare patches of
        one page, not pages with each other.

        Args:
            word: One of ``words``; None for the sum over all words.

        Raises:
            InvalidRequestError: ``word`` is not a word of the query.
            ImageUnavailableError: The page image cannot be loaded.
        """
        return _highlighted(self.document.load_image(), self.boxes, self._heat(word), _MAX_SIDE)

    def to_html(self) -> str:
        """Return the heatmap of all words and of each word as self-contained HTML. All text is escaped."""
        title = (
            f"<figcaption><b>{html.escape(self.query)}</b> "
            f"<small>{html.escape(self.document.id)} · {self.score:.2f}</small></figcaption>"
        )
        try:
            page = self.document.load_image()
        except ImageUnavailableError as error:
            return f'<figure class="late-interaction">{title}<p>{html.escape(str(error))}</p></figure>'
        whole = _data_uri(_highlighted(page, self.boxes, self._heat(None), _MAX_SIDE))
        small = [
            f'<figure style="display: inline-block; margin: 4px"><img width="160" alt="" '
            f'src="{_data_uri(_highlighted(page, self.boxes, self._heat(match.query_word), _MAX_WORD_SIDE))}">'
            f"<figcaption>{html.escape(match.query_word)} <small>{match.similarity:.2f}</small></figcaption></figure>"
            for match in self.spans
        ]
        return (
            f'<figure class="late-interaction">{title}<div style="display: flex; gap: 12px">'
            f'<img style="max-width: 60%; align-self: flex-start" alt="" src="{whole}"><div>{"".join(small)}</div>'
            "</div></figure>"
        )

    def __repr__(self) -> str:
        return f"PageExplanation({self.query!r}, {self.document.id!r}, score={self.score:.4f}, spans={self.spans!r})"

    def _repr_html_(self) -> str:
        return self.to_html()

    def _heat(self, word: str | None) -> NDArray[np.float32]:
        """Return how strongly to highlight the patch of each page vector, (vectors,) float32 in [0, 1]."""
        if word is None:
            groups = list(self.words.values())
        elif word in self.words:
            groups = [self.words[word]]
        else:
            raise InvalidRequestError(
                f"The query has no word {word!r}. Its words are: {', '.join(self.words) or 'none'}."
            )
        patches = np.array([box is not None for box in self.boxes])
        heat = np.zeros(len(self.boxes), np.float32)
        if not groups or not patches.any():
            return heat
        for rows in groups:
            similarities = self.similarities[list(rows)].max(axis=0)
            median = float(np.median(similarities[patches]))
            heat += np.maximum(similarities - median, 0) * patches
        return heat / max(float(heat.max()), 1e-9)


def explain_page(
    query: str,
    document: Document,
    similarities: NDArray[np.float32],
    query_spans: Sequence[Span | None],
    boxes: Sequence[Box | None],
    *,
    score: float,
) -> PageExplanation:
    """Return the matched patches for the similarities of query tokens and page vectors.

    Args:
        query: The query.
        document: The page.
        similarities: (query tokens, vectors) float32.
        query_spans: For each row, the characters of the query that it stands for, or None.
        boxes: For each column, the patch of the page that it stands for, or None.
        score: MaxSim.

    Raises:
        InvalidRequestError: The number of boxes differs from the number of vectors.
    """
    if len(boxes) != similarities.shape[1]:
        raise InvalidRequestError(
            f"{document.id!r} has {similarities.shape[1]} vectors and the encoder now has {len(boxes)} patches for it. "
            "It was indexed with another version of the encoder or its image processor, or from a thumbnail. Index it "
            "again."
        )
    words: dict[str, tuple[int, ...]] = {}
    for row, span in enumerate(query_spans):
        if span is not None and any(map(str.isalnum, query[slice(*span)])):
            word = query[slice(*word_around(query, span))]
            words[word] = (*words.get(word, ()), row)
    return PageExplanation(query, document, score, similarities, tuple(boxes), words)


def _highlighted(page: Image, boxes: Sequence[Box | None], heat: NDArray[np.float32], max_side: int) -> Image:
    """Return a copy of the page, at most ``max_side`` pixels on its longer side, with its patches highlighted."""
    import PIL.Image
    from PIL import ImageFilter

    page = page.copy()
    page.thumbnail((max_side, max_side))
    width, height = page.size
    canvas = np.zeros((height, width), np.uint8)
    patches = [(box, float(value)) for box, value in zip(boxes, heat, strict=True) if box is not None]
    for (left, top, right, bottom), value in sorted(patches, key=itemgetter(1)):  # the strongest is drawn last
        rows = slice(int(top * height), max(math.ceil(bottom * height), 1))
        columns = slice(int(left * width), max(math.ceil(right * width), 1))
        canvas[rows, columns] = round(255 * value)
    extent = min(((box[2] - box[0]) * width for box, _ in patches), default=0.0)
    blurred = PIL.Image.fromarray(canvas).filter(ImageFilter.GaussianBlur(extent / 3))  # smooths the edges of patches
    blend = np.asarray(blurred, np.float32)[..., None] / 255
    color = _LOW_COLOR + (_HIGH_COLOR - _LOW_COLOR) * blend
    opacity = _MAX_OPACITY * np.minimum(2 * blend, 1)
    return PIL.Image.fromarray((np.asarray(page) * (1 - opacity) + color * opacity).astype(np.uint8))


def _data_uri(image: Image) -> str:
    return f"data:image/jpeg;base64,{to_jpeg(image)}"
