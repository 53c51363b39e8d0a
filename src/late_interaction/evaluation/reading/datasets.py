"""Read a test collection: a folder of BEIR or ViDoRe, or files of queries, judgments and documents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.reading.assembling import assembled
from late_interaction.evaluation.reading.corpora import JsonlDocuments, StreamedDocuments
from late_interaction.evaluation.reading.judgments import read_qrels
from late_interaction.evaluation.reading.queries import read_queries
from late_interaction.evaluation.reading.splits import chosen_split
from late_interaction.evaluation.reading.vidore import is_vidore, read_vidore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from late_interaction.evaluation.dataset import Dataset

__all__ = ["read_dataset"]

_KINDS = (
    "A folder must have queries.jsonl, qrels/test.tsv and corpus.jsonl (BEIR; corpus and queries may end in .gz), or "
    "parquet files, in the folders corpus, queries and qrels or alone (ViDoRe)."
)


def read_dataset(
    source: str | os.PathLike[str],
    *,
    documents: str | os.PathLike[str] | None = None,
    queries: str | os.PathLike[str] | None = None,
    qrels: str | os.PathLike[str] | None = None,
    split: str | None = None,
) -> Dataset:
    """Return the test collection in a folder or in files. Documents are not held in memory.

    What is read, by ``source``:

    - **BEIR**: a folder with ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/test.tsv``. Without the latter, queries
      have ``relevant`` as below.
    - **JSONL**: a file with ``{"query": …, "relevant": id, [ids] or {id: grade}}`` in each line, and ``documents``.
    - **TREC**: a file of queries (an id, a tab and the text in each line), ``qrels`` of 4 columns, and ``documents``.
    - **ViDoRe**: a folder of parquet files, with pages as images, in the folders ``corpus``, ``queries`` and ``qrels``
      (version 2 on); or one table, where each row has a page, and perhaps a query that it answers (version 1).

    Ids that are integers become their decimal digits. All lines are checked, those of documents too. Queries without
    judgments are left out. `Dataset.notes` says so, and how many judgments have no document.

    Args:
        source: The folder, or the file of queries.
        documents: A JSONL file with the documents, as BEIR's or as `late_interaction.readers.read_jsonl` reads it,
            instead of those of the folder. Not needed if they are in an index.
        queries: A file of queries, instead of those of the folder.
        qrels: A file of judgments of BEIR or TREC, instead of those of the folder.
        split: Which split of a folder; by default ``test``, or the only one.

    Raises:
        InvalidRequestError: A file is missing, or a line is malformed. The message names the file and line.
        InvalidDocumentError: A document is malformed, or two have the same id.
        OptionalDependencyError: The source has parquet files, and pyarrow is not installed.

    Example:
        >>> _ = (tmp / "queries.jsonl").write_text('{"query": "capital of France", "relevant": "paris"}')
        >>> dataset = read_dataset(tmp / "queries.jsonl")
        >>> dataset.queries
        [JudgedQuery(id='1', query='capital of France', relevant={'paris': 1.0})]
    """
    place = _path(source, "source")
    given = {"documents": documents, "queries": queries, "qrels": qrels}
    paths = {name: _path(path, name) for name, path in given.items() if path is not None}
    if not place.exists():
        raise InvalidRequestError(f"{place} does not exist.")
    name = Path(os.path.abspath(place)).name  # noqa: PTH100  # resolve() would follow links
    if is_vidore(place):
        if paths:
            raise InvalidRequestError(f"{place} has its own documents, queries and judgments: pass no {min(paths)}.")
        return read_vidore(name, place, split)
    if place.is_dir():
        return _read(name, {**_beir_paths(place, paths, split), **paths})
    if split is not None:
        raise InvalidRequestError(f"{place} is a file, so it has no split {split!r}.")
    return _read(name, {"queries": place, **paths})


def _read(name: str, paths: Mapping[str, Path]) -> Dataset:
    documents = ids = None
    if "documents" in paths:
        corpus = JsonlDocuments(paths["documents"])
        ids = corpus.ids()
        documents = StreamedDocuments(corpus.__iter__, len(ids))
    qrels = read_qrels(paths["qrels"]) if "qrels" in paths else None
    queries = ((query, is_judged) for _, query, is_judged in read_queries(paths["queries"]))
    return assembled(name, queries, qrels, documents, ids)


def _beir_paths(folder: Path, given: Mapping[str, Path], split: str | None) -> dict[str, Path]:
    """Return the paths of the files of a folder that were not given otherwise."""
    found = {}
    for what, name in (("queries", "queries.jsonl"), ("documents", "corpus.jsonl")):
        files = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
        if files:
            found[what] = files[0]
        elif what == "queries" and what not in given:
            raise InvalidRequestError(f"{folder} has no {name}, plain or compressed. {_KINDS}")
    judgments = folder / "qrels"
    if "qrels" not in given:
        files = sorted(judgments.glob("*.tsv")) + sorted(judgments.glob("*.tsv.gz"))
        if files or split is not None:
            found["qrels"] = chosen_split({path.name.partition(".tsv")[0]: path for path in files}, split, judgments)
    elif split is not None:
        raise InvalidRequestError(f"Pass split={split!r} or qrels, not both: each says which judgments are read.")
    return found


def _path(path: object, name: str) -> Path:
    try:
        return Path(path)  # type: ignore[arg-type]  # what it refuses is explained
    except TypeError:
        raise InvalidRequestError(f"{name} must be a path, not {type(path).__name__}.") from None
