"""Read a test collection: a BEIR folder, or files of queries, judgments and documents."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.corpora import JsonlDocuments
from late_interaction.evaluation.dataset import Dataset, JudgedQuery
from late_interaction.evaluation.judgments import read_qrels
from late_interaction.evaluation.queries import read_queries
from late_interaction.wording import counted

if TYPE_CHECKING:
    import os

    from late_interaction.evaluation.judgments import Qrels

__all__ = ["read_dataset"]


def read_dataset(
    source: str | os.PathLike[str],
    *,
    documents: str | os.PathLike[str] | None = None,
    queries: str | os.PathLike[str] | None = None,
    qrels: str | os.PathLike[str] | None = None,
    split: str | None = None,
) -> Dataset:
    """Return the test collection in a folder or in files.

    Args:
        source: A BEIR folder (``corpus.jsonl``, ``queries.jsonl``, ``qrels/test.tsv``), or a file of queries: JSONL
            with ``query`` and ``relevant``, or lines of an id, a tab and the text.
        documents: JSONL with the documents; they may also be in an index.
        queries: The queries, if not those of the source.
        qrels: The judgments, if not those of the source: a file of TREC or BEIR.
        split: Which judgments of a folder; by default ``test``, or the only ones.

    Raises:
        InvalidRequestError: A file is missing, or a line is malformed. The message names the file and line.
        InvalidDocumentError: A document is malformed, or two have the same id.
    """
    place = Path(source)
    if not place.exists():
        raise InvalidRequestError(f"{place} does not exist.")
    if place.is_dir():
        query_path = Path(queries) if queries else _one_of(place, "queries.jsonl")
        qrels_path: Path | None = Path(qrels) if qrels else _split(place / "qrels", split)
        corpus_path: Path | None = Path(documents) if documents else _one_of(place, "corpus.jsonl")
    else:
        query_path = Path(queries) if queries else place
        qrels_path = Path(qrels) if qrels else None
        corpus_path = Path(documents) if documents else None
    corpus = JsonlDocuments(corpus_path) if corpus_path else None
    ids = corpus.ids() if corpus else None
    judged, notes = _judged(query_path, read_qrels(qrels_path) if qrels_path else None, ids)
    return Dataset(place.name, corpus, judged, tuple(notes))


def _judged(path: Path, qrels: Qrels | None, ids: set[str] | None) -> tuple[list[JudgedQuery], list[str]]:
    found: list[JudgedQuery] = []
    notes: list[str] = []
    unjudged = 0
    for query, is_judged in read_queries(path):
        relevant = query.relevant if qrels is None else qrels.get(query.id)
        if relevant is None or (qrels is None and not is_judged):
            unjudged += 1
        else:
            found.append(JudgedQuery(query.id, query.query, relevant))
    if unjudged:
        notes.append(f"{counted(unjudged, 'query').replace('querys', 'queries')} without judgments: left out.")
    if ids is not None:
        missing = sum(name not in ids for query in found for name in query.relevant)
        if missing:
            notes.append(f"{counted(missing, 'judgment')} of documents that do not exist.")
    return found, notes


def _one_of(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InvalidRequestError(f"{folder} has neither {name} nor {name}.gz, so it is not a BEIR folder.")


def _split(folder: Path, split: str | None) -> Path:
    known = {path.name.split(".")[0]: path for path in sorted(folder.glob("*.tsv*"))}
    if split is None:
        split = "test" if "test" in known or len(known) != 1 else next(iter(known))
    if split not in known:
        raise InvalidRequestError(f"{folder} has no judgments of the split {split!r}. It has: {', '.join(known)}.")
    return known[split]
