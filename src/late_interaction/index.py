"""`Index`: an encoder, an engine and the documents, behind one object."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from contextvars import Context, copy_context
from functools import partial
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from tqdm import tqdm

from late_interaction.documents import Document, Hit
from late_interaction.encoders.record import read_record
from late_interaction.engines import LocalEngine
from late_interaction.errors import (
    DuplicateIdError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidRequestError,
    UnknownIdError,
)
from late_interaction.explanations.stored import explain_documents
from late_interaction.filters import parse
from late_interaction.forking import renew_in_child
from late_interaction.opening import accepted, as_encoder, check_settings, fingerprint_of, reduced, remembered
from late_interaction.opening import modalities as modalities_of
from late_interaction.profiling import profile as profiling
from late_interaction.profiling import stage
from late_interaction.retrieval.encoding import encode_documents, encode_queries, is_blank
from late_interaction.retrieval.fusion import best_possible, reciprocal_rank_fusion
from late_interaction.retrieval.reranking import late_hit, rank
from late_interaction.validation import check_k

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.encoders import Encoder
    from late_interaction.engines import Engine, Verification
    from late_interaction.explanations import Explanation, PageExplanation
    from late_interaction.filters import Where

__all__ = ["Index", "Mode", "as_index"]

Mode: TypeAlias = Literal["late", "lexical", "hybrid"]

_FUSION_DEPTH = 100  # hits of each ranking that hybrid search fuses


class Index:
    """A collection of documents that is searched by late interaction.

    Open one in a directory with `Index.open`, or put one over any engine with ``Index(engine=…, encoder=…)``. Any
    thread may call any method. Every write is one transaction, durable once it has returned. A context manager.

    Args:
        engine: Where documents and vectors are kept.
        encoder: An `Encoder`, or what `load_encoder` takes. None uses the one the index remembers, loaded when it is
            first needed.

    Raises:
        IncompatibleEncoderError: The index was built with another encoder.

    Example:
        >>> index = Index.open(tmp / "my-index", encoder="minilm")
        >>> index.add(["Paris is the capital of France.", Document("The Nile is a river.", id="nile")])[1]
        'nile'
        >>> [hit.id for hit in index.search("longest stream of Africa", k=1)]
        ['nile']
        >>> index.close()
    """

    def __init__(self, *, engine: Engine, encoder: Encoder | str | os.PathLike[str] | None = None) -> None:
        self._engine = engine
        self._encoder: Encoder | None = None
        self._make_mutex()
        renew_in_child(self._make_mutex)
        if encoder is not None:
            self._encoder = accepted(self._engine, as_encoder(encoder))

    def _make_mutex(self) -> None:
        self._encoder_mutex = threading.RLock()  # reentrant, so that a signal handler may search

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: Encoder | str | os.PathLike[str] | None = None,
        bits: int | Literal["default"] | None = "default",
        pooling: int | None = None,
        dim: int | None = None,
        device: str | None = None,
        read_only: bool = False,
    ) -> Index:
        """Open the index in a directory; with an encoder, create it if there is none.

        ``bits``, ``pooling`` and ``dim`` are chosen when an index is made and stay: leave them out next time.

        Args:
            path: The directory.
            encoder: An `Encoder`, or what `load_encoder` takes. The index remembers it: leave it out next time, unless
                it is an object of your own.
            bits: 1, 2, 4 (the default) or 8 for each dimension of a stored vector, or None to keep float16.
            pooling: Keep one vector for so many tokens of a document (see `late_interaction.encoders.ReducedEncoder`).
            dim: Keep so many leading dimensions of each vector, for encoders trained for it.
            device: Score on this device of torch, for example ``cuda``; None for the processor.
            read_only: Only read. Any number of readers may share an index with the one writer.

        Raises:
            IndexNotFoundError: There is no index, and no encoder to create one for.
            IndexLockedError: Another writer has the index open.
            IncompatibleEncoderError: The index was built with another encoder.
            InvalidRequestError: A setting is invalid, or differs from the index's.
            CorruptIndexError: The files are damaged.
        """
        try:
            engine = LocalEngine.open(path, bits=bits, device=device, read_only=read_only)
        except IndexNotFoundError:
            if encoder is None or read_only:
                raise
            encoder = as_encoder(encoder)
            fingerprint_of(encoder)  # an encoder that cannot be used is an error before there is an index
            encoder = reduced(encoder, pooling, dim)
            engine = LocalEngine.open(path, dim=encoder.dim, bits=bits, device=device)
        try:
            if encoder is not None and engine.encoder_record is None:
                encoder = reduced(as_encoder(encoder), pooling, dim)
            check_settings(engine, pooling=pooling, dim=dim, has_encoder=encoder is not None)
            return cls(engine=engine, encoder=encoder)
        except BaseException:
            engine.close()
            raise

    @property
    def engine(self) -> Engine:
        """The engine underneath."""
        return self._engine

    @property
    def encoder(self) -> Encoder:
        """The encoder; the one the index remembers is loaded at first use.

        Raises:
            MissingEncoderError: The index remembers none, or one that is not on this machine; nothing is downloaded
                without ``encoder=`` of the caller.
            CorruptIndexError: What the index remembers is damaged.
            IncompatibleEncoderError: What is found under the remembered name has changed.
        """
        with self._encoder_mutex:  # held while loading, so that many first searches load one model
            if self._encoder is None:
                self._encoder = accepted(self._engine, remembered(read_record(self._engine)))
            return self._encoder

    @property
    def modalities(self) -> tuple[str, ...]:
        """What documents the encoder reads: ``text``, ``image`` (pages) or both. Known without loading it."""
        if self._encoder is not None:
            return tuple(modalities_of(self._encoder))
        record = read_record(self._engine)
        return ("text",) if record is None else record.modalities

    def add(
        self, documents: Iterable[Document | str], *, replacing: Where | None = None, progress: bool = False
    ) -> list[str]:
        """Add documents; one of an id the index holds replaces it.

        All or nothing: if this raises, nothing was added. Takes any iterable and keeps a bounded part in memory. Other
        threads search and write meanwhile, and the iterable itself may.

        Args:
            documents: Documents, or plain strings.
            replacing: Delete the stored documents that pass this filter in the same commit, for example all passages
                of a source that is added anew.
            progress: Show a progress bar.

        Returns:
            Their ids, in order. Equal documents without an id of their own are one document, named twice.

        Raises:
            InvalidDocumentError: Something that is neither a document nor a string.
            DuplicateIdError: Two different documents of the same id.
        """
        if isinstance(documents, (str, Document)):
            raise InvalidDocumentError("add takes a list of documents: pass `[document]`.")
        ids: list[str] = []
        unique: Iterable[Document] = _unique(documents, ids)
        total = None
        if isinstance(documents, (list, tuple)):  # find a bad document before the encoder goes to work
            unique = list(unique)
            total = len(unique)
        # A bar that is not shown is not made: it would take a lock that all processes forked from this one share.
        with tqdm(total=total, desc="Indexing", unit=" documents") if progress else nullcontext() as bar:
            report = None if bar is None else bar.update
            self._engine.upsert(encode_documents(self.encoder, unique, report), replacing=replacing)
        return ids

    def delete(self, ids: Iterable[str] | None = None, *, where: Where | None = None) -> int:
        """Delete documents by ids or by filter and return how many there were. Unknown ids are skipped.

        Raises:
            InvalidRequestError: Every document matches the filter, as ``{}``. `clear` deletes everything.
        """
        return self._engine.delete(ids=ids, where=where)

    def clear(self) -> int:
        """Delete every document and return how many there were. Settings and encoder stay."""
        return self._engine.clear()

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: Iterable[str] | None = None,
        mode: Mode = "late",
        profile: bool = False,
    ) -> list[Hit]:
        """The k best documents for a query, best first; exactly k if at least k pass the filter (modes but lexical).

        Args:
            query: The query. A blank query returns no hits.
            k: How many hits.
            where: Only documents that pass; see `late_interaction.filters`.
            candidates: Only documents of these ids, for example another retriever's hits; unknown ids are left out.
            mode: ``late`` ranks by MaxSim; ``lexical`` by BM25 over words; ``hybrid`` fuses both by reciprocal rank.
            profile: Write to the standard error how many milliseconds each stage took.
        """
        if not profile:
            return self.search_many([query], k, where=where, candidates=candidates, mode=mode)[0]
        with profiling() as stages:
            hits = self.search_many([query], k, where=where, candidates=candidates, mode=mode)[0]
        sys.stderr.write("".join(f"{name:16} {milliseconds:8.2f} ms\n" for name, milliseconds in stages.items()))
        return hits

    def search_many(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        where: Where | None = None,
        candidates: Iterable[str] | None = None,
        mode: Mode = "late",
    ) -> list[list[Hit]]:
        """The hits of several queries, which are encoded together. See `search`."""
        if mode not in get_args(Mode):
            raise InvalidRequestError(f"mode must be one of {', '.join(get_args(Mode))}, not {mode!r}.")
        if isinstance(queries, str):
            raise InvalidRequestError("search_many takes a list of queries; for one query there is search.")
        k = check_k(k)
        if where is not None:
            parse(where)  # a bad filter is an error whatever the query
        if candidates is not None and not isinstance(candidates, str):
            candidates = list(candidates)  # for each of the queries
        asked = [query for query in queries if not is_blank(query)]
        encoder = None if mode == "lexical" else self.encoder
        with stage("encode"):
            vectors = [None] * len(asked) if encoder is None else encode_queries(encoder, asked)
        search = partial(self._search, k=k, where=where, candidates=candidates, mode=mode)
        found = iter(_side_by_side(search, asked, vectors))
        return [[] if is_blank(query) else next(found) for query in queries]

    def warm_up(self) -> None:
        """Load the model and the compiled kernels now, before the first user's query. For servers, after forking."""
        self.search("warm up", 1)

    def rerank(
        self,
        query: str,
        *,
        ids: Sequence[str] | None = None,
        documents: Sequence[Document | str] | None = None,
        k: int | None = None,
        store: bool = False,
    ) -> list[Hit]:
        """Order candidates of another retriever by MaxSim, best first.

        Only the query is encoded, and those documents whose id and text, or image, the index does not hold.

        Args:
            query: The query. A blank one ranks nothing.
            ids: Documents of the index.
            documents: Documents, stored or not; the hits carry them as given.
            k: How many hits; None for all.
            store: Add those of the documents that the index does not hold, so that they are encoded once. One of a
                known id but another text replaces that.

        Raises:
            UnknownIdError: The index does not hold one of the ids.
        """
        if (ids is None) == (documents is None):
            raise InvalidRequestError("rerank takes either ids or documents.")
        if isinstance(ids, str) or isinstance(documents, (str, Document)):
            raise InvalidRequestError("rerank takes a list: pass `[document]`.")
        if k is not None:
            k = check_k(k)
        if is_blank(query) or not (ids or documents):
            return []
        vectors = encode_queries(self.encoder, [query])[0]
        if ids is not None:
            matches = self._engine.search(vectors, len(ids), candidates=ids)
            if unknown := sorted(set(ids) - {match.id for match in matches}):
                raise UnknownIdError(f"The index holds no document {', '.join(map(repr, unknown[:5]))}.")
            hits = [late_hit(match.document, match.score, vectors) for match in matches]
        else:
            given = [_as_document(document) for document in documents or ()]
            if store:
                self.add(self._unknown(given))
            hits = self._rerank_documents(vectors, given)
        return hits[:k]

    def explain(self, query: str, id: str) -> Explanation | PageExplanation:  # noqa: A002  # the name users know
        """Which words of a stored document, or which patches of a page, the words of a query meet.

        Raises:
            UnknownIdError: The index holds no such document.
            MissingEncoderError: The encoder cannot say what its vectors stand for (see `SpanEncoder`, `PageEncoder`).
            ImageUnavailableError: Vectors are pooled, so a page must be encoded again, and its image is gone.
        """
        documents, stored = self._stored([id])
        if not documents:
            raise UnknownIdError(f"The index holds no document {id!r}.")
        return explain_documents(self.encoder, query, documents, stored)[id]

    def explain_many(self, query: str, ids: Sequence[str]) -> dict[str, Explanation | PageExplanation]:
        """The same for several documents, by id, the query encoded once.

        Left out are unknown ids, and pages that would have to be encoded again and whose image is gone.

        Raises:
            MissingEncoderError: The encoder cannot say what its vectors stand for (see `SpanEncoder`, `PageEncoder`).
        """
        documents, stored = self._stored(ids)
        return explain_documents(self.encoder, query, documents, stored, leave_out_lost=True)

    def get(self, ids: Sequence[str]) -> list[Document]:
        """The documents of these ids, in this order; unknown ids are left out."""
        return self._engine.get(ids)

    def scan(self, *, where: Where | None = None) -> Iterator[Document]:
        """Every document that passes, in the order of addition, from one consistent state."""
        return self._engine.scan(where=where)

    def count(self, *, where: Where | None = None) -> int:
        """How many documents pass."""
        return self._engine.count(where=where)

    def info(self) -> dict[str, Any]:
        """Size, layout, settings and encoder of the index, as JSON values."""
        record = read_record(self._engine)
        encoder = None if record is None else record.to_json()
        if encoder is not None:
            encoder["fingerprint"].pop("probe", None)  # numbers for machines
        return {**self._engine.info(), "encoder": encoder}

    def verify(self) -> Verification:
        """Check everything stored against its checksums. True where nothing is wrong."""
        return self._engine.verify()

    def compact(self) -> None:
        """Give back the room of deleted documents and merge what was added in small pieces."""
        self._engine.compact()

    def copy(self, path: str | os.PathLike[str]) -> None:
        """Write a copy of an index that is in a directory into another one, as a backup for example.

        Raises:
            InvalidRequestError: The directory has something in it, or the engine is no local one.
            ReadOnlyIndexError: The index is open for reading, when another process may be changing it.
        """
        if not isinstance(self._engine, LocalEngine):
            raise InvalidRequestError(f"Only an index in a directory can be copied, not one over {self._engine!r}.")
        self._engine.copy(path)

    def close(self) -> None:
        """Release files and locks. Closing twice is no error."""
        self._engine.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return True  # an empty index is an index, whatever its length

    def __contains__(self, id: object) -> bool:  # noqa: A002
        try:
            return bool(self.get([id]))  # type: ignore[list-item]  # what can be no id is not in the index
        except InvalidDocumentError:
            return False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._engine!r})"

    def _search(
        self,
        query: str,
        query_vectors: NDArray[np.float32] | None,
        *,
        k: int,
        where: Where | None,
        candidates: Iterable[str] | None,
        mode: Mode,
    ) -> list[Hit]:
        if query_vectors is None:
            matches = self._engine.search_lexical(query, k, where=where, candidates=candidates)
            return [Hit(match.document, match.score, match.score / (1 + match.score)) for match in matches]
        if mode == "late":
            matches = self._engine.search(query_vectors, k, where=where, candidates=candidates)
            return [late_hit(match.document, match.score, query_vectors) for match in matches]
        depth = max(k, _FUSION_DEPTH)
        with self._engine.one_state():
            rankings = [
                self._engine.search(query_vectors, depth, where=where, candidates=candidates),
                self._engine.search_lexical(query, depth, where=where, candidates=candidates),
            ]
        documents = {match.id: match.document for ranking in rankings for match in ranking}
        fused = reciprocal_rank_fusion([[match.id for match in ranking] for ranking in rankings])
        return [
            Hit(documents[found], score, score / best_possible(len(rankings)))
            for found, score in islice(fused.items(), k)
        ]

    def _stored(self, ids: Sequence[str]) -> tuple[list[Document], dict[str, NDArray[np.float32]]]:
        """Documents and their vectors, of one state."""
        with self._engine.one_state():
            return self._engine.get(ids), self._engine.vectors(ids)

    def _unknown(self, documents: list[Document]) -> list[Document]:
        """Those documents that are not stored as they are, each id once."""
        held = {document.id: document for document in self._engine.get([document.id for document in documents])}
        unknown = {
            document.id: document
            for document in documents
            if document.id not in held or not _is_same_content(document, held[document.id])
        }
        return list(unknown.values())

    def _rerank_documents(self, query_vectors: NDArray[np.float32], documents: list[Document]) -> list[Hit]:
        ids = list({document.id for document in documents})
        with self._engine.one_state():
            held = {document.id: document for document in self._engine.get(ids)}
            matches = self._engine.search(query_vectors, len(ids), candidates=held)
        stored = {match.id: match.score for match in matches}
        known = {
            position: stored[document.id]
            for position, document in enumerate(documents)
            if document.id in stored and _is_same_content(document, held[document.id])
        }
        return rank(query_vectors, documents, encoder=self.encoder, known=known)


def as_index(index: object, *, read_only: bool = False, encoder: object = None) -> Index:
    """The index, opened if it is given by its path.

    Raises:
        InvalidRequestError: It is neither, or an encoder is given with an index that has one.
    """
    if isinstance(index, (str, os.PathLike)):
        return Index.open(index, read_only=read_only, encoder=None if encoder is None else as_encoder(encoder))
    if not isinstance(index, Index):
        raise InvalidRequestError(f"index= takes an Index or the path of one, not {type(index).__name__}.")
    if encoder is not None:
        raise InvalidRequestError("An Index has its encoder already; encoder= goes with a path.")
    return index


def _side_by_side(
    search: Callable[[str, NDArray[np.float32] | None], list[Hit]],
    queries: list[str],
    vectors: Sequence[NDArray[np.float32] | None],
) -> Iterable[list[Hit]]:
    """The hits of each query, which are searched at the same time."""
    if len(queries) < 2:
        return map(search, queries, vectors)
    contexts = [copy_context() for _ in queries]  # one each: a context can be entered once at a time
    with ThreadPoolExecutor(min(len(queries), os.cpu_count() or 1)) as pool:
        return list(pool.map(Context.run, contexts, repeat(search), queries, vectors))


def _as_document(document: object) -> Document:
    if isinstance(document, Document):
        return document
    if isinstance(document, str):
        return Document(document)
    raise InvalidDocumentError(f"A document must be a Document or a string, not {type(document).__name__}.")


def _is_same_content(document: Document, stored: Document) -> bool:
    """Whether stored vectors stand for the document. One that does not say what to encode takes what was encoded."""
    if document.image is not None and stored.image is not None:
        return (document.image.digest, document.image.page) == (stored.image.digest, stored.image.page)
    same_kind = document.image is None and stored.image is None
    return same_kind and document.text == stored.text and document.encoded_text in (None, stored.encoded_text)


def _unique(documents: Iterable[Document | str], ids: list[str]) -> Iterator[Document]:
    """The documents, each once; every id is noted in ``ids``, also of those left out as equal."""
    seen: dict[str, bool] = {}
    for given in documents:
        document = _as_document(given)
        ids.append(document.id)
        if document.id not in seen:
            seen[document.id] = document.has_content_id
            yield document
        elif not (seen[document.id] and document.has_content_id):
            raise DuplicateIdError(f"The id {document.id!r} is given twice in one call. Nothing was added.")
