"""Explain the score of a page: which of its patches each query word matches, as a heatmap and as regions."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.errors import ImageUnavailableError, InvalidRequestError
from late_interaction.explanations.drawing import highlighted
from late_interaction.explanations.heat import excess, heat_of_page, heat_of_word
from late_interaction.explanations.markup import ascii_html
from late_interaction.explanations.regions import PageRegion, adjacent_groups, surrounding_box, with_margin
from late_interaction.explanations.words import word_around
from late_interaction.images.pictures import to_jpeg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image

    from late_interaction.documents import Document
    from late_interaction.encoders.protocol import Box, Span
    from late_interaction.explanations.heat import Range

__all__ = ["PageExplanation", "PatchMatch", "explain_page", "on_one_scale"]

_MAX_SIDE = 1600  # pixels; the longer side of a heatmap
_MAX_WORD_SIDE = 480  # pixels; the longer side of the heatmap of one word in HTML
_MIN_REGION_HEAT = 0.2  # of the patches of a region; a lower heat is hardly visible
_MIN_FULL_SHARE = 1 / 3  # of what a word can reach: the least heat that is drawn in full color


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
        patches: For each page vector, its patch as fractions of the page; None for marker and prompt tokens.
        words: The words of the query, in order, with their rows of ``similarities``. Marker tokens, punctuation and
            query expansion tokens contribute to the score, and are not included.
        limits: The similarities that an unrelated page has, and those that the query itself would have.
        full_heat: The excess of similarity that a heatmap shows in full color. The pages of one `Index.explain_many`
            have the same.

    Example:
        >>> why = index.explain("revenue by region", "report.pdf#page=3")  # doctest: +SKIP
        >>> why.heatmap().save("why.png")  # doctest: +SKIP
        >>> [(region.words, region.page_box) for region in why.boxes()]  # doctest: +SKIP
    """

    query: str
    document: Document
    score: float
    similarities: NDArray[np.float32]
    patches: tuple[Box | None, ...]
    words: Mapping[str, tuple[int, ...]]
    limits: Range
    full_heat: float

    @property
    def spans(self) -> tuple[PatchMatch, ...]:
        """The most similar patch for each query word, in order; empty if the page has no patches."""
        patches = [at for at, box in enumerate(self.patches) if box is not None]
        found = []
        for word, rows in self.words.items() if patches else ():
            similarities = self.similarities[np.ix_(rows, patches)].max(axis=0)
            best = int(similarities.argmax())
            box = self.patches[patches[best]]
            if box is not None:
                found.append(PatchMatch(word, box, float(similarities[best])))
        return tuple(found)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the matches as JSON values, for metadata and APIs."""
        return [{**asdict(match), "box": list(match.box)} for match in self.spans]

    def heatmap(self, word: str | None = None) -> Image:
        """Return the page image with the patches highlighted that stand out.

        A patch is highlighted if it is more similar to a word than the best patch of an unrelated page, and stands out
        from the other patches of its page. The color tells by how much. So colors can be compared between the words of
        a query, and between the pages of one `Index.explain_many`; an unrelated page has almost none.

        Args:
            word: One of ``words``; None for the sum over all words.

        Raises:
            InvalidRequestError: ``word`` is not a word of the query.
            ImageUnavailableError: The page image cannot be loaded.
        """
        return highlighted(self.document.load_image(), self.patches, self.heat(word), _MAX_SIDE)

    def boxes(self) -> tuple[PageRegion, ...]:
        """Return the regions that answer the query, best first: adjacent highlighted patches as one box.

        Empty if nothing on the page stands out. For citations, for example.
        """
        heat = self.heat()
        lit = [(at, box) for at, box in enumerate(self.patches) if box is not None and heat[at] >= _MIN_REGION_HEAT]
        groups = adjacent_groups([box for _, box in lit])
        regions = [self._region([lit[at] for at in group]) for group in groups]
        return tuple(sorted(regions, key=lambda region: -region.score))

    def crops(self) -> list[Image]:
        """Return the image of each region of `boxes`, in the same order, from the page at 144 dpi.

        Each has a margin, wider to the left and right than above and below, because what a label or a row of a table
        says stands beside it.

        For a model that should see a detail, not a page.

        Raises:
            ImageUnavailableError: The page image cannot be loaded.
        """
        regions = self.boxes()
        page = self.document.load_image() if regions else None
        return [] if page is None else [page.crop(with_margin(region.box, page.size)) for region in regions]

    def to_html(self) -> str:
        """Return the heatmap of all words and of each word as self-contained HTML in ASCII. All text is escaped."""
        title = (
            f"<figcaption><b>{html.escape(self.query)}</b> "
            f"<small>{html.escape(self.document.id)} · {self.score:.2f}</small></figcaption>"
        )
        try:
            page = self.document.load_image()
        except ImageUnavailableError as error:
            return ascii_html(f'<figure class="late-interaction">{title}<p>{html.escape(str(error))}</p></figure>')
        whole = _data_uri(highlighted(page, self.patches, self.heat(), _MAX_SIDE))
        small = [
            f'<figure style="display: inline-block; margin: 4px"><img width="160" alt="" '
            f'src="{_data_uri(highlighted(page, self.patches, self.heat(match.query_word), _MAX_WORD_SIDE))}">'
            f"<figcaption>{html.escape(match.query_word)} <small>{match.similarity:.2f}</small></figcaption></figure>"
            for match in self.spans
        ]
        return ascii_html(
            f'<figure class="late-interaction">{title}<div style="display: flex; gap: 12px">'
            f'<img style="max-width: 60%; align-self: flex-start" alt="" src="{whole}"><div>{"".join(small)}</div>'
            "</div></figure>"
        )

    def __repr__(self) -> str:
        return f"PageExplanation({self.query!r}, {self.document.id!r}, score={self.score:.4f}, spans={self.spans!r})"

    def _repr_html_(self) -> str:
        return self.to_html()

    def heat(self, word: str | None = None) -> NDArray[np.float32]:
        """Return how strongly the patch of each page vector is highlighted, (vectors,) float32 in [0, 1].

        Args:
            word: One of ``words``; None for the sum over all words.

        Raises:
            InvalidRequestError: ``word`` is not a word of the query.
        """
        if word is None:
            heat = heat_of_page(self.similarities, self.limits, self.words, _is_patch(self.patches))
        elif word in self.words:
            heat = heat_of_word(self.similarities, self.limits, self.words[word], _is_patch(self.patches))
        else:
            raise InvalidRequestError(
                f"The query has no word {word!r}. Its words are: {', '.join(self.words) or 'none'}."
            )
        return np.asarray(np.minimum(heat / self.full_heat, 1), np.float32)

    def _region(self, members: Sequence[tuple[int, Box]]) -> PageRegion:
        """Return the region of these patches: positions among the vectors of the page, and boxes."""
        columns = [at for at, _ in members]
        found: list[tuple[float, str]] = []
        best = reach = 0.0
        for word, rows in self.words.items():
            best += float(excess(self.similarities, self.limits, rows)[columns].max())
            reach += self.limits.reach(rows)
            heat = float(heat_of_word(self.similarities, self.limits, rows, _is_patch(self.patches))[columns].max())
            if heat > 0:
                found.append((heat, word))
        box = surrounding_box([box for _, box in members])
        image = self.document.image
        width, height = (1.0, 1.0) if image is None else (image.width, image.height)
        return PageRegion(
            box,
            (box[0] * width, box[1] * height, box[2] * width, box[3] * height),
            min(1.0, best / reach),
            tuple(word for _, word in sorted(found, key=lambda pair: -pair[0])),
        )


def on_one_scale(pages: Sequence[PageExplanation]) -> list[PageExplanation]:
    """Return the explanations of some pages for one query with the same colors: the strongest heat in full color."""
    full = max((page.full_heat for page in pages), default=1.0)
    return [replace(page, full_heat=full) for page in pages]


def explain_page(
    query: str,
    document: Document,
    similarities: NDArray[np.float32],
    query_spans: Sequence[Span | None],
    patches: Sequence[Box | None],
    limits: Range,
    *,
    score: float,
) -> PageExplanation:
    """Return the matched patches for the similarities of query tokens and page vectors.

    Args:
        query: The query.
        document: The page.
        similarities: (query tokens, vectors) float32.
        query_spans: For each row, the characters of the query that it stands for, or None.
        patches: For each column, the patch of the page that it stands for, or None.
        limits: What the similarities mean.
        score: MaxSim.

    Raises:
        InvalidRequestError: The number of patches differs from the number of vectors.
    """
    if len(patches) != similarities.shape[1]:
        raise InvalidRequestError(
            f"{document.id!r} has {similarities.shape[1]} vectors and the encoder now has {len(patches)} patches for "
            "it. It was indexed with another version of the encoder or its image processor, or from a thumbnail. Index "
            "it again."
        )
    words: dict[str, tuple[int, ...]] = {}
    for row, span in enumerate(query_spans):
        if span is not None and any(map(str.isalnum, query[slice(*span)])):
            word = query[slice(*word_around(query, span))]
            words[word] = (*words.get(word, ()), row)
    patches = tuple(patches)
    strongest = float(heat_of_page(similarities, limits, words, _is_patch(patches)).max(initial=0))
    least = _MIN_FULL_SHARE * max((limits.reach(rows) for rows in words.values()), default=1.0)
    return PageExplanation(query, document, score, similarities, patches, words, limits, max(strongest, least))


def _is_patch(patches: Sequence[Box | None]) -> NDArray[np.bool_]:
    return np.array([box is not None for box in patches], bool)


def _data_uri(image: Image) -> str:
    return f"data:image/jpeg;base64,{to_jpeg(image)}"
