"""The local engine: a directory that holds documents, their metadata and their token vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from late_interaction.engines.local.catalog.settings import check_choices, check_dim
from late_interaction.engines.local.opening import (
    has_index,
    look_around,
    open_beside,
    open_directory,
)
from late_interaction.engines.local.search.device import Device
from late_interaction.engines.local.sharing import Sharing, check_settings, opening, shared, without_links
from late_interaction.engines.local.writing import Writing
from late_interaction.words import DEFAULT_LANGUAGE

if TYPE_CHECKING:
    import os

    from typing_extensions import Unpack

    from late_interaction.engines.local.sharing import OpenSettings

__all__ = ["LocalEngine"]

_DEFAULT_BITS = 4


class LocalEngine(Writing):
    """Token vectors and documents in one directory: compressed, with durable commits, many readers and one writer.

    Open one with `LocalEngine.open`. Any thread may call any method. A search sees the last commit of any process; a
    write is one transaction that survives a crash once it has returned.

    Example:
        >>> import numpy as np, tempfile
        >>> from late_interaction import Document
        >>> from late_interaction.engines import Record
        >>> engine = LocalEngine.open(tempfile.mkdtemp(), dim=2)
        >>> engine.upsert([Record(Document("east", id="e"), np.array([[1.0, 0.0]]))])
        ['e']
        >>> engine.search([[1.0, 0.0]], k=1)[0].score
        1.0
        >>> engine.close()
    """

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        dim: int | None = None,
        bits: int | Literal["default"] | None = "default",
        language: str | None = "default",
        device: str | None = None,
        read_only: bool = False,
    ) -> LocalEngine:
        """Open the index in a directory, creating it if ``dim`` is given and there is none.

        Args:
            path: The directory. A new index needs one that is empty or does not exist.
            dim: Dimension of the token vectors; may be left out for an index that exists.
            bits: 1, 2, 3, 4 (the default) or 8 for each dimension of a compressed vector, 0 to keep only the number of
                its nearest centroid, or None to keep vectors exact. May be left out for an index that exists.
            language: Language of the words of lexical search, for example ``english`` (the default), which are reduced
                to stems; None for no stems. May be left out for an index that exists.
            device: Score compressed documents on this device of torch, for example ``cuda``; None or ``cpu`` for the
                processor.
            read_only: Do not write, and do not take the writer's lock.

        Raises:
            IndexNotFoundError: The directory has no index, and ``dim`` is not given.
            IndexLockedError: Another writer has it open.
            InvalidVectorsError: The index has another dimension.
            InvalidRequestError: The index has other bits or another language, or one of these is not an allowed value;
                a new index in a directory that has something else in it.
            CorruptIndexError: The files are damaged.
            StorageError: The directory cannot be read or written.
        """
        check_choices(bits, language)
        exists = has_index(path)
        if dim is not None:
            check_dim(dim, compressed=not exists and bits is not None)
        on_device = None if device in (None, "cpu") else Device(device)
        opened = open_directory(
            path,
            dim=dim,
            bits=_DEFAULT_BITS if bits == "default" else bits,
            language=DEFAULT_LANGUAGE if language == "default" else language,
            read_only=read_only,
        )
        try:
            engine = cls(opened, on_device)
            check_settings(engine, {"dim": dim, "bits": bits, "language": language})
            look_around(opened, engine._states, engine._transactions, engine._maintenance)
        except BaseException:
            opened.close()
            raise
        return engine

    @classmethod
    def open_shared(cls, path: str | os.PathLike[str], **settings: Unpack[OpenSettings]) -> LocalEngine:
        """Open the index as `open` does, but share files and the writer lock with other openings in this process.

        Each opening is closed on its own, and the files and the lock are released with the last. Openings for writing
        and for reading do not share, nor do those with different devices. Arguments and errors are those of `open`.
        """
        check_choices(settings.get("bits", "default"), settings.get("language", "default"))
        with opening():
            sharing = shared(path, settings)
            if sharing is None:
                first = cls.open(without_links(path), **settings)
                sharing = Sharing(first, first._opened, settings)
            opened = open_beside(path, sharing.opened)
            try:
                engine = cls(opened, sharing.engine._device, sharing)
                check_settings(engine, settings)
            except BaseException:
                opened.close()
                raise
            sharing.openings.add(engine)
        return engine

    def close(self) -> None:
        """Release files and locks; of a shared engine with its last opening. Closing twice is no error.

        If segments are being compressed or merged in the background, wait for the step in hand.
        """
        sharing = self._sharing
        if self._maintenance is not None and not self.read_only and (sharing is None or len(sharing.openings) <= 1):
            self._maintenance.stop()
        self._is_closed = True
        if sharing is not None:
            self._opened.close()
            sharing.close(self)
            # Another opening may now be garbage-collected, and the lock with it.
            self._sharing = self._transactions = self._maintenance = None
            return
        with self.hold():
            if self._transactions is not None:
                if self._maintenance is not None and not self.read_only:
                    self._maintenance.close()
                self._transactions.close()
            self._opened.close()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LocalEngine({str(self._root)!r}, dim={self._dim}, read_only={self.read_only})"
