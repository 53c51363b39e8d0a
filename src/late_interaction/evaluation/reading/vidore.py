"""Read ViDoRe's benchmarks of pages: tables of a corpus, queries and judgments, or one table of pages with queries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from late_interaction.documents import Document
from late_interaction.errors import ImageUnavailableError, InvalidDocumentError, InvalidRequestError
from late_interaction.evaluation.dataset import JudgedQuery
from late_interaction.evaluation.reading.assembling import assembled
from late_interaction.evaluation.reading.corpora import StreamedDocuments
from late_interaction.evaluation.reading.parquet import columns_of, read_rows
from late_interaction.evaluation.reading.queries import as_grade, as_id, as_text
from late_interaction.evaluation.reading.splits import chosen_split
from late_interaction.images.pictures import from_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from late_interaction.evaluation.dataset import Dataset
    from late_interaction.evaluation.reading.judgments import Qrels
    from late_interaction.evaluation.reading.parquet import Row

__all__ = ["is_vidore", "read_vidore"]

_Value = TypeVar("_Value")

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


def read_vidore(name: str, place: Path, split: str | None) -> Dataset:
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
        return _read_pages(name, tables if place.is_file() else chosen_split(_splits(tables), split, place))
    return _read_parts(name, place, split)


def _read_parts(name: str, folder: Path, split: str | None) -> Dataset:
    corpus, queries, judgments = (chosen_split(_splits(_files(folder / part)), split, folder / part) for part in _PARTS)
    ids = _unique_ids(corpus)
    qrels: Qrels = {}
    for row, query, page, score in _rows_of(judgments, "query-id", "corpus-id", "score"):
        query_id, page_id = _checked(row, as_id, query, "query-id"), _checked(row, as_id, page, "corpus-id")
        grade = _checked(row, as_grade, score)
        if qrels.setdefault(query_id, {}).setdefault(page_id, grade) != grade:
            raise InvalidRequestError(f"{row.where()}: page {page_id!r} has two scores for query {query_id!r}.")
    found: dict[str, JudgedQuery] = {}
    for row, query, text in _rows_of(queries, "query-id", "query"):
        query_id = _checked(row, as_id, query, "id")
        if query_id in found:
            raise InvalidRequestError(f"{row.where()}: the query id {query_id!r} occurs twice.")
        found[query_id] = JudgedQuery(query_id, _checked(row, as_text, text))
    documents = StreamedDocuments(lambda: _corpus(corpus), len(ids))
    return assembled(name, ((query, False) for query in found.values()), qrels, documents, ids)


def _corpus(files: Sequence[Path]) -> Iterator[Document]:
    for path in files:
        columns = columns_of(path)
        key, texts = _column(path, "corpus-id"), [name for name in ("markdown",) if name in columns]
        kept = [name for name, kind in columns.items() if name not in (key, *texts) and _METADATA_TYPES.fullmatch(kind)]
        for row in read_rows(path, [key, _column(path, "image"), *texts, *kept], at_a_time=_PAGES_AT_A_TIME):
            yield _page(row, _checked(row, as_id, row.values[key], "id"), row.values.get("markdown"), kept)


def _read_pages(name: str, files: Sequence[Path]) -> Dataset:
    relevant: dict[str, dict[str, float]] = {}
    ids: set[str] = set()
    for row, page_id, query in _pages_with_queries(files):
        ids.add(page_id)
        if query is not None:
            relevant.setdefault(_checked(row, as_text, query), {})[page_id] = 1.0
    queries = (
        (JudgedQuery(str(number), query, pages), True)
        for number, (query, pages) in enumerate(relevant.items(), start=1)
    )
    return assembled(name, queries, None, StreamedDocuments(lambda: _pages(files), len(ids)), ids)


def _pages_with_queries(files: Sequence[Path]) -> Iterator[tuple[Row, str, object]]:
    for path in files:
        _column(path, "image")
        known = [name for name in ("image_filename", "query") if name in columns_of(path)]
        for row in read_rows(path, known, at_a_time=_ROWS_AT_A_TIME):
            yield row, _page_id(row), row.values.get("query")


def _pages(files: Sequence[Path]) -> Iterator[Document]:
    """Yield each page once, though several rows may have it, one for each of its queries."""
    seen: set[str] = set()
    for path in files:
        kept = [name for name in _PAGE_COLUMNS if name in columns_of(path)]
        for row in read_rows(path, [_column(path, "image"), *kept], at_a_time=_PAGES_AT_A_TIME):
            page_id = _page_id(row)
            if page_id not in seen:
                seen.add(page_id)
                yield _page(row, page_id, None, kept)


def _page_id(row: Row) -> str:
    """Return the id of a page: the name of its image, or the number of its row."""
    name = row.values.get("image_filename")
    return _checked(row, as_id, f"{row.path.stem}#{row.number}" if name is None else name, "id")


def _page(row: Row, page_id: str, text: object, kept: Sequence[str]) -> Document:
    image = row.values["image"]
    data = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(data, bytes):
        raise InvalidDocumentError(
            f"{row.where()}: the image has no bytes. Images that are files beside a table are not opened."
        )
    values = {key: row.values[key] for key in kept if row.values[key] is not None}
    metadata = {key: value for key, value in values.items() if value == value}  # not NaN, as of pandas
    try:
        return Document(text or None, image=from_bytes(data), id=page_id, metadata=metadata)  # type: ignore[arg-type]
    except (ImageUnavailableError, InvalidDocumentError) as error:
        raise InvalidDocumentError(f"{row.where()}: {error}") from None


def _unique_ids(files: Sequence[Path]) -> set[str]:
    ids: set[str] = set()
    for path in files:
        _column(path, "image")
    for row, value in _rows_of(files, "corpus-id"):
        page_id = _checked(row, as_id, value, "id")
        if page_id in ids:
            raise InvalidDocumentError(f"{row.where()}: the page id {page_id!r} occurs twice.")
        ids.add(page_id)
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


def _checked(row: Row, check: Callable[..., _Value], *arguments: object) -> _Value:
    """Return what a check returns; its error names the row.

    Raises:
        InvalidRequestError: The check raises it.
    """
    try:
        return check(*arguments)
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
