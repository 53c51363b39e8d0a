"""`evaluate`: compare systems on the documents, queries and judgments of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.building import SystemBuilder, refuse_queries_without_text
from late_interaction.evaluation.dataset import Dataset, JudgedQuery
from late_interaction.evaluation.given_runs import run_results
from late_interaction.evaluation.judging import judge_pools
from late_interaction.evaluation.measures import MEASURES, Measure
from late_interaction.evaluation.measuring import measured
from late_interaction.evaluation.opening import documents_by_id, missing_documents, open_evaluated
from late_interaction.evaluation.reading.queries import as_queries
from late_interaction.evaluation.reporting.report import Report
from late_interaction.evaluation.reporting.scoring import chosen_baseline, judged_queries
from late_interaction.evaluation.requested import Requested
from late_interaction.evaluation.results import SystemResult
from late_interaction.evaluation.temporary import TemporaryIndexes
from late_interaction.validation import check_fraction, check_k

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from late_interaction.cascades import Cascade
    from late_interaction.documents import Document
    from late_interaction.encoders import Encoder
    from late_interaction.evaluation.judging import Judge
    from late_interaction.evaluation.systems import System
    from late_interaction.index import Index

__all__ = ["evaluate"]


def evaluate(
    index_or_documents: Index | Dataset | Iterable[Document | str] | str | os.PathLike[str] | None,
    queries: Dataset | Iterable[JudgedQuery | Mapping[str, Any]] | str | os.PathLike[str],
    *,
    encoder: Encoder | str | os.PathLike[str] | None = None,
    systems: Sequence[str] | None = None,
    single_vector: Sequence[Any] = (),
    sparse: Sequence[Any] = (),
    cross_encoder: Any = None,
    stages: Sequence[str | Cascade] = (),
    bits: Sequence[int | None] = (),
    pooling: Sequence[int] = (),
    dim: Sequence[int] = (),
    runs: Mapping[str, Any] | None = None,
    baseline: str | None = None,
    measures: Sequence[str | Measure] = MEASURES,
    k: int = 10,
    loss: float = 0.01,
    judge: Judge | None = None,
    progress: bool = False,
) -> Report:
    """Compare systems on your own documents and judged queries: quality, bytes per document, time per query.

    Documents are encoded once for each encoder, whatever the number of settings, and queries too. Nothing of an index
    is changed; other indexes are made in a temporary directory, which is removed, with about 2 bytes for each dimension
    of each token vector, and less for each setting.

    **Times** are those of single searches for ``k`` documents, one after the other, encoding the query included, once
    models are loaded and kernels compiled. A system that users search otherwise, such as one over a server with many
    clients, needs a measurement of its own. **Bytes** are what must be stored to search in this way, besides ids and
    texts (see `late_interaction.evaluation.systems.System`).

    Args:
        index_or_documents: An index, its path or address; or documents, of which one is made with the settings that
            `Index.open` has by default: `Document` objects, strings, a `Dataset`, or the path of a JSONL file. None to
            compare ``runs`` only.
        queries: A `Dataset`, or what `as_queries` takes. Those without a relevant document are left out.
        encoder: The encoder of documents, as for `Index.open`; or that of an index given by its path, if the index
            cannot load it.
        systems: Of ``late``, ``lexical``, ``hybrid`` and ``pooled`` (the mean of the token vectors of a document, from
            the same encoder). By default the first three, without those that the documents or the engine do not allow.
        single_vector: `sentence_transformers.SentenceTransformer` objects, their names or folders; ``minilm`` is the
            offline model. Vectors are kept in float16, and searched exactly.
        sparse: `sentence_transformers.SparseEncoder` objects, their names or folders. Vectors are kept in memory, and
            searched exactly.
        cross_encoder: A `sentence_transformers.CrossEncoder`, its name or folder. It ranks the best 20 documents of
            each of ``systems`` again, and of the first models of ``single_vector`` and ``sparse``; or only where the
            notations of ``stages`` name it.
        stages: Cascades in the notation ``lexical:200,late:20,cross-encoder:10`` (see `parse_stages`). Its names are
            ``late``, ``lexical``, ``hybrid``, ``pooled``, ``single-vector`` and ``sparse`` for the first of these
            models, and ``cross-encoder``. Also `Cascade` objects, of indexes of the same ids.
        bits: 1, 2, 3, 4, 8, 0 for codes alone, or None for float16; every combination with ``pooling`` and ``dim``
            becomes a system ``late``, besides that of the index. A small collection is not compressed, see the notes of
            the report.
        pooling: Tokens that become one vector, see `ReducedEncoder`.
        dim: Leading dimensions that are kept, for encoders trained for it.
        runs: Results of others by name: the path of a TREC run, or a dict of ids, best first, by query id.
        baseline: The name of the system that others are compared with. ``late`` is that of the index as it is.
        measures: What is measured.
        k: The number of documents that users search for.
        loss: How much of the first measure may be lost for a cheaper system, in the advice.
        judge: Grades the first 10 documents of each system for each query, see `judge_pools`. Queries need no
            judgments then.
        progress: Show progress bars.

    Raises:
        InvalidRequestError: An argument is out of range, or a system that was named is not possible.
        MissingEncoderError: The index has no encoder, and a system needs one.
        UnsupportedCheckpointError: A model cannot be loaded.

    Example:
        >>> from late_interaction import Document
        >>> documents = [Document("Paris is the capital of France.", id="paris"), Document("A river.", id="nile")]
        >>> queries = [{"query": "capital", "relevant": "paris"}, {"query": "long river", "relevant": ["nile"]}]
        >>> report = evaluate(documents, queries, encoder="minilm", measures=["mrr@10"])
        >>> [(system.name, system.intervals["mrr@10"].mean) for system in report.systems]
        [('late', 1.0), ('lexical', 1.0), ('hybrid', 1.0)]
    """
    k = check_k(k)
    check_fraction(loss, "loss")
    if isinstance(measures, str):
        raise InvalidRequestError(f'measures must be a list, for example measures=["ndcg@10"], got {measures!r}.')
    if judge is not None and not callable(judge):
        raise InvalidRequestError(f"judge must be a function (query, document) -> grade, got {judge!r:.100}.")
    depth = max([k, *(Measure.of(measure).k for measure in measures)])
    dataset = queries if isinstance(queries, Dataset) else Dataset("queries", None, as_queries(queries))
    asked = judged_queries(dataset.queries) if judge is None else dataset.queries
    found = run_results(runs or {}, dataset.queries)
    if index_or_documents is None:
        if not found or judge is not None:
            raise InvalidRequestError(
                "There is nothing to search. Pass an index or documents; or runs= without judge=."
            )
        return Report(dataset, found, baseline=baseline, measures=measures, loss=loss)
    if single_vector or sparse or cross_encoder is not None:
        refuse_queries_without_text(asked)
    requested = Requested.of(
        systems=systems,
        single_vector=single_vector,
        sparse=sparse,
        cross_encoder=cross_encoder,
        stages=stages,
        bits=bits,
        pooling=pooling,
        dim=dim,
    )
    with TemporaryIndexes(progress=progress) as temporary:
        source = open_evaluated(index_or_documents, encoder, temporary, requested)
        builder = SystemBuilder(source, requested, asked, depth)
        compared = builder.systems()
        named = _renamed(baseline, compared)
        chosen_baseline([*(SystemResult(one.name, one.settings, {}) for one in compared), *found], named)
        count = source.index.count()
        shown = tqdm(asked, desc="Searching", unit=" queries") if progress else asked
        found = [*measured(compared, shown, k=k, depth=depth, documents=count), *found]
        if judge is not None:
            dataset = judge_pools(found, dataset, judge, documents=documents_by_id(source.index, found))
        notes = [*source.notes, *builder.notes, *missing_documents(source.index, asked)]
    return Report(dataset, found, baseline=named, measures=measures, loss=loss, notes=notes, documents=count)


def _renamed(baseline: str | None, systems: Sequence[System]) -> str | None:
    """Return the name of the baseline; ``late`` is the index as it is, whose name has its setting beside others."""
    if baseline != "late":
        return baseline
    return next((system.name for system in systems if system.settings["kind"] == "late"), baseline)
