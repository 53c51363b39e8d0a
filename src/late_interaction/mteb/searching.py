"""`IndexedSearch`: MTEB's `SearchProtocol` over an `Index`."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from late_interaction.errors import InvalidRequestError, UnknownIdError
from late_interaction.index import Index
from late_interaction.index_encoder import as_encoder
from late_interaction.mteb.encoding import check_encode_kwargs, encode_queries, for_task
from late_interaction.mteb.exact import ExactEncoder
from late_interaction.mteb.metadata import model_meta_of
from late_interaction.mteb.rows import documents_of, query_texts
from late_interaction.optional import require

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.model_meta import ModelMeta
    from mteb.types import CorpusDatasetType, EncodeKwargs, QueryDatasetType
    from numpy.typing import NDArray
    from sentence_transformers import MultiVectorEncoder
    from typing_extensions import Self

    from late_interaction.encoders import Encoder
    from late_interaction.engines import Engine

__all__ = ["IndexedSearch"]

_logger = logging.getLogger(__name__)


class IndexedSearch:
    """An index as a model of MTEB: pass it to ``mteb.evaluate``. Implements its ``SearchProtocol``. A context manager.

    Each call of `index` builds an index of the corpus, which `search` searches. With ``bits=None``, scores are those of
    exact search in float32. With ``bits``, candidates are found in compressed vectors, and a score is MaxSim of the
    stored vectors. A corpus of fewer than 65,536 tokens is not compressed, as in any index: its vectors are float16.

    Texts are those that MTEB's own wrappers encode: the title, a space and the text; a query and its instruction;
    conversations as one string. The prompts of a `MultiVectorEncoder` are chosen by task, type of task, or query and
    document, in the order of MTEB's ``MultiVectorWrapper``. Neither uses ``TaskMetadata.prompt``. Page tasks need an
    encoder that reads pages. A blank document has no vectors, so its score is 0. Truncated texts give a
    `TruncationWarning`.

    Args:
        encoder: What `Index.open` takes: a name, a `sentence_transformers.MultiVectorEncoder` or an `Encoder`.
        bits: 0, 1, 2, 3, 4 or 8 for each dimension of a stored vector; None, the default here, for exact scores.
        path: Keep the indexes in this folder, one for each task, subset and split. An existing one is used again:
            only the documents that it lacks are encoded. `Index.open` opens those with ``bits``; those without have
            other vectors, see `ExactEncoder`. None for a temporary folder, removed by the next `index`, `close`, or
            when nothing refers to this object.
        model_meta: Metadata for MTEB's results; by default from the encoder. ``bits`` and the settings of a
            `ReducedEncoder` are added to its ``experiment_kwargs``, so that MTEB keeps results of other settings apart.

    Attributes:
        mteb_model_meta: The metadata.

    Raises:
        OptionalDependencyError: MTEB is not installed.

    Example::

        model = IndexedSearch(MultiVectorEncoder("lightonai/LateOn"), bits=4)
        results = mteb.evaluate(model, tasks=mteb.get_tasks(tasks=["NFCorpus"]))
    """

    mteb_model_meta: ModelMeta

    def __init__(
        self,
        encoder: Encoder | MultiVectorEncoder | str | os.PathLike[str],
        *,
        bits: int | None = None,
        path: str | os.PathLike[str] | None = None,
        model_meta: ModelMeta | None = None,
    ) -> None:
        require("mteb", package="mteb", feature="late_interaction.mteb", extra="mteb")
        self._encoder = as_encoder(encoder)
        self._bits = bits
        self._path = None if path is None else Path(path)
        self._index: Index | None = None
        self._discard = _nothing_to_discard
        self.mteb_model_meta = model_meta_of(encoder, self._encoder, bits=bits, given=model_meta)

    def index(
        self,
        corpus: CorpusDatasetType,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: EncodeKwargs,
        num_proc: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Build the index of a corpus, in place of that of an earlier call.

        Args:
            corpus: Rows with ``id`` and ``text`` (and ``title``), or ``image``.
            task_metadata: Determines which modalities the documents have and which prompts are used.
            hf_split: With ``hf_subset``, the name of the folder, if it is kept.
            hf_subset: See ``hf_split``.
            encode_kwargs: ``batch_size``: rows that are read at a time; encoders form batches of their own, bounded by
                tokens. ``show_progress_bar``. No others.
            num_proc: Processes that read the rows.
            **kwargs: Not used, with a warning: MTEB reserves them for its future versions.

        Raises:
            InvalidRequestError: ``encode_kwargs`` has an unknown argument; or an index is kept under ``path`` with
                other settings.
            UnsupportedError: The task has documents that the encoder does not read.
            IncompatibleEncoderError: An index that is kept under ``path`` was built with another encoder.
        """
        _warn_of_unused("index", kwargs)
        options = check_encode_kwargs(encode_kwargs)
        self.close()
        encoder = for_task(self._encoder, task_metadata)
        if self._bits is None:
            encoder = ExactEncoder(encoder)
        documents = documents_of(corpus, task_metadata, self._encoder, batch_size=options.batch_size, num_proc=num_proc)
        if self._path is None:
            folder = temporary = Path(tempfile.mkdtemp(prefix="late-interaction-"))
        else:
            folder, temporary = self._path / quote(f"{task_metadata.name}-{hf_subset}-{hf_split}", safe=" "), None
        try:
            index = Index.open(folder, encoder=encoder, bits=self._bits)
        except BaseException:
            _remove(None, temporary, os.getpid())
            raise
        self._index = index
        self._discard = weakref.finalize(self, _remove, index, temporary, os.getpid())
        try:
            known = set(index.add(documents, progress=options.show_progress_bar))
            if temporary is None:  # documents of an earlier run that are not in this corpus
                index.delete([document.id for document in index.scan(fields=[]) if document.id not in known])
        except BaseException:
            self.close()  # an index without these documents must not be searched
            raise

    def search(
        self,
        queries: QueryDatasetType,
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: EncodeKwargs,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        num_proc: int | None = None,
        **kwargs: Any,
    ) -> dict[str, dict[str, float]]:
        """Return the ``top_k`` best documents of each query by MaxSim, as ``{query id: {document id: score}}``.

        A blank query has no documents.

        Args:
            queries: Rows with ``id`` and ``text``, and perhaps ``instruction``.
            task_metadata: As for `index`.
            hf_split: Not needed.
            hf_subset: Not needed.
            top_k: The number of documents of a query.
            encode_kwargs: As for `index`.
            top_ranked: Score only these documents of each query, exactly; a query that it lacks has none.
            num_proc: Processes that read the rows.
            **kwargs: As for `index`.

        Raises:
            InvalidRequestError: `index` was not called before, or ``encode_kwargs`` has an unknown argument.
            UnsupportedError: The queries of the task are not texts.
            UnknownIdError: ``top_ranked`` has a document that the corpus lacks.
        """
        _warn_of_unused("search", kwargs)
        options = check_encode_kwargs(encode_kwargs)
        if self._index is None:
            raise InvalidRequestError("There is no index to search. Call index(corpus, …) first.")
        ids, texts = query_texts(queries, task_metadata, batch_size=options.batch_size, num_proc=num_proc)
        vectors = encode_queries(self._index.encoder, texts)
        engine = self._index.engine
        candidates: Iterable[Sequence[str] | None] = [None] * len(ids)
        if top_ranked is not None:
            candidates = [_ranked(top_ranked, query_id) for query_id in ids]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            return dict(zip(ids, pool.map(partial(_best, engine, top_k), vectors, candidates), strict=True))

    def close(self) -> None:
        """Close the index, and remove its folder if that is a temporary one. Closing twice is no error."""
        self._index = None
        self._discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _nothing_to_discard() -> None:
    pass


def _remove(index: Index | None, folder: Path | None, owner: int) -> None:
    if os.getpid() != owner:  # a process that reads rows is a fork
        return
    if index is not None:
        index.close()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _ranked(top_ranked: Mapping[str, Sequence[str]], query_id: str) -> Sequence[str]:
    if query_id not in top_ranked:
        _logger.warning("top_ranked has no documents for the query %r.", query_id)
    return top_ranked.get(query_id) or ()


def _best(
    engine: Engine, top_k: int, query_vectors: NDArray[np.float32], candidates: Sequence[str] | None
) -> dict[str, float]:
    if not len(query_vectors):
        return {}
    if candidates is None:
        return {match.id: match.score for match in engine.search(query_vectors, top_k)}
    scores = engine.score(query_vectors, candidates)
    if unknown := [document_id for document_id in candidates if document_id not in scores]:
        raise UnknownIdError(
            f"top_ranked has {unknown[0]!r:.200}, which is not in the corpus. Rank documents of the corpus only."
        )
    return dict(sorted(scores.items(), key=lambda item: -item[1])[:top_k])


def _warn_of_unused(method: str, kwargs: Mapping[str, Any]) -> None:
    if kwargs:
        warnings.warn(f"IndexedSearch.{method} does not use {', '.join(kwargs)}.", stacklevel=3)
