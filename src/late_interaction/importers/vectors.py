"""Read a folder of token vectors that a program of the user has written.

Accepted are these layouts. Vectors are float16, float32 or float64, and in ``.safetensors`` also bfloat16.

=====================  ================================================================================================
array files            documents
=====================  ================================================================================================
several ``.npy``       One file for each document, of shape (tokens, dim). The id is the name of the file without
                       the suffix. The order is that of the names; numbers come first, in numeric order.
several ``.npz`` or    The same, with one array of any name in each file.
``.safetensors``
one ``.npz``, or one   One array for each document, of shape (tokens, dim). The id is the name of the array, and the
``.safetensors``       order that of the file.
one ``.npy``, or one   All vectors of shape (tokens, dim), one document after the other, with one of these files:
``.safetensors``       ``doclens.npy`` or ``doclens.json``, the number of tokens of each document; ``offsets.npy`` or
with one tensor        ``offsets.json``, where each document begins, and at last the number of all tokens. Or all
                       vectors of shape (documents, tokens, dim): without lengths, zero vectors at the end of a document
                       are padding, and are left out. Or, without lengths, one document.
=====================  ================================================================================================

Ids of arrays without names are in ``ids.json``, a list of strings or integers, or in ``ids.txt``, one on each line; or
they are the numbers from 0 on. Documents are in ``documents.jsonl``, as `late_interaction.readers.read_jsonl` reads
them, in the order of the vectors; or the caller passes them. There are no other files; hidden files are ignored.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.importers.arrays import to_float32
from late_interaction.importers.files import damaged, file_names, has_file, read_json, read_lines
from late_interaction.importers.foreign import ForeignFormat
from late_interaction.importers.given_documents import GivenDocuments
from late_interaction.importers.vector_files import ARRAY_SUFFIXES, LENGTH_FILES, array_files, open_arrays
from late_interaction.readers import read_jsonl
from late_interaction.validation import is_id
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.importers.foreign import SourceOptions
    from late_interaction.importers.vector_files import Arrays

__all__ = ["VECTORS", "VectorFolder"]

_DOCUMENTS = "documents.jsonl"
_COMPANIONS = (*LENGTH_FILES, "ids.json", "ids.txt", _DOCUMENTS)
_MAX_IDS_BYTES = 2**30


class VectorFolder:
    """A folder of token vectors as a `late_interaction.importers.foreign.ForeignIndex`.

    Args:
        folder: The folder.
        arrays: Its vectors.
        ids: The ids of the documents; None for their numbers.
        given: The documents, in the order of the vectors; None if there are only vectors.
    """

    encoder = None

    def __init__(self, folder: Path, arrays: Arrays, ids: list[str] | None, given: GivenDocuments | None) -> None:
        self._folder = folder
        self._arrays = arrays
        self._ids = ids
        self._given = given

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        return self._arrays.dim

    @property
    def documents(self) -> int:
        """The number of documents."""
        return len(self._arrays.lengths)

    @property
    def tokens(self) -> int:
        """The number of token vectors, without padding."""
        return int(self._arrays.lengths.sum())

    @property
    def settings(self) -> Mapping[str, Any]:
        """Which layout it is."""
        return {"layout": self._arrays.layout}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost or unknown."""
        notes = []
        if self._given is None:
            notes.append(
                "The source keeps no texts, so the documents are vectors alone and cannot be found by words. Pass the "
                "texts with `documents`."
            )
        if self._arrays.padding:
            notes.append(f"{counted(self._arrays.padding, 'zero vector')} at ends of documents left out as padding.")
        return tuple(notes)

    def read(self, start: int = 0) -> Iterator[tuple[Document, NDArray[np.float32]]]:
        """Yield the documents from position ``start`` on.

        Raises:
            CorruptIndexError: A file has changed since it was opened, or is damaged.
            InvalidRequestError: The documents of the caller contradict the ids of the source.
        """
        pairs = zip(self._documents(start), self._arrays.read(start), strict=True)
        for (document, vectors), length in zip(pairs, self._arrays.lengths[start:].tolist(), strict=True):
            if vectors.shape != (length, self.dim):
                raise damaged(self._folder, f"has changed: {document.id!r:.200} has vectors of shape {vectors.shape}")
            yield document, to_float32(vectors)

    def _documents(self, start: int) -> Iterator[Document]:
        ids = range(start, self.documents) if self._ids is None else self._ids[start:]
        if self._given is None:
            yield from (Document("", id=str(one)) for one in ids)
            return
        for document, expected in zip(self._given.from_position(start), ids, strict=True):
            if self._ids is not None and document.id != expected:
                raise InvalidRequestError(
                    f"A document has the id {document.id!r:.200}, and the vectors at its place {expected!r:.200}. "
                    "Documents must be in the order of the vectors, or have no ids."
                )
            yield document


def _is_vectors(folder: Path) -> bool:
    names = file_names(folder)
    known = (name in _COMPANIONS or name.endswith(ARRAY_SUFFIXES) for name in names)
    return bool(array_files(folder)) and all(known)


def _open(folder: Path, options: SourceOptions) -> VectorFolder:
    arrays = open_arrays(folder)
    ids = _ids(folder, arrays)
    read = options.documents
    if read is None and has_file(folder, _DOCUMENTS):
        read = partial(_own_documents, folder)
    given = None if read is None else GivenDocuments(read, passages=len(arrays.lengths), ids=ids)
    return VectorFolder(folder, arrays, ids, given)


def _ids(folder: Path, arrays: Arrays) -> list[str] | None:
    """Return the ids of the documents; None if there are none."""
    files = [name for name in ("ids.json", "ids.txt") if has_file(folder, name)]
    if not files:
        ids = arrays.ids
    elif len(files) > 1 or arrays.ids is not None:
        raise damaged(folder, f"has {' and '.join(files)}, which belongs to one array, and once")
    elif files == ["ids.txt"]:
        ids = list(read_lines(folder, "ids.txt"))
    else:
        values = read_json(folder, "ids.json", list, max_bytes=_MAX_IDS_BYTES)
        ids = [str(value) if type(value) is int else value for value in values]
    if ids is None:
        return None
    place = folder / files[0] if files else folder
    if len(ids) != len(arrays.lengths):
        raise damaged(place, f"has {counted(len(ids), 'id')}, and there are {len(arrays.lengths):,} documents")
    if not all(map(is_id, ids)):
        wrong = next(one for one in ids if not is_id(one))
        raise damaged(place, f"has the id {wrong!a:.120}, which is empty or not a string that UTF-8 can hold")
    if len(set(ids)) < len(ids):
        raise damaged(place, "has an id twice")
    return ids


def _own_documents(folder: Path) -> Iterator[Document]:
    try:
        yield from read_jsonl(read_lines(folder, _DOCUMENTS))
    except InvalidDocumentError as error:
        raise damaged(folder / _DOCUMENTS, f"is invalid ({error})") from None


VECTORS = ForeignFormat(
    name="vectors",
    matches=_is_vectors,
    open=_open,
    layout="one .npy, .npz or .safetensors file (tokens, dim) for each document, named by its id; or one array of all "
    f"vectors with {' or '.join(LENGTH_FILES)}, and ids.json or ids.txt, and documents.jsonl; no other files",
)
