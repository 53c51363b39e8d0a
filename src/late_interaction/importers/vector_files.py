"""The array files of a folder of token vectors, in each of the accepted layouts. `vectors` documents these."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.importers.arrays import (
    FLOATS,
    INTEGERS,
    check_array,
    open_npz,
    open_safetensors,
    read_npy,
)
from late_interaction.importers.files import damaged, file_names, has_file, read_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["ARRAY_SUFFIXES", "LENGTH_FILES", "Arrays", "array_files", "open_arrays"]

ARRAY_SUFFIXES = (".npy", ".npz", ".safetensors")
LENGTH_FILES = ("doclens.npy", "doclens.json", "offsets.npy", "offsets.json")

_FLOATS = (*FLOATS, "bfloat16")
_BLOCK_ROWS = 65_536
_MAX_LENGTHS_BYTES = 2**30


@dataclass(frozen=True)
class Arrays:
    """The vectors of a folder.

    Attributes:
        layout: Which layout it is, for the report.
        dim: Dimension of the vectors.
        lengths: Token vectors of each document, (documents,) i64.
        read: Yields the vectors of the documents from a position on, (tokens, dim) each.
        ids: The ids of the documents by the names of their arrays; None if the arrays have no names.
        padding: Zero vectors at the ends of documents that are left out.
    """

    layout: str
    dim: int
    lengths: NDArray[np.int64]
    read: Callable[[int], Iterator[NDArray[Any]]]
    ids: list[str] | None = None
    padding: int = 0


def array_files(folder: Path) -> list[str]:
    """Return the names of the array files but for the lengths, numbers in numeric order before other names."""
    names = [name for name in file_names(folder) if name.endswith(ARRAY_SUFFIXES) and name not in LENGTH_FILES]
    return sorted(names, key=_order)


def open_arrays(folder: Path) -> Arrays:
    """Find out the layout, and check the shapes that the files claim.

    Raises:
        CorruptIndexError: The files fit no layout, are damaged, or contradict each other.
    """
    names = array_files(folder)
    suffixes = {PurePath(name).suffix for name in names}
    lengths = [name for name in LENGTH_FILES if has_file(folder, name)]
    if len(suffixes) > 1 or len(lengths) > 1 or (lengths and len(names) != 1):
        raise damaged(
            folder,
            "must contain arrays of one type, and if there is a file of lengths "
            f"({', '.join(LENGTH_FILES)}), one such file and one array",
        )
    (suffix,) = suffixes
    if len(names) > 1 or suffix == ".npz":
        if lengths:
            raise damaged(folder, f"has {lengths[0]}, which belongs to one .npy or .safetensors file of all vectors")
        return _by_name(folder, names, suffix)
    return _in_one_file(folder, names[0], lengths[0] if lengths else None)


def _order(name: str) -> tuple[bool, int, str]:
    stem = PurePath(name).stem
    is_number = re.fullmatch(r"[0-9]{1,18}", stem) is not None
    return not is_number, int(stem) if is_number else 0, name


def _by_name(folder: Path, names: list[str], suffix: str) -> Arrays:
    """Return an array for each document: a file each, or all in one file."""
    places: list[tuple[str, str]] = []  # the file, and the array in it
    shapes: list[tuple[int, ...]] = []
    for name in names:
        found = _shapes(folder, name, suffix)
        if len(names) > 1 and len(found) != 1:
            raise damaged(folder / name, f"must contain one array, since there are several files, not {len(found)}")
        places += [(name, array) for array in found]
        shapes += found.values()
    if not places:
        raise damaged(folder / names[0], "contains no arrays")
    dim = _dim(folder / names[0], shapes[0])
    for (name, array), shape in zip(places, shapes, strict=True):
        check_array(folder / name / array, "float32", shape, FLOATS, (None, dim))
    ids = [PurePath(name).stem for name, _ in places] if len(names) > 1 else [array for _, array in places]
    layout = f"one {suffix} file for each document" if len(names) > 1 else f"one {suffix} file with named arrays"
    lengths = np.array([shape[0] for shape in shapes], np.int64)
    return Arrays(layout, dim, lengths, lambda start: _read_named(folder, places[start:], suffix), ids)


def _shapes(folder: Path, name: str, suffix: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays in a file, by name; an ``.npy`` file has one without a name."""
    if suffix == ".npy":
        return {"": read_npy(folder, name).shape}
    if suffix == ".npz":
        with open_npz(folder, name) as archive:
            return {array: archive.shape(array) for array in archive.names}
    with open_safetensors(folder, name) as tensors:
        return {array: tensors.shape(array) for array in tensors.names}


def _read_named(folder: Path, places: Sequence[tuple[str, str]], suffix: str) -> Iterator[NDArray[Any]]:
    """Yield arrays. A file that contains several of them is opened once."""
    position = 0
    while position < len(places):
        name = places[position][0]
        end = position
        while end < len(places) and places[end][0] == name:
            end += 1
        arrays = [array for _, array in places[position:end]]
        if suffix == ".npy":
            yield read_npy(folder, name)
        elif suffix == ".npz":
            with open_npz(folder, name) as archive:
                for array in arrays:
                    yield archive.read(array)
        else:
            with open_safetensors(folder, name) as tensors:
                for array in arrays:
                    yield tensors.read(array)
        position = end


def _in_one_file(folder: Path, name: str, lengths_file: str | None) -> Arrays:
    """Return the vectors of one ``.npy`` file, or of one ``.safetensors`` file."""
    path = folder / name
    if name.endswith(".safetensors"):
        with open_safetensors(folder, name) as tensors:
            if len(tensors.names) != 1:
                if lengths_file is None:
                    return _by_name(folder, [name], ".safetensors")
                raise damaged(path, f"must contain one tensor, since there is {lengths_file}")
            shape = tensors.shape(tensors.names[0])
            if len(shape) == 2 and lengths_file is None:
                return _by_name(folder, [name], ".safetensors")
            vectors = tensors.read(tensors.names[0], dtypes=_FLOATS)
    else:
        vectors = read_npy(folder, name)
    if vectors.ndim == 3:
        return _padded(path, vectors, lengths_file)
    if vectors.ndim != 2:
        raise damaged(path, f"must have the shape (tokens, dim) or (documents, tokens, dim), not {vectors.shape}")
    if lengths_file is None:  # a folder of one document
        lengths = np.array([len(vectors)], np.int64)
        layout = "one .npy file for each document"
        return Arrays(layout, _dim(path, vectors.shape), lengths, lambda start: iter([vectors][start:]), [path.stem])
    lengths = _lengths(folder, lengths_file, tokens=len(vectors))
    bounds = np.concatenate([[0], np.cumsum(lengths)])

    def read(start: int) -> Iterator[NDArray[Any]]:
        for first, last in zip(bounds[start:-1].tolist(), bounds[start + 1 :].tolist(), strict=True):
            yield vectors[first:last]

    return Arrays(f"one array, and {lengths_file}", _dim(path, vectors.shape), lengths, read)


def _padded(path: Path, vectors: NDArray[Any], lengths_file: str | None) -> Arrays:
    """Return the vectors of an array (documents, tokens, dim), without zero vectors at the ends of documents."""
    documents, tokens, _ = vectors.shape
    dim = _dim(path, vectors.shape)
    if lengths_file is None:
        lengths = np.zeros(documents, np.int64)
        rows = max(1, _BLOCK_ROWS // tokens)
        for start in range(0, documents, rows):
            is_used = (vectors[start : start + rows] != 0).any(axis=2)
            last = tokens - np.argmax(is_used[:, ::-1], axis=1)
            lengths[start : start + rows] = np.where(is_used.any(axis=1), last, 0)
    else:
        lengths = _lengths(path.parent, lengths_file, tokens=None)
        if len(lengths) != documents or (documents and int(lengths.max()) > tokens):
            raise damaged(
                path.parent / lengths_file,
                f"must have {documents:,} lengths of at most {tokens:,}, as {path.name} has the shape {vectors.shape}",
            )

    def read(start: int) -> Iterator[NDArray[Any]]:
        for number in range(start, documents):
            yield vectors[number, : lengths[number]]

    padding = 0 if lengths_file else documents * tokens - int(lengths.sum())
    return Arrays("one array of all documents", dim, lengths, read, padding=padding)


def _dim(path: Path, shape: Sequence[int]) -> int:
    """Return the last length of a shape. An array without numbers could claim any number of documents or tokens."""
    if not shape or not all(shape[1:]):
        raise damaged(path, f"has vectors without numbers: its shape is {tuple(shape)}")
    return shape[-1]


def _lengths(folder: Path, name: str, *, tokens: int | None) -> NDArray[np.int64]:
    """Return the lengths of the documents, from lengths or offsets, whose sum must be the number of tokens.

    Args:
        folder: The folder.
        name: The name of the file.
        tokens: The number of tokens; None to leave the sum unchecked.
    """
    path = folder / name
    if name.endswith(".npy"):
        values = read_npy(folder, name, dtypes=INTEGERS, shape=(None,))
    else:
        given = read_json(folder, name, list, max_bytes=_MAX_LENGTHS_BYTES)
        if any(type(value) is not int or not 0 <= value < 2**62 for value in given):
            raise damaged(path, "must contain a list of integers from 0 on")
        values = np.array(given, np.int64)
    if len(values) and (int(values.min()) < 0 or int(values.max()) >= 2**62):
        raise damaged(path, "must contain integers from 0 on")
    values = values.astype(np.int64)
    if name.startswith("offsets"):
        if not len(values) or values[0] != 0 or (np.diff(values) < 0).any():
            raise damaged(path, "must begin with 0 and ascend, with an offset more than there are documents")
        values = np.diff(values)
    if tokens is not None and (total := sum(values.tolist())) != tokens:
        raise damaged(path, f"has lengths of {total:,} tokens together, and there are {tokens:,} vectors")
    return values
