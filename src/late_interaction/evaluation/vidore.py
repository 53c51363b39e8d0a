"""Read ViDoRe's benchmarks of pages: tables of a corpus, queries and judgments, or one table of pages with queries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import ImageUnavailableError, InvalidDocumentError, InvalidRequestError
from late_interaction.evaluation.assembling import assembled
from late_interaction.evaluation.corpora import StreamedDocuments
from late_interaction.evaluation.dataset import JudgedQuery
from late_interaction.evaluation.parquet import columns_of, read_rows
from late_interaction.evaluation.queries import as_id
from late_interaction.evaluation.splits import chosen_split
from late_interaction.images.pictures import from_bytes
from late_interaction.validation import check_query

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from late_interaction.evaluation.dataset import Dataset
    from late_interaction.evaluation.judgments import Qrels
    from late_interaction.evaluation.parquet import Row

__all__ = ["is_vidore", "read_vidore"]

_PARTS = ("corpus", "queries", "qrels")
_FILE = re.compile(r"(.+?)(?:-\d+-of-\d+)?\.parquet")
_PAGES_AT_A_TIME = 8
_ROWS_AT_A_TIME = 1024
_PAGE_COLUMNS = ("image_filename", "docId", "page", "source")  # of version 1, whose other columns are about the query
_METADATA_TYPES = re.compile(r"(large_)?string|u?int\d+|float|double|bool")


def is_vidore(place: Path) -> bool:
    """Return whether a file is a table, or a folder has tables and no JSONL."""
    if place.is_dir() and any(place.glob("*.jsonl*")):
        return False
    return any(True for _ in _tables(place)) or (place.is_dir() and all(_files(place / part) for part in _PARTS))


def read_vidore(place: Path, split: str | None) -> Dataset:
    """Return a benchmark of ViDoRe: a folder with the tables corpus, queries and qrels, or a table of pages.

    Columns are ``corpus-id``, ``image``, ``query-id``, ``query`` and ``score``, also with underscores; other columns of
    the corpus become metadata, and ``markdown`` the text of the page. In a table of pages they are ``image``,
    ``image_filename`` (the id of the page), and ``query``, which is null if the page answers none.

    Raises:
        InvalidRequestError: A file or column is missing, or a row is invalid. The message names the file and row.
        InvalidDocumentError: A page cannot be read, or two have the same id.
        OptionalDependencyError: pyarrow is not installed.
    """
    tables = list(_tables(place))
    if tables:
        return _read_pages(place, tables if place.is_file() else chosen_split(_splits(tables), split, place))
    return _read_parts(place, split)


def _read_parts(folder: Path, split: str | None) -> Dataset:
    corpus, queries, judgments = (chosen_split(_splits(_files(folder / part)), split, folder / part) for part in _PARTS)
    ids = _unique_ids(corpus, _column(corpus[0], "corpus-id"))
    qrels: Qrels = {}
    for row, query, document, score in _rows_of(judgments, "query-id", "corpus-id", "score"):
        name = _id(row, query)
        if isinstance(score, bool) or not isinstance(score, (int, float)):
            raise InvalidRequestError(f"{row.where()}: the score must be a number, got {score!r:.80}.")
        if qrels.setdefault(name, {}).setdefault(_id(row, document), float(score)) != score:
            raise InvalidRequestError(f"{row.where()}: page {document!r} has two scores for query {query!r}.")
    found: dict[str, JudgedQuery] = {}
    for row, query, text in _rows_of(queries, "query-id", "query"):
        name = _id(row, query)
        if name in found:
            raise InvalidRequestError(f"{row.where()}: the query id {name!r} occurs twice.")
        found[name] = JudgedQuery(name, _text(row, text))
    documents = StreamedDocuments(lambda: _corpus(corpus), len(ids))
    return assembled(folder.name, ((query, False) for query in found.values()), qrels, documents, ids)


def _corpus(files: Sequence[Path]) -> Iterator[Document]:
    for path in files:
        columns = columns_of(path)
        name, text = _column(path, "corpus-id"), "markdown" if "markdown" in columns else None
        kept = [key for key, kind in columns.items() if key not in (name, text) and _METADATA_TYPES.fullmatch(kind)]
        for row in read_rows(path, [name, "image", *kept, *([text] if text else [])], at_a_time=_PAGES_AT_A_TIME):
            yield _page(row, _id(row, row.values[name]), row.values.get(text or ""), kept)


def _read_pages(place: Path, files: Sequence[Path]) -> Dataset:
    relevant: dict[str, dict[str, float]] = {}
    names: set[str] = set()
    for row, name, query in _pages_with_queries(files):
        names.add(name)
        if query is not None:
            relevant.setdefault(_text(row, query), {})[name] = 1.0
    queries = (
        (JudgedQuery(str(number), query, pages), True)
        for number, (query, pages) in enumerate(relevant.items(), start=1)
    )
    documents = StreamedDocuments(lambda: _pages(files), len(names))
    return assembled(place.stem, queries, None, documents, names)


def _pages_with_queries(files: Sequence[Path]) -> Iterator[tuple[Row, str, object]]:
    for path in files:
        known = [name for name in ("image_filename", "query") if name in columns_of(path)]
        for row in read_rows(path, known, at_a_time=_ROWS_AT_A_TIME):
            yield row, _page_name(row), row.values.get("query")


def _pages(files: Sequence[Path]) -> Iterator[Document]:
    """Yield each page once, though several rows may have it, one for each of its queries."""
    seen: set[str] = set()
    for path in files:
        kept = [name for name in _PAGE_COLUMNS if name in columns_of(path)]
        for row in read_rows(path, [_column(path, "image"), *kept], at_a_time=_PAGES_AT_A_TIME):
            name = _page_name(row)
            if name not in seen:
                seen.add(name)
                yield _page(row, name, None, kept)


def _page_name(row: Row) -> str:
    """Return the id of a page: the name of its image, or the number of its row."""
    name = row.values.get("image_filename")
    return _id(row, f"{row.path.stem}#{row.number}" if name is None else name)


def _page(row: Row, name: str, text: object, kept: Sequence[str]) -> Document:
    image = row.values["image"]
    data = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(data, bytes):
        raise InvalidDocumentError(
            f"{row.where()}: the image has no bytes. Images that are files beside a table are not opened."
        )
    values = {key: row.values[key] for key in kept if row.values[key] is not None}
    metadata = {key: value for key, value in values.items() if value == value}  # not NaN, as of pandas
    try:
        return Document(text or None, image=from_bytes(data), id=name, metadata=metadata)  # type: ignore[arg-type]
    except (ImageUnavailableError, InvalidDocumentError) as error:
        raise InvalidDocumentError(f"{row.where()}: {error}") from None


def _unique_ids(files: Sequence[Path], column: str) -> set[str]:
    ids: set[str] = set()
    for path in files:
        for row in read_rows(path, [column], at_a_time=_ROWS_AT_A_TIME):
            name = _id(row, row.values[column])
            if name in ids:
                raise InvalidDocumentError(f"{row.where()}: the page id {name!r} occurs twice.")
            ids.add(name)
    return ids


def _rows_of(files: Sequence[Path], *names: str) -> Iterator[tuple[Any, ...]]:
    """Yield each row, and its values in the columns with these names."""
    for path in files:
        columns = [_column(path, name) for name in names]
        for row in read_rows(path, columns, at_a_time=_ROWS_AT_A_TIME):
            yield row, *(row.values[column] for column in columns)


def _column(path: Path, name: str) -> str:
    columns = columns_of(path)
    for known in (name, name.replace("-", "_")):
        if known in columns:
            return known
    raise InvalidRequestError(f"{path} has no column {name!r}. It has {', '.join(columns)}.")


def _id(row: Row, value: object) -> str:
    try:
        return as_id(value, "id")
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{row.where()}: {error}") from None


def _text(row: Row, value: object) -> str:
    try:
        return check_query(value)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{row.where()}: {error}") from None


def _tables(place: Path) -> Iterator[Path]:
    """Yield the files of a table of pages."""
    if place.is_dir():
        yield from _files(place) or _files(place / "data")
    elif place.suffix.lower() == ".parquet":
        yield place


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.parquet") if path.is_file())


def _splits(files: Sequence[Path]) -> dict[str, list[Path]]:
    splits: dict[str, list[Path]] = {}
    for path in files:
        match = _FILE.fullmatch(path.name)
        splits.setdefault(match[1] if match else path.stem, []).append(path)
    return splits
