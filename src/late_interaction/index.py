"""`Index`: an encoder, an engine and the documents, behind one object."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from late_interaction.collection import Collection
from late_interaction.documents import Hits
from late_interaction.errors import LateInteractionError
from late_interaction.explanations.stored import explain_many, explain_stored
from late_interaction.index_encoder import IndexEncoder
from late_interaction.indexing import add_documents
from late_interaction.notebook import index_html
from late_interaction.opening import check_picklable, open_index, reopen, reopening
from late_interaction.profiling import printed_profile
from late_interaction.retrieval.modes import search_many
from late_interaction.retrieval.request import Mode, SearchRequest
from late_interaction.retrieval.reranking import rerank_candidates

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike
    from typing_extensions import Unpack

    from late_interaction.documents import Document, Hit
    from late_interaction.encoders import Encoder
    from late_interaction.engines import Engine
    from late_interaction.explanations import Explanation, PageExplanation
    from late_interaction.filters import Where
    from late_interaction.retrieval.queries import QueryLike
    from late_interaction.retrieval.request import SearchOptions

__all__ = ["Index", "Mode"]


class Index(Collection):
    """A collection of documents that is searched by late interaction: one vector for each token, scored by MaxSim.

    Open one in a directory or at an address with `Index.open`, or put one over any engine with
    ``Index(engine=…, encoder=…)``. A context manager.

    **Thread safety.** Any thread may call any method, also at the same time.

    **Durability.** Every write is one transaction, durable once it has returned (`Capabilities` says what an engine
    other than the local one promises).

    **Copies.** A pickled index is its path or address: where it arrives, it is opened with ``read_only=True``. An
    encoder that was loaded by name is loaded by name there; one of your own is pickled too. A copy, by `copy.copy` or
    `copy.deepcopy`, is another opening of the same index.

    Args:
        engine: Where documents and vectors are kept.
        encoder: As for `open`. None uses the one the index remembers, loaded when it is first needed.

    Raises:
        IncompatibleEncoderError: The index was built with another encoder.

    Example:
        >>> from late_interaction import Document, Index
        >>> index = Index.open(tmp / "my-index", encoder="minilm")
        >>> index.add(["Paris is the capital of France.", Document("The Nile is a river.", id="nile")])[1]
        'nile'
        >>> [hit.id for hit in index.search("longest stream of Africa", k=1)]
        ['nile']
        >>> index.close()
    """

    def __init__(self, *, engine: Engine, encoder: Encoder | str | os.PathLike[str] | None = None) -> None:
        super().__init__(engine)
        self._encoder = IndexEncoder(engine, encoder)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: Encoder | str | os.PathLike[str] | None = None,
        bits: int | Literal["default"] | None = "default",
        pooling: int | None = None,
        dim: int | None = None,
        language: str | None = "default",
        device: str | None = None,
        read_only: bool = False,
    ) -> Index:
        """Open the index in a directory or at an address; with an encoder or ``dim``, create it if there is none.

        ``bits``, ``pooling``, ``dim`` and ``language`` are chosen when an index is created and cannot be changed:
        leave them out next time.

        An index that this process has open with the same settings may be opened again, for example by a cell of a
        notebook that is run twice. Both objects use the same files, and each is closed on its own. One that nothing
        refers to counts as closed.

        Args:
            path: The directory, ``~`` and ``~user`` being home directories; or the address of an index in a database,
                such as ``qdrant:DIR``, ``qdrant+http://host:6333/collection`` or ``lancedb:DIR``. For a directory
                whose name begins as an address, write ``./qdrant:``.
            encoder: An `Encoder`, a `sentence_transformers.MultiVectorEncoder`, or what `load_encoder` takes. The index
                remembers it: leave it out next time, unless it is an object of your own.
            bits: 1, 2, 3, 4 (the default) or 8 for each dimension of a stored vector, 0 to keep only the number of its
                nearest centroid, or None to keep float16.
            pooling: Keep one vector for this many tokens of a document (see `ReducedEncoder`).
            dim: Keep this many leading dimensions of each vector, for encoders trained for it. Without an encoder, the
                dimension of vectors of your own (see `add`); such an index remembers the first encoder that it is
                opened with for writing, which must be the one of its vectors.
            language: Language of the words of lexical search, for example ``german``, which are reduced to stems;
                ``english`` by default, None for no stems. Words of every language are found as they are written.
            device: Score on this device of torch, for example ``cuda``; None for the processor.
            read_only: Only read. Any number of readers may share an index with the one writer.

        Raises:
            IndexNotFoundError: The directory has no index, and there is neither an encoder nor ``dim``.
            IndexLockedError: Another process writes the index, or this one with another ``device``.
            IncompatibleEncoderError: The index was built with another encoder.
            InvalidRequestError: A setting is invalid, or differs from the index's.
            CorruptIndexError: The files are damaged.
        """
        settings = {"bits": bits, "language": language, "device": device}
        return open_index(cls, path, encoder, settings, pooling=pooling, dim=dim, read_only=read_only)

    @property
    def encoder(self) -> Encoder:
        """The encoder; the one the index remembers is loaded at first use.

        Raises:
            MissingEncoderError: The index has none, or one that is not on this machine; nothing is downloaded without
                ``encoder=`` of the caller.
            CorruptIndexError: What the index remembers is damaged.
            IncompatibleEncoderError: What is found under the remembered name has changed.
        """
        return self._encoder.load()

    @property
    def modalities(self) -> tuple[str, ...]:
        """What documents the encoder reads: ``text``, ``image`` (pages) or both. Known without loading it."""
        return self._encoder.modalities

    @property
    def encoder_name(self) -> str | None:
        """What `load_encoder` loads the encoder from, known without loading it; None for one of your own."""
        return None if self._encoder.record is None else self._encoder.record.source

    @property
    def fingerprint(self) -> dict[str, Any] | None:
        """What tells the encoder from others, as JSON values, known without loading it; None before there is one."""
        return None if self._encoder.record is None else self._encoder.record.fingerprint

    def add(
        self,
        documents: Iterable[Document | str],
        *,
        vectors: Iterable[ArrayLike] | None = None,
        replacing: Where | None = None,
        truncate: bool = True,
        progress: bool = False,
    ) -> list[str]:
        """Add documents; one of an id the index holds replaces it.

        All or nothing: if this raises, nothing was added. Takes any iterable and keeps a bounded part in memory. Other
        threads search and write meanwhile, and the iterable itself may. Over Qdrant, documents are added in batches
        instead, and those of earlier batches stay when this raises: the same call again completes it.

        A document is not encoded again if the index holds one of the same id with the same text to encode, or the same
        page: its text, metadata and image reference are replaced, and the stored vectors are kept.

        Args:
            documents: Documents, or plain strings.
            vectors: Token vectors of your own, for each document an array of shape (tokens, dim), of NumPy or torch, or
                a list of lists; also one array of shape (documents, tokens, dim). No encoder is needed. They are stored
                as given, not normalized: MaxSim is a sum of dot products, so longer vectors count more.
            replacing: Delete the stored documents that pass this filter in the same commit, for example all passages
                of a source that is added anew.
            truncate: Truncate texts that are longer than the encoder reads, with one `TruncationWarning`; `info`
                counts them. With False they are an error that names the documents, and nothing is added.
            progress: Show a progress bar.

        Returns:
            Their ids, in order. Equal documents without an id of their own are one document, named twice.

        Raises:
            InvalidDocumentError: Something that is neither a document nor a string, or a text that is too long.
            InvalidVectorsError: More or fewer arrays than documents, another shape or dimension, NaN or infinity.
            DuplicateIdError: Two different documents of the same id.
            MissingEncoderError: The index has no encoder, and there are no ``vectors``.
            PartialWriteError: A server failed after some documents were added; it names them.
        """
        return add_documents(
            self._engine,
            self._encoder.load,
            documents,
            has_encoder=self._encoder.exists,
            vectors=vectors,
            replacing=replacing,
            truncate=truncate,
            progress=progress,
        )

    def search(
        self,
        query: QueryLike,
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: Iterable[str] | None = None,
        mode: Mode = "late",
        min_relevance: float | None = None,
        diversity: float | None = None,
        diversity_pool: int | None = None,
        truncate: bool = True,
        profile: bool = False,
    ) -> list[Hit]:
        """Return the k best documents for a query, best first; exactly k if k pass the filter (modes but lexical).

        Args:
            query: A string; token vectors of your own, (tokens, dim), of NumPy or torch; a PIL image, where the encoder
                reads pages; or a `Document` with a text, an image or both, whose vectors are then searched together.
                A blank query returns no hits.
            k: The number of hits.
            where: Only documents that pass; see `late_interaction.filters`.
            candidates: Only documents of these ids, for example another retriever's hits; unknown ids are left out.
            mode: ``late`` ranks by MaxSim; ``lexical`` by BM25 over words; ``hybrid`` fuses both by reciprocal rank.
                The last two need a query with a text.
            min_relevance: Only hits of at least this `Hit.relevance`, between 0 and 1; of ``hybrid``, only documents
                that have it in mode ``late``. With 0.5, most queries that nothing in the index answers have no hits.
            diversity: Choose hits that are unlike each other, by maximal marginal relevance: 0 counts relevance alone,
                1 difference alone.
            diversity_pool: The number of best documents among which they are chosen; None for 4 k, at least 20.
            truncate: Truncate a query that is longer than the encoder reads, with a `TruncationWarning`; with False it
                is an error.
            profile: Write to standard error how many milliseconds each stage took.

        Raises:
            InvalidRequestError: An argument is out of range.
            InvalidVectorsError: Query vectors of another shape or dimension, NaN or infinity.
            InvalidFilterError: The filter is malformed.
            MissingEncoderError: The index has no encoder, and the query is not token vectors.
            UnsupportedError: The engine has no lexical search, for example.
        """
        options: SearchOptions = {
            "where": where,
            "candidates": candidates,
            "mode": mode,
            "min_relevance": min_relevance,
            "diversity": diversity,
            "diversity_pool": diversity_pool,
            "truncate": truncate,
        }
        with printed_profile() if profile else nullcontext():
            return self.search_many([query], k, **options)[0]

    def search_many(
        self, queries: Iterable[QueryLike], k: int = 10, **options: Unpack[SearchOptions]
    ) -> list[list[Hit]]:
        """Return the hits of several queries; texts are encoded together. The options are those of `search`."""
        request = SearchRequest.of(self._engine, k, **options)
        return [Hits(hits) for hits in search_many(self._engine, self._encoder.load, request, queries)]

    def warm_up(self) -> None:
        """Load the model and the compiled kernels now, before the first user's query. For servers, after forking."""
        self.search("warm up" if self._encoder.exists else np.eye(1, self._engine.dim), 1)

    def rerank(
        self,
        query: QueryLike,
        *,
        ids: Sequence[str] | None = None,
        documents: Sequence[Document | str] | None = None,
        k: int | None = None,
        store: bool = False,
        truncate: bool = True,
    ) -> list[Hit]:
        """Order candidates of another retriever by MaxSim, best first.

        Only the query is encoded, and those documents whose id and text, or image, the index does not hold.

        Args:
            query: The query, in any form that `search` takes. A blank query ranks nothing.
            ids: Documents of the index.
            documents: Documents, stored or not; the hits carry them as given.
            k: The number of hits; None for all.
            store: Add those of the documents that the index does not hold, so that they are encoded once. One with a
                known id but another text replaces the stored document.
            truncate: Truncate texts that are longer than the encoder reads, with a `TruncationWarning`; with False they
                are an error.

        Raises:
            UnknownIdError: The index does not hold one of the ids.
        """
        add = partial(self.add, truncate=truncate) if store else None
        return Hits(
            rerank_candidates(self._engine, self._encoder.load, query, ids, documents, k=k, add=add, truncate=truncate)
        )

    def explain(self, query: str, id: str) -> Explanation | PageExplanation:  # noqa: A002  # the name users know
        """Return which words of a stored document, or which patches of a page, each query word matches.

        Raises:
            UnknownIdError: The index holds no document of this id.
            MissingEncoderError: The index has no encoder; or the encoder cannot say what its vectors stand for (see
                `SpanEncoder`, `PageEncoder`), or did not make those of the document.
            ImageUnavailableError: Vectors are pooled, so a page must be encoded again, and its image is gone.
            UnsupportedError: The engine cannot return stored vectors.
        """
        return explain_stored(self._engine, self._encoder.load, query, id)

    def explain_many(self, query: str, ids: Sequence[str]) -> dict[str, Explanation | PageExplanation]:
        """Return the same for several documents, by id, the query encoded once.

        Left out are unknown ids, pages that would have to be encoded again and whose image is gone, and documents with
        vectors of your own.

        Raises:
            MissingEncoderError: The encoder cannot say what its vectors stand for (see `SpanEncoder`, `PageEncoder`).
            UnsupportedError: The engine cannot return stored vectors.
        """
        return explain_many(self._engine, self._encoder.load, query, ids)

    def info(self) -> dict[str, Any]:
        """Return size, layout, settings and encoder of the index, as JSON values."""
        return {**self._engine.info(), "encoder": self._encoder.info()}

    def _repr_html_(self) -> str | None:
        try:
            return index_html(type(self).__name__, self.info())
        except LateInteractionError:  # closed or damaged: notebooks then show the repr
            return None

    def __deepcopy__(self, memo: object) -> Index:
        location, settings = reopening(self._engine)
        return reopen(type(self), location, self._encoder.given, settings, read_only=self._engine.read_only)

    def __copy__(self) -> Index:
        return self.__deepcopy__(None)

    def __reduce__(self) -> tuple[Any, ...]:
        location, settings = reopening(self._engine)
        check_picklable(self._encoder.given)
        return partial(reopen, read_only=True), (type(self), location, self._encoder.given, settings)
