"""Metadata of whole files, from a dict, or from a JSON or CSV file."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.readers.by_file import ByFile
from late_interaction.readers.decoding import UTF_8, UnreadableFileError, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    FileMetadata: TypeAlias = Mapping[str, Mapping[str, Any]]

__all__ = ["read_file_metadata", "with_metadata"]

_RESERVED = ("source", "passage", "page", "pages", "row")  # which say where a passage is
_NAME_COLUMNS = ("source", "file", "path")


def read_file_metadata(
    given: FileMetadata | str | os.PathLike[str] | None, paths: Sequence[Path]
) -> ByFile[Mapping[str, Any]]:
    """Return the metadata of each file.

    Args:
        given: Metadata by file; or the path of a JSON file of the same, ``{"a.md": {"year": 2020}, …}``; or of a CSV
            file with the name of a file in the column ``source``, ``file`` or ``path``.
        paths: The files and folders that are read.

    Raises:
        InvalidRequestError: The file cannot be read, or the metadata cannot be stored.
    """
    if given is None:
        return ByFile({}, paths, "metadata")
    base = None
    if not isinstance(given, Mapping):
        if not isinstance(given, (str, os.PathLike)):
            raise InvalidRequestError("metadata must be a dict of dicts by file, or the path of a JSON or CSV file.")
        place = Path(given)
        base, given = place.parent, _read(place)
    return ByFile({name: _checked(name, values) for name, values in given.items()}, paths, "metadata", base=base)


def with_metadata(document: Document, metadata: Mapping[str, Any] | None) -> Document:
    """Return a passage with the metadata of its file."""
    if not metadata:
        return document
    return Document(
        document.text,
        image=document.image,
        id=document.id,
        metadata={**document.metadata, **metadata},
        encoded_text=document.encoded_text,
    )


def _read(path: Path) -> FileMetadata:
    suffix = path.suffix.lower()
    if suffix not in (".json", ".csv"):
        raise InvalidRequestError(f"metadata must be a .json or .csv file, got {path}.")
    try:
        text = read_text(path, UTF_8)
        values = json.loads(text) if suffix == ".json" else _rows(text)
    except (UnreadableFileError, ValueError, RecursionError, csv.Error) as error:
        raise InvalidRequestError(f"The metadata in {path} cannot be read: {error}.") from None
    if not isinstance(values, dict):
        raise InvalidRequestError(f"The metadata in {path} must be one object by file: " + '{"a.md": {"year": 2020}}.')
    return values


def _rows(text: str) -> dict[str, dict[str, Any]]:
    rows = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(rows, [])]
    column = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
    if column is None:
        raise ValueError(f"it has none of the columns {', '.join(_NAME_COLUMNS)} with the name of the file")
    if len(set(header)) < len(header) or not all(header):
        raise ValueError("a column has no name, or the name of another column")
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if not any(row):
            continue
        if len(row) > len(header) or len(row) <= column or not row[column]:
            raise ValueError(f"line {rows.line_num} has no name of a file, or more cells than the first line")
        if row[column] in found:
            raise ValueError(f"line {rows.line_num} names {row[column]!r} a second time")
        cells = zip(header, row, strict=False)
        found[row[column]] = {name: _value(cell) for name, cell in cells if name != header[column] and cell}
    return found


def _value(cell: str) -> str | int | float:
    """Return a number if a cell is written as Python writes that number."""
    for kind in (int, float):
        try:
            number = kind(cell)
        except ValueError:
            continue
        if str(number) == cell and cell not in ("nan", "inf", "-inf"):
            return number
    return cell


def _checked(name: str, values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise InvalidRequestError(f"metadata of {name!r} must be a dict, not {type(values).__name__}.")
    if taken := [key for key in _RESERVED if key in values]:
        raise InvalidRequestError(
            f"metadata of {name!r} has the key {taken[0]!r}, which the reader sets. Choose another name."
        )
    try:
        return Document("x", id="x", metadata=values).metadata
    except InvalidDocumentError as error:
        raise InvalidRequestError(f"metadata of {name!r}: {error}") from None
