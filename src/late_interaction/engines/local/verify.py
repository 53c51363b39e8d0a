"""Check everything that an index stores, for `LocalEngine.verify`.

Each check is a generator of problems, which reads rows and files as streams: memory does not grow with the index.
"""

from __future__ import annotations

from contextlib import closing
from itertools import groupby, islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.local.catalog.word_checks import word_problems
from late_interaction.engines.local.recovery import lost_commits_problem, set_aside_problems
from late_interaction.engines.local.storage.columns import ColumnsMissingError
from late_interaction.engines.local.storage.files import LAST_COMMIT, SET_ASIDE, disk_errors, is_name
from late_interaction.engines.local.storage.last_commit import read_last_commit
from late_interaction.engines.local.storage.segment import CompressedSegment
from late_interaction.errors import CorruptIndexError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from late_interaction.engines.local.catalog.database import Catalog
    from late_interaction.engines.local.catalog.reader import Reader
    from late_interaction.engines.local.snapshot import Snapshot

    State = tuple[Reader, Snapshot]

__all__ = ["verify"]

_MAX_PROBLEMS = 1000
_MAX_ATTEMPTS = 8  # another process may replace segments while their files are read, rarely twice


def verify(catalog: Catalog, reading: Callable[[], AbstractContextManager[State]]) -> tuple[str, ...]:
    """Return what is wrong with an index: one sentence for each problem, at most 1,000 of each part and a remark.

    Args:
        catalog: The catalog of the index.
        reading: Gives the rows and the segments of the last commit.
    """
    log = _first(_log_problems(catalog))
    problems = _first(_catalog_problems(catalog))
    return (*log, *(problems or _checked_state(reading)))  # a damaged catalog says nothing about segments


def _checked_state(reading: Callable[[], AbstractContextManager[State]]) -> tuple[str, ...]:
    for _ in range(_MAX_ATTEMPTS - 1):
        try:
            return _first(_state_problems(reading))
        except ColumnsMissingError:
            continue
    try:
        return _first(_state_problems(reading))
    except ColumnsMissingError as error:
        return (str(error),)


def _first(problems: Generator[str, None, None]) -> tuple[str, ...]:
    """Return the first problems, at most 1,000 and a remark. An error of this package is the last one."""
    found: list[str] = []
    try:
        with closing(problems):
            found += islice(problems, _MAX_PROBLEMS)
            if next(problems, None) is not None:
                found.append("There are more problems, which are not listed.")
    except ColumnsMissingError:
        raise
    except (CorruptIndexError, StorageError) as error:
        found.append(str(error))
    return tuple(found)


def _log_problems(catalog: Catalog) -> Generator[str, None, None]:
    """Check that no commit was lost with the log, now or earlier."""
    root = catalog.path.parent
    with disk_errors(root):
        last_commit, is_sound = read_last_commit(root)  # before the catalog, which may change meanwhile
    with catalog.reading() as reader:
        generation = reader.generation
    if not is_sound:
        yield f"{root / LAST_COMMIT} is damaged. The next commit writes it again."
    if last_commit is not None and last_commit > generation:
        yield lost_commits_problem(root, last_commit, generation)
    with disk_errors(root / SET_ASIDE):
        yield from set_aside_problems(root)


def _catalog_problems(catalog: Catalog) -> Generator[str, None, None]:
    """Check the database file."""
    yield from catalog.integrity_problems()
    with catalog.reading() as reader:
        reader.check_schema(catalog.path)
        reader.settings(all_of_them=True)
        yield from _type_problems(reader)


def _state_problems(reading: Callable[[], AbstractContextManager[State]]) -> Generator[str, None, None]:
    """Check the rows of the last commit and the files that they name."""
    with reading() as (reader, snapshot):
        for folder in snapshot.folders:
            problems = folder.problems()
            yield from problems
            if isinstance(folder, CompressedSegment) and not problems:  # kernels do not check damaged columns
                yield from folder.posting_problems()
        yield from _place_problems(reader, snapshot)
        yield from _document_problems(reader)
        yield from word_problems(reader)


def _type_problems(reader: Reader) -> Iterator[str]:
    """Check that numbers are integers: SQLite stores values of any type in any column."""
    columns = {
        "segments": ("segment", "documents", "tokens"),
        "segment_files": ("segment", "size", "checksum"),
        "tombstones": ("segment", "position"),
        "documents": ("row", "segment", "position"),
        "fields": ("kind", "is_element", "document"),
    }
    for table, names in columns.items():
        wrong_types = " OR ".join(f"typeof({name}) <> 'integer'" for name in names)
        (count,) = reader.connection.execute(f"SELECT count(*) FROM {table} WHERE {wrong_types}").fetchone()
        if count:
            yield f"{count} rows of the table {table} of the catalog have other values than integers in {names}."
    if reader.has_spare_names:
        for name, is_retired in reader.connection.execute("SELECT name, is_retired FROM spare_names"):
            if not is_name(name) or type(is_retired) is not int or is_retired not in (0, 1):
                yield f"The catalog lists {name!r:.80} as a directory to remove, which no release writes."


def _place_problems(reader: Reader, snapshot: Snapshot) -> Iterator[str]:
    """Check that each position of a segment belongs to a document or to a deleted one, and not to both."""
    named = "SELECT DISTINCT segment FROM documents"
    for (number,) in reader.connection.execute(named).fetchall():
        if number not in snapshot.segments:
            yield f"The catalog has documents in the segment {number}, which does not exist."
    for number, live in snapshot.live_positions.items():
        query = "SELECT position FROM documents WHERE segment = ? ORDER BY position"
        rows = reader.connection.execute(query, (number,))
        stored = np.fromiter((position for (position,) in rows), np.int64)
        for position in np.setdiff1d(stored, live, assume_unique=True):
            yield f"The document at ({number}, {position}) of the catalog has no vectors."
        for position in np.setdiff1d(live, stored, assume_unique=True):
            yield f"The vectors at ({number}, {position}) belong to no document."


def _document_problems(reader: Reader) -> Iterator[str]:
    """Check each document against its checksum, and the values that filters find against its metadata."""
    fields = groupby(reader.field_rows(), key=itemgetter(0))
    number, rows = next(fields, (None, None))
    for row, stored in reader.document_rows():
        while number is not None and number < row:
            yield f"Filters find metadata of a document that does not exist (row {number})."
            number, rows = next(fields, (None, None))
        found: set[Any] = set()
        if number == row and rows is not None:
            found = {field for _, *values in rows for field in [tuple(values)]}
            number, rows = next(fields, (None, None))
        try:
            document = stored.document()
        except CorruptIndexError as error:
            yield str(error)
            continue
        if found != set(reader.expected_fields(document.metadata)):
            yield f"The values that filters find for the document {document.id!r:.200} differ from its metadata."
    if number is not None:
        yield f"Filters find metadata of documents that do not exist (from row {number})."
