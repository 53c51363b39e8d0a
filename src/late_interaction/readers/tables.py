"""Read the rows of CSV and TSV files as passages, each cell with the name of its column."""

from __future__ import annotations

import csv
import threading
from pathlib import PurePath
from typing import TYPE_CHECKING

from late_interaction.documents import Document
from late_interaction.readers.blocks import Block
from late_interaction.readers.decoding import (
    MARK_BYTES,
    UTF_8,
    UnreadableFileError,
    describe,
    marked_encoding,
    nuls,
    undecodable,
)
from late_interaction.readers.passages import pack_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from late_interaction.readers.options import ReadOptions

__all__ = ["read_table_file"]

_MAX_HEADER_CHARS = 1 << 16  # in which the delimiter is looked for
_DELIMITERS = ",;\t|"
_MAX_CELL_CHARS = 1 << 24  # in memory, if a quote is not closed
_limit_lock = threading.Lock()


def read_table_file(path: Path, source: str, options: ReadOptions) -> Iterator[Document]:
    """Yield the rows of a table, whose first row has the names of the columns. One row is in memory at a time.

    Raises:
        UnreadableFileError: The file cannot be opened, is not text in the encoding, or has malformed rows.
    """
    title = " ".join(PurePath(source).stem.split())
    number = row = 0
    try:
        for row, cells in _rows(path, options.encoding):
            text = "\n".join(line for name, value in cells for line in _lines(f"{name}: ", value, options.max_chars))
            for passage in pack_blocks([Block(text, verbatim=True)], options.max_chars):
                metadata: dict[str, str | int] = {"source": source, "passage": number, "row": row}
                if title:
                    metadata["title"] = title
                encoded_text = f"{title}\n{passage}" if title else None
                yield Document(passage, id=f"{source}#{number}", metadata=metadata, encoded_text=encoded_text)
                number += 1
    except UnreadableFileError as error:
        raise UnreadableFileError(f"{error}; it was read up to row {row}" if number else str(error)) from None


def _rows(path: Path, chosen: str | None) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    """Yield each row that is not blank: its number from 1 below the header, and the name and value of its cells."""
    encoding = chosen or UTF_8
    try:
        with path.open("rb") as content:
            encoding = marked_encoding(content.read(MARK_BYTES)) or encoding
        with path.open(encoding=encoding, newline="") as file:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(file.readline(_MAX_HEADER_CHARS))
            file.seek(0)
            rows = _with_long_cells(csv.reader(file, delimiter=delimiter))
            columns = [" ".join(name.split()) for name in next(rows, [])]
            for number, row in enumerate(rows, start=1):
                if any("\0" in value for value in row):
                    raise nuls(chosen)
                cells = [(_name(columns, at), " ".join(value.split())) for at, value in enumerate(row) if value.strip()]
                if cells:
                    yield number, cells
    except csv.Error as error:
        raise UnreadableFileError(f"it is not a table of values: {error}") from None
    except UnicodeError as error:
        raise undecodable(error, encoding, is_chosen=chosen is not None) from None
    except OSError as error:
        raise UnreadableFileError(describe(error)) from None


def _with_long_cells(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yield the rows of a CSV reader. The limit for cells is one of the process, so it is changed only meanwhile."""
    while True:
        with _limit_lock:
            limit = csv.field_size_limit(_MAX_CELL_CHARS)
            try:
                row = next(rows, None)
            finally:
                csv.field_size_limit(limit)
        if row is None:
            return
        yield row


def _delimiter(line: str) -> str:
    """Return the most frequent delimiter in the first line, outside of quotes; a comma if there is none."""
    bare = "".join(line.split('"')[::2])
    return max(_DELIMITERS, key=bare.count)


def _name(columns: list[str], at: int) -> str:
    return columns[at] if at < len(columns) and columns[at] else f"column {at + 1}"


def _lines(label: str, value: str, max_chars: int) -> Iterator[str]:
    """Yield a cell in a line; one that is too long in several with the same label, unless it fills half a passage."""
    room = max_chars - len(label)
    parts = [value] if len(value) <= room or room < max_chars // 2 else pack_blocks([Block(value)], room)
    for part in parts:
        yield f"{label}{part}"
