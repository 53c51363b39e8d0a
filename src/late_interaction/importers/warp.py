"""Read an index of xtr-warp-rs, the WARP engine in Rust.

::

    metadata.json            nbits, num_chunks, num_passages, num_embeddings, next_passage_id
    centroids.npy            (centroids, dim) float16 or float32
    bucket_weights.npy       (2 ** nbits,) float32
    doclens.I.npy            numbers of tokens of the passages of chunk I
    I.passage_ids.npy        numbers of these passages (since 1.0; before, from 0 without gaps)
    I.codes.npy, I.residuals.npy       of chunk I: (tokens,) and (tokens, dim * nbits / 8) uint8
    deleted_pids.npy         numbers of passages that were deleted since the last compaction
    codes.compacted.npy, sizes.compacted.npy, residuals.compacted.npy     what is searched: the tokens by centroid, with
                             the number of the passage of each
    metadata.duckdb          metadata of the passages

The chunks are read, since they keep the order of tokens. An updated passage is in a later chunk again; its earlier
vectors stay where they were, and ``compact()`` of version 2.1 brings them back into what is searched. So the last chunk
counts, and the compacted files are compared with it.

XTR-WARP of 2025, in Python and C++, is another engine: its index is one of colbert-ai, which is read as such, beside
compacted files ending in ``.compacted.pt``. A folder with these alone is not recognized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.documents import Document
from late_interaction.importers.arrays import INTEGERS, read_npy
from late_interaction.importers.columns import (
    MAX_CHUNKS,
    MAX_DOCUMENT_TOKENS,
    Columns,
    CompressedIndex,
    read_codec,
    read_count,
    read_integers,
)
from late_interaction.importers.files import damaged, file_names, has_file, read_json
from late_interaction.importers.foreign import ForeignFormat, SourceOptions
from late_interaction.importers.given_documents import GivenDocuments
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from late_interaction.importers.columns import Codec

__all__ = ["WARP", "WarpIndex"]

_MAX_PASSAGES = 2**31
_BLOCK_TOKENS = 2**20


class WarpIndex(CompressedIndex):
    """An index of xtr-warp-rs, opened for reading (a `ForeignIndex`). Deleted passages are left out.

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
        chunks = range(read_count(path, about, "num_chunks", most=MAX_CHUNKS))
        self._chunks = [_read_chunk(folder, chunk, codec) for chunk in chunks]
        lengths = np.concatenate([np.empty(0, np.int64), *(chunk.lengths for chunk in self._chunks)])
        numbers = _read_numbers(folder, self._chunks)
        self._rows, self._restored = _current_rows(folder, numbers, lengths)
        super().__init__(codec, lengths[self._rows], numbers[self._rows])
        passages = read_count(path, about, "next_passage_id", default=int(numbers.max(initial=-1)) + 1)
        if len(self._rows) and int(self.numbers[-1]) >= passages:
            raise damaged(path, f"says that the next passage is {passages:,}, and there is one of {self.numbers[-1]:,}")
        self._given: GivenDocuments | None = None
        if options.documents is not None:
            self._given = GivenDocuments(options.documents, passages=passages, live=self.numbers)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost or unknown."""
        notes = []
        if self._given is None:
            notes.append(
                "xtr-warp-rs keeps neither texts nor ids, so the documents are vectors alone, and their ids are the "
                "numbers of the passages. Pass the texts as `documents`."
            )
        notes.append(
            "The vectors are normalized, as the encoder's are. xtr-warp-rs searches them as they are decompressed, so "
            "its scores differ."
        )
        if has_file(self._folder, "metadata.duckdb"):
            notes.append("Left out: metadata.duckdb, which only DuckDB reads. Pass metadata with the `documents`.")
        if self._restored:
            notes.append(
                f"{counted(self._restored, 'passage')} had been updated, and a compaction of xtr-warp-rs brought the "
                "earlier vectors back. The current vectors alone are imported."
            )
        return tuple(notes)

    def read(self, start: int = 0) -> Iterator[tuple[Document, NDArray[np.float32]]]:
        """Yield the passages from position ``start`` on, in the order of their numbers, each with its vectors.

        Raises:
            CorruptIndexError: A code is not the number of a centroid.
        """
        documents: Iterator[Document]
        if self._given is None:
            documents = (Document("", id=str(number)) for number in self.numbers[start:].tolist())
        else:
            documents = self._given.from_position(start)
        yield from zip(documents, self._vectors(self._rows[start:]), strict=True)

    def _vectors(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors of passages, by their places in all chunks. Those of a chunk are read together."""
        starts = np.cumsum([0, *(len(chunk.lengths) for chunk in self._chunks)])
        chunks = np.searchsorted(starts, rows, side="right") - 1
        at = 0
        for after in (*(np.flatnonzero(np.diff(chunks)) + 1).tolist(), len(rows)):
            if after > at:
                chunk = chunks[at]
                yield from self._chunks[chunk].vectors(self._codec, rows[at:after] - starts[chunk])
            at = after


def _read_chunk(folder: Path, chunk: int, codec: Codec) -> Columns:
    lengths = read_integers(folder, f"doclens.{chunk}.npy", below=MAX_DOCUMENT_TOKENS)
    codes_name, residuals_name = f"{chunk}.codes.npy", f"{chunk}.residuals.npy"
    tokens, row = int(lengths.sum()), codec.dim * codec.nbits // 8

    def read() -> tuple[NDArray[Any], NDArray[Any]]:
        codes = read_npy(folder, codes_name, dtypes=INTEGERS, shape=(tokens,))
        return codes, read_npy(folder, residuals_name, dtypes=("uint8",), shape=(tokens, row))

    read()  # the files are there, and have the vectors of all tokens
    return Columns(lengths, folder / codes_name, folder / residuals_name, read)


def _read_numbers(folder: Path, chunks: list[Columns]) -> NDArray[np.int64]:
    """Return the numbers of the passages of all chunks."""
    numbers = [np.empty(0, np.int64)]
    passages = 0
    for chunk, columns in enumerate(chunks):
        length = len(columns.lengths)
        name = f"{chunk}.passage_ids.npy"
        if has_file(folder, name):
            numbers.append(read_integers(folder, name, below=_MAX_PASSAGES))
        else:
            numbers.append(np.arange(passages, passages + length))
        if len(numbers[-1]) != length:
            raise damaged(folder / name, f"has {len(numbers[-1]):,} passages, and doclens.{chunk}.npy {length:,}")
        passages += length
    return np.concatenate(numbers)


def _current_rows(
    folder: Path, numbers: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Return the places of the passages that are not deleted, by number, and how many have earlier vectors, too.

    Raises:
        CorruptIndexError: The compacted files, which are searched, lack vectors of the chunks.
    """
    unique, places = np.unique(numbers[::-1], return_index=True)  # a passage counts where it is last
    rows = len(numbers) - 1 - places
    searched = _searched_lengths(folder, unique)
    if has_file(folder, "deleted_pids.npy"):
        is_kept = ~np.isin(unique, read_integers(folder, "deleted_pids.npy", below=_MAX_PASSAGES))
        rows, searched = rows[is_kept], searched[is_kept]
    lacks = searched < lengths[rows]
    if lacks.any():
        number = int(numbers[rows][np.argmax(lacks)])
        raise damaged(folder / "codes.compacted.npy", f"lacks vectors of the passage {number:,} that its chunk has")
    return rows, int((searched > lengths[rows]).sum())


def _searched_lengths(folder: Path, passages: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many vectors each of these passages, which are ascending, has in the compacted files."""
    numbers = read_npy(folder, "codes.compacted.npy", dtypes=INTEGERS, shape=(None,))
    counts = np.zeros(len(passages), np.int64)
    for start in range(0, len(numbers), _BLOCK_TOKENS):
        block = numbers[start : start + _BLOCK_TOKENS]
        places = np.searchsorted(passages, block)
        is_known = places < len(passages)
        is_known[is_known] = passages[places[is_known]] == block[is_known]
        if not is_known.all():
            number = block[np.argmin(is_known)]
            raise damaged(folder / "codes.compacted.npy", f"has vectors of the passage {number}, which no chunk has")
        counts += np.bincount(places, minlength=len(passages))
    return counts


def _matches(folder: Path) -> bool:
    return {"metadata.json", "centroids.npy", "codes.compacted.npy"} <= set(file_names(folder))


WARP = ForeignFormat(
    "xtr-warp-rs", _matches, WarpIndex, "metadata.json, centroids.npy, doclens.0.npy and codes.compacted.npy"
)
"""The format of xtr-warp-rs."""
