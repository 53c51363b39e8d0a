"""Read an index of PyLate: an index of fast-plaid, colbert-ai or xtr-warp-rs, and a mapping of its numbers to ids.

::

    INDEX/fast_plaid_index/                  of ``indexes.PLAID``: an index of fast-plaid
    INDEX/metadata.json, centroids.pt, …     of ``indexes.PLAID(use_fast=False)``: an index of colbert-ai
    INDEX/warp_index/                        of ``indexes.WARP``: an index of xtr-warp-rs
    INDEX/plaid_ids_to_documents_ids.pkl     the id of each number; ``warp_ids_to_documents_ids.pkl`` of WARP. Before
                                             version 1.4, ``.sqlite``: a table of numbers and pickled ids

Its other indexes, which are those of libraries with files of their own, are recognized and refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from late_interaction.documents import Document
from late_interaction.errors import CorruptIndexError, InvalidDocumentError, InvalidRequestError, UnsupportedError
from late_interaction.importers.fast_plaid import FAST_PLAID, FastPlaidIndex
from late_interaction.importers.files import damaged, has_file
from late_interaction.importers.foreign import ForeignFormat, ForeignIndex, SourceOptions
from late_interaction.importers.plain_pickles import parsed_pickle, read_pickle
from late_interaction.importers.sqlite_tables import open_table
from late_interaction.importers.stanford import STANFORD, open_stanford
from late_interaction.importers.warp import WARP, WarpIndex
from late_interaction.validation import check_id
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["PYLATE", "PyLateIndex"]

_REFUSED = {
    "index.voyager": "Voyager keeps the vectors in a file that only its library reads",
    "scann_config.pb": "which document a vector of flattened_embeddings.npy is of is in a pickle that is not read",
    "tachiom.bin": "Tachiom keeps the vectors in a file that only its library reads",
}
_MAX_DIGITS = 20
_MAX_ID_BYTES = 2**16


class _Numbered(ForeignIndex, Protocol):
    """An index whose documents have numbers, which may have gaps."""

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The numbers of the documents, (documents,)."""
        ...

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The numbers of tokens of the documents, (documents,)."""
        ...


@dataclass(frozen=True)
class _Backend:
    """An index inside of an index of PyLate: the mapping, the folder, the format, and what opens it."""

    mapping: str
    below: str
    format: ForeignFormat
    open: Callable[[Path, SourceOptions], _Numbered]

    def is_in(self, folder: Path) -> bool:
        if not any(has_file(folder, f"{self.mapping}.{ending}") for ending in ("pkl", "sqlite")):
            return False
        try:
            return self.format.matches(folder / self.below)
        except CorruptIndexError:  # it is of this kind, and opening it says what is wrong
            return True


_BACKENDS = (
    _Backend("plaid_ids_to_documents_ids", "fast_plaid_index", FAST_PLAID, FastPlaidIndex),
    _Backend("plaid_ids_to_documents_ids", "", STANFORD, open_stanford),
    _Backend("warp_ids_to_documents_ids", "warp_index", WARP, WarpIndex),
)


class PyLateIndex:
    """An index of PyLate, opened for reading (a `ForeignIndex`).

    Args:
        folder: Its folder.
        options: The documents with their ids, best in the order in which they were added: others are kept in memory.

    Raises:
        UnsupportedError: It is of a kind whose files cannot be read.
        CorruptIndexError: A file is missing, damaged, or does not fit the others.
        InvalidRequestError: A document of the index is not given.
    """

    def __init__(self, folder: Path, options: SourceOptions) -> None:
        self._folder = folder
        for name, reason in _REFUSED.items():
            if has_file(folder, name):
                raise UnsupportedError(
                    f"{folder} is an index of PyLate whose vectors cannot be read ({name}): {reason}. Encode the "
                    "documents again, or save their vectors as .npy files with PyLate and import that folder."
                )
        backend = next(one for one in _BACKENDS if one.is_in(folder))
        self._base = backend.open(folder / backend.below, SourceOptions())
        ids = _read_mapping(folder, backend.mapping, self._base.documents)
        self._positions, self._ids, self._replaced = _joined(folder, ids, self._base.numbers.tolist())
        self._unmapped = self._base.documents - len(self._ids) - self._replaced
        self._given: _GivenById | None = None
        if options.documents is not None:
            self._given = _GivenById(options.documents, self._ids)
        self._format = backend.format.name

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        return self._base.dim

    @property
    def documents(self) -> int:
        """The number of documents."""
        return len(self._ids)

    @property
    def tokens(self) -> int:
        """The number of token vectors."""
        return int(self._base.lengths[self._positions].sum())

    @property
    def encoder(self) -> str | None:
        """The model that the index names."""
        return self._base.encoder

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the index says of itself, and what it is an index of."""
        return {**self._base.settings, "index": self._format}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost or unknown."""
        notes = []
        if self._given is None:
            notes.append("PyLate keeps no texts, so the documents are vectors alone. Pass the texts as `documents`.")
        if self._replaced:
            notes.append(
                "Left out, because a later document has the same id, although PyLate finds both: "
                f"{counted(self._replaced, 'document')}."
            )
        if self._unmapped:
            notes.append(
                "Left out, because PyLate has no ids of them and does not find them: "
                f"{counted(self._unmapped, 'document')}."
            )
        return (*notes, *(note for note in self._base.notes if "`documents`" not in note))

    def read(self, start: int = 0) -> Iterator[tuple[Document, NDArray[np.float32]]]:
        """Yield the documents from position ``start`` on, in the order of their numbers, each with its vectors.

        Raises:
            CorruptIndexError: A file is damaged.
        """
        if start >= len(self._ids):
            return
        documents: Iterator[Document]
        if self._given is None:
            documents = (Document("", id=one) for one in self._ids[start:])
        else:
            documents = self._given.from_position(start)
        wanted = set(self._positions[start:])
        first = self._positions[start]
        for position, (described, vectors) in enumerate(self._base.read(first), first):
            if position in wanted:
                document = next(documents)
                yield document.with_metadata({**described.metadata, **document.metadata}), vectors


class _GivenById:
    """Documents of the caller that have the ids of an index, in its order. Others are left out.

    Those that the caller has earlier than the index, such as documents that were updated, are kept until their turn.

    Raises:
        InvalidRequestError: One is missing.
    """

    def __init__(self, read: Callable[[], Iterator[Document]], ids: list[str]) -> None:
        self._read = read
        self._ids = ids
        given = {document.id for document in read()}
        if missing := next((one for one in ids if one not in given), None):
            raise InvalidRequestError(
                f"The index has {counted(len(ids), 'document')}, and {missing!r:.200} is not among the documents "
                "given. Pass the documents with the ids that they have in PyLate."
            )

    def from_position(self, start: int) -> Iterator[Document]:
        """Yield the documents of the index without the first ``start`` ones."""
        missing, waiting = set(self._ids[start:]), dict[str, Document]()
        documents = self._read()
        for wanted in self._ids[start:]:
            while wanted in missing:
                document = next(documents, None)
                if document is None:
                    raise InvalidRequestError(
                        f"The given documents changed while they were read: {wanted!r:.200} is gone."
                    )
                if document.id in missing:
                    missing.remove(document.id)
                    waiting[document.id] = document
            yield waiting.pop(wanted)


def _joined(folder: Path, ids: dict[int, str], numbers: list[int]) -> tuple[list[int], list[str], int]:
    """Return the positions of the documents in the index, their ids, and how many have the id of a later one.

    Raises:
        CorruptIndexError: An id is given to a number that the index does not have.
    """
    places = {number: position for position, number in enumerate(numbers)}
    if missing := ids.keys() - places.keys():
        raise damaged(folder, f"gives an id to {counted(len(missing), 'document')} that the index does not have")
    last = {ids[number]: position for number, position in places.items() if number in ids}
    kept = sorted((position, one) for one, position in last.items())
    return [position for position, _ in kept], [one for _, one in kept], len(ids) - len(kept)


def _read_mapping(folder: Path, name: str, documents: int) -> dict[int, str]:
    """Return the id of each number.

    Args:
        folder: The folder of the index.
        name: The name of the file, without its ending.
        documents: The number of documents, which is the most ids that are read from a database.

    Raises:
        CorruptIndexError: The file is damaged, or contains anything else.
    """
    if has_file(folder, f"{name}.pkl"):
        path = folder / f"{name}.pkl"
        values: Any = read_pickle(folder, path.name)
    else:
        path = folder / f"{name}.sqlite"
        values = _read_sqlite(folder, path.name, documents)
    if not isinstance(values, dict) or any(type(number) is not int for number in values):
        raise damaged(path, "must give an id to each number")
    ids = {number: str(one) for number, one in values.items()}
    if len(set(ids.values())) != len(set(values.values())):
        raise damaged(path, "has a string and a number as ids that are equal as strings")
    try:
        for one in ids.values():
            check_id(one)
    except InvalidDocumentError as error:
        raise damaged(path, f"has an id that cannot be stored ({error})") from None
    return ids


def _read_sqlite(folder: Path, name: str, documents: int) -> dict[int, Any]:
    """Return what ``sqlitedict`` stored: keys as text, and values as pickles."""
    table = open_table(folder, name, "unnamed", key="key")
    if set(table.columns) != {"key", "value"}:
        raise damaged(table.path, "must have the columns key and value")
    values: dict[int, Any] = {}
    for number, (key, value) in enumerate(table.rows("SELECT key, value FROM unnamed LIMIT ?", documents + 1)):
        if not (isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < _MAX_DIGITS):
            raise damaged(table.path, f"has the row {key!a:.80}, which is not a number")
        if not isinstance(value, bytes) or len(value) > _MAX_ID_BYTES:
            raise damaged(table.path, f"must have a pickled id of at most {_MAX_ID_BYTES:,} bytes in the row {key}")
        if number == documents:
            raise damaged(table.path, f"has more rows than the index has documents, {documents:,}")
        values[int(key)] = parsed_pickle(table.path, value)
    return values


def _matches(folder: Path) -> bool:
    return any(has_file(folder, name) for name in _REFUSED) or any(one.is_in(folder) for one in _BACKENDS)


PYLATE = ForeignFormat(
    "PyLate",
    _matches,
    PyLateIndex,
    "plaid_ids_to_documents_ids.pkl and fast_plaid_index/, or warp_ids_to_documents_ids.pkl and warp_index/",
)
"""The format of PyLate."""
