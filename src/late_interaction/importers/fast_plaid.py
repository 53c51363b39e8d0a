"""Read an index of fast-plaid, the PLAID implementation in Rust.

::

    metadata.json                  nbits, num_chunks, num_documents, num_embeddings
    centroids.npy                  (centroids, dim) float16, or float32 after documents were added
    bucket_weights.npy             (2 ** nbits,) float32
    doclens.I.json                 numbers of tokens of the documents of chunk I
    I.codes.npy, I.residuals.npy   of chunk I: (tokens,) int64 and (tokens, dim * nbits / 8) uint8
    merged_codes.npy, merged_residuals.npy            of all chunks, followed by rows that belong to no document
    merged_codes.manifest.json, merged_residuals...   which chunks the merged files contain (since 1.5)
    metadata.db                    metadata of the documents (see `fast_plaid_metadata`)
    embeddings.npy, buffer.npy     uncompressed vectors of some documents, as pickles, for later additions

Up to version 1.6, chunks are kept beside the merged files; since 1.7, the merged files alone stay, and a chunk that has
files was changed after the last merge. So files of a chunk are preferred. Documents are numbered from 0 in the order of
the chunks; after a deletion, later ones are renumbered.
"""

from __future__ import annotations

from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.documents import Document
from late_interaction.importers.arrays import INTEGERS, read_npy
from late_interaction.importers.columns import (
    MAX_CHUNKS,
    MAX_DOCUMENT_TOKENS,
    Codec,
    Columns,
    CompressedIndex,
    read_codec,
    read_count,
)
from late_interaction.importers.fast_plaid_metadata import open_metadata
from late_interaction.importers.files import damaged, file_names, has_file, read_json
from late_interaction.importers.foreign import ForeignFormat, SourceOptions
from late_interaction.importers.given_documents import GivenDocuments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FAST_PLAID", "FastPlaidIndex"]

_UNCOMPRESSED = ("embeddings.npy", "buffer.npy")


class FastPlaidIndex(CompressedIndex):
    """An index of fast-plaid, opened for reading (a `ForeignIndex`).

    Args:
        folder: Its folder.
        options: The documents in the order of their numbers, if their texts are known.

    Raises:
        CorruptIndexError: A file is missing, damaged, or does not fit the others.
        InvalidRequestError: More or fewer documents are given.
        DuplicateIdError: Two of them have the same id.
    """

    def __init__(self, folder: Path, options: SourceOptions) -> None:
        self._folder = folder
        path = folder / "metadata.json"
        about = read_json(folder, "metadata.json", dict)
        codec = read_codec(folder, about.get("nbits"))
        self._chunks = _read_chunks(folder, read_count(path, about, "num_chunks", most=MAX_CHUNKS), codec)
        lengths = np.concatenate([np.empty(0, np.int64), *(chunk.lengths for chunk in self._chunks)])
        super().__init__(codec, lengths, np.arange(len(lengths)))
        for key, found in (("num_documents", self.documents), ("num_embeddings", self.tokens)):
            if read_count(path, about, key, default=found) != found:
                raise damaged(path, f"says {key} is {about[key]:,}, and the files of the chunks have {found:,}")
        self._metadata = open_metadata(folder, self.documents)
        self._given: GivenDocuments | None = None
        if options.documents is not None:
            self._given = GivenDocuments(options.documents, passages=self.documents, live=self.numbers)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost or unknown."""
        notes = []
        if self._given is None:
            note = (
                "fast-plaid keeps neither texts nor ids, so the documents are vectors alone, and their ids are the "
                "numbers that they have now. Pass the texts, in that order, as `documents`."
            )
            if self._folder.name == "fast_plaid_index":
                note += " The folder is a part of an index of PyLate. Import the folder above it to keep the ids."
            notes.append(note)
        if kept := [name for name in _UNCOMPRESSED if has_file(self._folder, name)]:
            notes.append(
                f"{' and '.join(kept)} may hold uncompressed vectors of some documents. They are pickles, which are "
                "never loaded, so the compressed vectors are imported."
            )
        if self._metadata is not None:
            notes.extend(self._metadata.notes)
        return tuple(notes)

    def read(self, start: int = 0) -> Iterator[tuple[Document, NDArray[np.float32]]]:
        """Yield the documents from position ``start`` on, in the order of their numbers, each with its vectors.

        Raises:
            CorruptIndexError: A code is not the number of a centroid, or the metadata is damaged.
        """
        yield from zip(self._documents(start), self._vectors(start), strict=True)

    def _vectors(self, start: int) -> Iterator[NDArray[np.float32]]:
        for chunk in self._chunks:
            yield from chunk.vectors(self._codec, np.arange(start, len(chunk.lengths)))
            start = max(0, start - len(chunk.lengths))

    def _documents(self, start: int) -> Iterator[Document]:
        values: Iterator[dict[str, Any]] = repeat({}) if self._metadata is None else self._metadata.read(start)
        documents: Iterator[Document]
        if self._given is None:
            documents = (Document("", id=str(number)) for number in self.numbers[start:].tolist())
        else:
            documents = self._given.from_position(start)
        for document in documents:
            yield document.with_metadata({**next(values), **document.metadata})


def _read_chunks(folder: Path, chunks: int, codec: Codec) -> list[Columns]:
    lengths = [_read_lengths(folder, f"doclens.{chunk}.json") for chunk in range(chunks)]
    rows = [int(one.sum()) for one in lengths]
    codes = _Payload(folder, "codes", rows, INTEGERS, ())
    residuals = _Payload(folder, "residuals", rows, ("uint8",), (codec.dim * codec.nbits // 8,))

    def columns(chunk: int) -> Columns:
        def read() -> tuple[NDArray[Any], NDArray[Any]]:
            return codes.read(chunk), residuals.read(chunk)

        read()  # the files are there, and have the vectors of all tokens
        return Columns(lengths[chunk], codes.file(chunk), residuals.file(chunk), read)

    return [columns(chunk) for chunk in range(chunks)]


def _read_lengths(folder: Path, name: str) -> NDArray[np.int64]:
    values = read_json(folder, name, list)
    if any(type(value) is not int or not 0 <= value < MAX_DOCUMENT_TOKENS for value in values):
        raise damaged(folder / name, "must contain the numbers of tokens of documents")
    return np.array(values, np.int64)


class _Payload:
    """The codes, or the residuals, of all chunks: in files of their own or in the merged file.

    Args:
        folder: The folder of the index.
        name: ``codes`` or ``residuals``.
        rows: The number of tokens of each chunk.
        dtypes: Names of the types that the file may have.
        row: The shape of a row.
    """

    def __init__(self, folder: Path, name: str, rows: list[int], dtypes: Sequence[str], row: tuple[int, ...]) -> None:
        self._folder = folder
        self._name = name
        self._rows = rows
        self._dtypes = dtypes
        self._row = row
        self._merged_name = f"merged_{name}.npy"
        self._merged_rows = self._rows_of_merged()
        self._offsets = [0, *accumulate(self._merged_rows)]

    def file(self, chunk: int) -> Path:
        """Return the file of a chunk."""
        name = f"{chunk}.{self._name}.npy"
        return self._folder / (name if has_file(self._folder, name) else self._merged_name)

    def read(self, chunk: int) -> NDArray[Any]:
        """Return the array of a chunk."""
        name, rows = f"{chunk}.{self._name}.npy", self._rows[chunk]
        if not rows:  # all its documents were deleted, or have no tokens: there may be no file
            return np.empty((0, *self._row), self._dtypes[0])
        if has_file(self._folder, name):
            return read_npy(self._folder, name, dtypes=self._dtypes, shape=(rows, *self._row))
        merged = read_npy(self._folder, self._merged_name, dtypes=self._dtypes, shape=(None, *self._row))
        start = self._offsets[chunk]
        if self._merged_rows[chunk] != rows or start + rows > len(merged):
            raise damaged(
                self._folder / self._merged_name,
                f"does not have the {rows:,} tokens of chunk {chunk} that doclens.{chunk}.json claims",
            )
        return merged[start : start + rows]

    def _rows_of_merged(self) -> list[int]:
        """Return how many rows the merged file has of each chunk, in the order of the chunks."""
        name = f"merged_{self._name}.manifest.json"
        if not has_file(self._folder, name):  # before 1.5, or lost: all chunks, as they are
            return list(self._rows)
        manifest = read_json(self._folder, name, dict)
        rows = []
        for chunk in range(len(self._rows)):
            entry = manifest.get(f"{chunk}.{self._name}.npy", {})
            if not isinstance(entry, dict):
                raise damaged(self._folder / name, f"must have an object for chunk {chunk}, got {entry!r:.80}")
            rows.append(read_count(self._folder / name, entry, "rows", default=0))
        return rows


def _matches(folder: Path) -> bool:
    names = set(file_names(folder))
    return {"metadata.json", "centroids.npy", "bucket_weights.npy", "doclens.0.json"} <= names


FAST_PLAID = ForeignFormat(
    "fast-plaid",
    _matches,
    FastPlaidIndex,
    "metadata.json, centroids.npy, bucket_weights.npy and doclens.0.json",
)
"""The format of fast-plaid."""
