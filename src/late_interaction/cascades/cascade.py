"""`Cascade`: cheap rankers first, expensive ones for the few documents that are left."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from late_interaction.cascades.building import build_stages
from late_interaction.cascades.index_stages import ModeStage, OtherIndexStage, current_hits
from late_interaction.cascades.report import StagedHits, StageReport
from late_interaction.cascades.stage import Restriction
from late_interaction.cascades.text_stages import TextStage
from late_interaction.documents import Document
from late_interaction.errors import InvalidRequestError
from late_interaction.filters import parse
from late_interaction.index import Index
from late_interaction.retrieval.modes import side_by_side
from late_interaction.retrieval.queries import Query
from late_interaction.validation import check_fraction, check_ids, check_k

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from late_interaction.documents import Hit
    from late_interaction.engines import Engine
    from late_interaction.filters import Where
    from late_interaction.retrieval.queries import QueryLike

__all__ = ["Cascade"]


class Cascade:
    """Searches an index in stages: each ranks the documents that the stage before has kept, and keeps fewer.

    **Stages** are pairs of a ranker and the number of documents that it keeps, at most that of the stage before.

    ======================= ============================================================ ============================
    ranker                  `Hit.score`                                                  `Hit.relevance`
    ======================= ============================================================ ============================
    ``"late"``              MaxSim of the stored vectors; no document is encoded         as of `Index.search`
    ``"lexical"``           BM25; later than first, 0 without a word of the query        as of `Index.search`
    ``"hybrid"``            fused ranks; later than first, those among the candidates    as of `Index.search`
    an `Index`              MaxSim of its vectors; it has the same documents             as of its `Index.search`
    a `SentenceTransformer` cosine of the vectors of query and text; also of a           the cosine, at least 0
                            `SingleVectorEncoder` or `PooledEncoder`
    a `SparseEncoder`       its similarity, by default the dot product                   ``score / (1 + score)``
    a `CrossEncoder`        what ``predict`` gives                                       the score with a sigmoid; else
                                                                                         the sigmoid of the score
    a function              what ``function(query, documents)`` returns                  the score, cut to 0 to 1
    ======================= ============================================================ ============================

    The last two cannot be the first. Models read `Document.text_to_encode`. Hits have the score of the last stage; of
    equal scores, the order of the stage before stays.

    **Memory.** A `SentenceTransformer` or `SparseEncoder` in the first place encodes the texts of all documents when it
    is first needed, and keeps the vectors in memory: 4 bytes a dimension, or 8 bytes a weight, of each document. It
    encodes what was added or changed before the next search, except over engines that cannot tell that something was
    (Qdrant): there, documents that were added are found after `refresh`. For many documents, use an `Index` of a
    `SingleVectorEncoder` instead, which is stored, compressed and opened again.

    **Another index.** Bring it up to date yourself: documents that only one of the two has, or with another text, are
    left out. In the first place it applies filters to its own metadata, too.

    **Other writers.** A document that is deleted or replaced during a search is left out. No document has the score
    of another text.

    **Thread safety.** Any thread may call. A model is used by one thread at a time. A function is called by the thread
    that searches.

    Args:
        index: The index that holds the documents.
        stages: The stages.

    Raises:
        InvalidRequestError: A stage is not one of these, or its number does not fit.
        UnsupportedError: The engine of the index lacks a mode.

    Example:
        >>> from late_interaction import Document, Index
        >>> index = Index.open(tmp / "index", encoder="minilm")
        >>> _ = index.add([Document("The Nile is a long river.", id="nile"), Document("A long story.", id="story")])
        >>> def length(query, documents):
        ...     return [len(document.text) for document in documents]
        >>> hits = Cascade(index, [("lexical", 100), ("late", 10), (length, 1)]).search("long rivers")
        >>> [hit.id for hit in hits], [(stage.stage, stage.kept) for stage in hits.stages]
        (['nile'], [('lexical', 2), ('late', 2), ('length', 1)])
        >>> index.close()
    """

    def __init__(self, index: Index, stages: Iterable[tuple[Any, int]]) -> None:
        if not isinstance(index, Index):
            raise InvalidRequestError(f"A cascade searches an Index, not {type(index).__name__}.")
        given = list(stages) if isinstance(stages, Iterable) and not isinstance(stages, (str, bytes)) else stages
        self._index = index
        self._given: Any = given
        self._first, self._stages = build_stages(index, given)

    @property
    def index(self) -> Index:
        """The index that holds the documents."""
        return self._index

    @property
    def engine(self) -> Engine:
        """The engine of the index."""
        return self._index.engine

    @property
    def stages(self) -> tuple[tuple[str, int], ...]:
        """The name of each stage, as in reports, and the number of documents that it keeps."""
        return tuple((stage.name, count) for stage, count in self._stages)

    @property
    def max_k(self) -> int:
        """The number of documents that the last stage keeps, which is the greatest number of hits."""
        return self._stages[-1][1]

    def search(
        self,
        query: QueryLike,
        k: int | None = None,
        *,
        where: Where | None = None,
        candidates: Iterable[str] | None = None,
        min_relevance: float | None = None,
    ) -> StagedHits:
        """Return the best documents for a query, best first; what each stage did is in ``.stages`` of the list.

        Args:
            query: A string, or a `Document` with a text. If all stages are ``"late"``, whatever `Index.search` takes. A
                blank query returns no hits.
            k: The number of hits, at most what the last stage keeps; None for all that it keeps.
            where: Only documents that pass; the first stage applies it.
            candidates: Only documents of these ids; unknown ids are left out.
            min_relevance: Only hits of at least this `Hit.relevance`, between 0 and 1, in the last stage.

        Raises:
            InvalidRequestError: ``k`` is greater than what the last stage keeps, another argument is out of range, or
                a function did not return one finite number for each document.
            InvalidFilterError: The filter is malformed.
            MissingEncoderError: A stage needs the encoder of an index that has none.
        """
        return self.search_many([query], k, where=where, candidates=candidates, min_relevance=min_relevance)[0]

    def search_many(
        self,
        queries: Iterable[QueryLike],
        k: int | None = None,
        *,
        where: Where | None = None,
        candidates: Iterable[str] | None = None,
        min_relevance: float | None = None,
    ) -> list[StagedHits]:
        """Return the hits of several queries. The options are those of `search`.

        Each stage encodes them together. If all stages read indexes, they are searched at the same time.
        """
        if isinstance(queries, (str, Document)) or not isinstance(queries, Iterable):
            raise InvalidRequestError("search_many takes a list of queries; for one query there is search.")
        depth, restriction, limit = self.check(k, where=where, candidates=candidates, min_relevance=min_relevance)
        parsed = [Query.of(query, self.engine.dim) for query in queries]
        asked = [query for query in parsed if not query.is_blank]
        if not asked:
            return [self._no_hits() for _ in parsed]
        encoded, seconds = zip(*(_timed(partial(stage.encode, asked)) for stage, _ in self._stages), strict=True)
        shares = [spent / len(asked) for spent in seconds]
        search = partial(self._search, shares=shares, restriction=restriction, depth=depth, limit=limit)
        of_queries = list(zip(*encoded, strict=True))
        # A model is used by one thread at a time, and a function may not be made for several.
        is_stored = all(isinstance(stage, (ModeStage, OtherIndexStage)) for stage, _ in self._stages)
        found: Iterable[StagedHits] = map(search, asked, of_queries)
        if is_stored:
            found = side_by_side(self.engine, search, asked, of_queries)
        answers = iter(found)
        return [self._no_hits() if query.is_blank else next(answers) for query in parsed]

    def refresh(self) -> None:
        """Read all texts again where a stage keeps their vectors in memory; only new and changed ones are encoded.

        Needed over engines that cannot tell that documents were added (see above); elsewhere it happens by itself.
        """
        if isinstance(self._first, TextStage):
            self._first.refresh()

    def check(
        self,
        k: int | None = None,
        *,
        where: Where | None = None,
        candidates: Iterable[str] | None = None,
        min_relevance: float | None = None,
    ) -> tuple[int, Restriction, float]:
        """Return the arguments of `search` as they are used, without searching.

        Raises:
            InvalidRequestError: One is out of range.
            InvalidFilterError: The filter is malformed, or the engine cannot apply it.
        """
        depth = self.max_k if k is None else check_k(k)
        if depth > self.max_k:
            raise InvalidRequestError(
                f"k must be at most {self.max_k}, which is what the last stage keeps, got {depth}. Let it keep more: "
                f"Cascade(index, stages=[…, ({self._stages[-1][0].name!r}, {depth})])."
            )
        clause = None if where is None else parse(where)
        if clause is not None:
            self.engine.check_filter(clause)
        restriction = Restriction(clause, None if candidates is None else check_ids(candidates))
        self._first.check(self._stages[0][1], restriction)
        limit = 0.0 if min_relevance is None else check_fraction(min_relevance, "min_relevance")
        return depth, restriction, limit

    def _search(
        self,
        query: Query,
        encoded: Sequence[Any],
        *,
        shares: Sequence[float],
        restriction: Restriction,
        depth: int,
        limit: float,
    ) -> StagedHits:
        reports: list[StageReport] = []
        hits: list[Hit] = []
        for position, (stage, count) in enumerate(self._stages):
            candidates = len(hits) if position else self._count(restriction)
            spent = 0.0
            if position == 0:
                hits, spent = _timed(partial(self._first.find, query, encoded[position], count, restriction))
            elif hits:
                hits, spent = _timed(partial(stage.rank, query, encoded[position], hits))
            hits = hits[:count]
            reports.append(StageReport(stage.name, candidates, len(hits), round(1000 * (shares[position] + spent), 3)))
        if len(self._stages) > 1 and hits:
            hits = current_hits(self._index, hits)
        return StagedHits([hit for hit in hits if hit.relevance >= limit][:depth], reports)

    def _count(self, restriction: Restriction) -> int:
        """Return how many documents the first stage ranks."""
        if restriction.candidates is None:
            return self.engine.count(where=restriction.clause)
        return len(set(restriction.candidates))

    def _no_hits(self) -> StagedHits:
        return StagedHits([], [StageReport(stage.name, 0, 0, 0.0) for stage, _ in self._stages])

    def __reduce__(self) -> tuple[type[Cascade], tuple[Index, Any]]:
        return Cascade, (self._index, self._given)

    def __repr__(self) -> str:
        stages = ", ".join(f"({stage.name!r}, {count})" for stage, count in self._stages)
        return f"Cascade({self._index!r}, [{stages}])"


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and the seconds that it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start
