"""The documents of an engine: what an index does with them without an encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from late_interaction.documents import check_metadata
from late_interaction.engines.base import require
from late_interaction.validation import check_ids, is_id

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from typing_extensions import Self

    from late_interaction.documents import Document, DocumentFields, FieldName
    from late_interaction.engines import Engine, Verification
    from late_interaction.filters import Where

__all__ = ["Collection"]


class Collection:
    """The half of `Index` that needs no encoder. A context manager.

    Args:
        engine: Where documents and vectors are kept.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def engine(self) -> Engine:
        """The engine underneath."""
        return self._engine

    @property
    def path(self) -> Path | None:
        """The directory of the index; None for an engine that is not in one."""
        return self._engine.path

    def get(self, ids: Sequence[str]) -> list[Document]:
        """Return the documents of these ids, in this order; unknown ids are left out."""
        return self._engine.get(ids)

    @overload
    def scan(self, *, where: Where | None = None) -> Iterator[Document]: ...

    @overload
    def scan(self, *, where: Where | None = None, fields: Iterable[FieldName]) -> Iterator[DocumentFields]: ...

    def scan(
        self, *, where: Where | None = None, fields: Iterable[FieldName] | None = None
    ) -> Iterator[Document] | Iterator[DocumentFields]:
        """Yield every document that passes, in the order of addition, from one consistent state.

        Args:
            where: Only documents that pass.
            fields: Read only these fields besides the id, for example ``["metadata"]``, or ``[]`` for ids alone, and
                yield `DocumentFields`. None for whole documents.
        """
        return self._engine.scan(where=where) if fields is None else self._engine.scan(where=where, fields=fields)

    def count(self, *, where: Where | None = None) -> int:
        """Return how many documents pass."""
        return self._engine.count(where=where)

    def one_state(self) -> AbstractContextManager[None]:
        """Return a context manager inside which reads of this thread use one snapshot, if the engine has snapshots."""
        return self._engine.one_state()

    def update(self, ids: Iterable[str], *, metadata: Mapping[str, Any]) -> int:
        """Set these keys in the metadata of documents, keep their other keys, and return how many documents there were.

        Nothing is encoded, and ids stay. Unknown ids are skipped.

        Raises:
            InvalidDocumentError: The metadata are not a dict of JSON values.
            UnsupportedError: The engine cannot change metadata without new vectors.
        """
        return self._engine.update_metadata(check_ids(ids), check_metadata(metadata))

    def delete(self, ids: Iterable[str] | None = None, *, where: Where | None = None) -> int:
        """Delete documents by ids or by filter and return how many there were. Unknown ids are skipped.

        Raises:
            InvalidRequestError: Every document matches the filter, as ``{}``. `clear` deletes everything.
        """
        return self._engine.delete(ids=ids, where=where)

    def clear(self) -> int:
        """Delete every document and return how many there were. Settings and encoder stay."""
        return self._engine.clear()

    def verify(self) -> Verification:
        """Check everything stored against its checksums. True if no problems are found.

        Raises:
            UnsupportedError: The engine cannot.
        """
        require(self._engine, "verify")
        return self._engine.verify()

    def compact(self) -> None:
        """Reclaim the space of deleted documents and merge what was added in small pieces.

        Raises:
            UnsupportedError: The engine cannot.
        """
        require(self._engine, "compact")
        self._engine.compact()

    def copy(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Write a copy of an index that is in a directory into another one, as a backup for example.

        Args:
            path: The directory, which is empty or does not exist.
            replace: The directory may also have an earlier copy of this index, not written to since, which is replaced
                when the new one is complete. A crash between the two renames that do so leaves nothing under its name,
                and beside it the earlier copy, ``NAME.old-…``, and the new one, ``NAME.new-…``. Where the index itself
                is, nothing is done.

        Raises:
            InvalidRequestError: The directory has something else in it.
            UnsupportedError: The index is not in a directory.
            ReadOnlyIndexError: The index is open for reading, when another process may be changing it.
        """
        require(self._engine, "copy")
        self._engine.copy(path, replace=replace)

    def close(self) -> None:
        """Close the engine, also one that was given as ``engine=``: release files, locks and connections.

        A client that was given to the engine stays open. Closing twice is no error.
        """
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return True  # an empty index is an index, whatever its length

    def __contains__(self, id: object) -> bool:  # noqa: A002
        return is_id(id) and bool(self.get([id]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._engine!r})"
