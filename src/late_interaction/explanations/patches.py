"""Why a page matches: which of its patches each word of the query meets, and the page with those patches lit."""

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

_SHOWN_SIDE = 1600  # pixels of a heatmap's longer side, at most
_WORD_SIDE = 480  # the same of the small ones beside the words in HTML
_LIGHT = 0.65  # how much of the page the brightest patch covers
_COLD, _HOT = np.array([255.0, 214.0, 10.0]), np.array([230.0, 30.0, 0.0])


@dataclass(frozen=True)
class PatchMatch:
    """A word of the query and the patch of the page it meets best.

    Attributes:
        query_word: The word of the query.
        box: The patch: left, top, right, bottom, as fractions of the page's width and height.
        similarity: Their cosine; the greatest one where the word has several tokens.
    """

    query_word: str
    box: Box
    similarity: float


@dataclass(frozen=True)
class PageExplanation:
    """Where the score of one page for one query comes from.

    Attributes:
        query: The query.
        document: The page.
        score: MaxSim, as a search gives it.
        similarities: Cosine of every query token vector with every vector of the page, (query tokens, vectors).
        boxes: For each vector of the page its patch, as fractions of the page; None for markers and the prompt.
        words: The words of the query, in order, with their rows of ``similarities``. Markers, punctuation and query
            augmentation add to the score, not here.

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
        """For each word of the query the patch it meets best; empty if the page has no patches."""
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
        """The matches as JSON values, for metadata and APIs."""
        return [{**asdict(match), "box": list(match.box)} for match in self.spans]

    def heatmap(self, word: str | None = None) -> Image:
        """The page with the patches lit that match, the stronger the match the deeper the colour.

        A patch is lit by how far its similarity lies above that of the page's ordinary patches, so the colours of
        one picture say what on this page matters, not how good the page is.

        Args:
            word: One of ``words``; None for all of them together.

        Raises:
            InvalidRequestError: The query has no such word.
            ImageUnavailableError: The image of the page cannot be given back.
        """
        return _lit(self.document.load_image(), self.boxes, self._light(word), _SHOWN_SIDE)

    def to_html(self) -> str:
        """The page with what matches lit, and the same for each word of the query; self-contained and escaped."""
        title = (
            f"<figcaption><b>{html.escape(self.query)}</b> "
            f"<small>{html.escape(self.document.id)} · {self.score:.2f}</small></figcaption>"
        )
        try:
            page = self.document.load_image()
        except ImageUnavailableError as error:
            return f'<figure class="late-interaction">{title}<p>{html.escape(str(error))}</p></figure>'
        whole = _data_uri(_lit(page, self.boxes, self._light(None), _SHOWN_SIDE))
        small = [
            f'<figure style="display: inline-block; margin: 4px"><img width="160" alt="" '
            f'src="{_data_uri(_lit(page, self.boxes, self._light(match.query_word), _WORD_SIDE))}">'
            f"<figcaption>{html.escape(match.query_word)} <small>{match.similarity:.2f}</small></figcaption></figure>"
            for match in self.spans
        ]
        return (
            f'<figure class="late-interaction">{title}<div style="display: flex; gap: 12px">'
            f'<img style="max-width: 60%; align-self: flex-start" alt="" src="{whole}"><div>{"".join(small)}</div>'
            "</div></figure>"
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def _light(self, word: str | None) -> NDArray[np.float32]:
        """How bright each vector's patch is, in [0, 1]."""
        if word is None:
            groups = list(self.words.values())
        elif word in self.words:
            groups = [self.words[word]]
        else:
            raise InvalidRequestError(f"The query has no word {word!r}. Its words: {', '.join(self.words) or 'none'}.")
        patches = np.array([box is not None for box in self.boxes])
        light = np.zeros(len(self.boxes), np.float32)
        if not groups or not patches.any():
            return light
        for rows in groups:
            similarities = self.similarities[list(rows)].max(axis=0)
            ordinary = float(np.median(similarities[patches]))
            light += np.maximum(similarities - ordinary, 0) * patches
        return light / max(float(light.max()), 1e-9)


def explain_page(
    query: str,
    document: Document,
    similarities: NDArray[np.float32],
    query_spans: Sequence[Span | None],
    boxes: Sequence[Box | None],
) -> PageExplanation:
    """Turn token similarities into words and patches that meet.

    Args:
        query: The query.
        document: The page.
        similarities: (query tokens, vectors).
        query_spans: For each row, its characters in the query, or None.
        boxes: For each column, its patch of the page, or None.

    Raises:
        InvalidRequestError: There are not as many boxes as vectors.
    """
    if len(boxes) != similarities.shape[1]:
        raise InvalidRequestError(
            f"{document.id!r} has {similarities.shape[1]} vectors and the encoder now tells {len(boxes)} patches: it "
            "was indexed by another version of the encoder or its image processor, or from a thumbnail. Index it again."
        )
    words: dict[str, tuple[int, ...]] = {}
    for row, span in enumerate(query_spans):
        if span is not None and any(map(str.isalnum, query[slice(*span)])):
            word = query[slice(*word_around(query, span))]
            words[word] = (*words.get(word, ()), row)
    score = float(similarities.max(axis=1).sum()) if similarities.size else 0.0
    return PageExplanation(query, document, score, similarities, tuple(boxes), words)


def _lit(page: Image, boxes: Sequence[Box | None], light: NDArray[np.float32], side: int) -> Image:
    """A copy of the page with its patches lit."""
    import PIL.Image
    from PIL import ImageFilter

    page = page.copy()
    page.thumbnail((side, side))
    width, height = page.size
    canvas = np.zeros((height, width), np.uint8)
    patches = [(box, float(value)) for box, value in zip(boxes, light, strict=True) if box is not None]
    for (left, top, right, bottom), value in sorted(patches, key=itemgetter(1)):  # the brightest covers the others
        rows = slice(int(top * height), max(math.ceil(bottom * height), 1))
        columns = slice(int(left * width), max(math.ceil(right * width), 1))
        canvas[rows, columns] = round(255 * value)
    extent = min(((box[2] - box[0]) * width for box, _ in patches), default=0.0)
    blurred = PIL.Image.fromarray(canvas).filter(ImageFilter.GaussianBlur(extent / 3))  # patches have no hard edges
    heat = np.asarray(blurred, np.float32)[..., None] / 255
    color = _COLD + (_HOT - _COLD) * heat
    cover = _LIGHT * np.minimum(2 * heat, 1)
    return PIL.Image.fromarray((np.asarray(page) * (1 - cover) + color * cover).astype(np.uint8))


def _data_uri(image: Image) -> str:
    return f"data:image/jpeg;base64,{to_jpeg(image)}"
