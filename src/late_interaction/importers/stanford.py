"""Read an index that colbert-ai wrote (ColBERTv2 with PLAID).

An index of a file has no texts: it names the file. That file is not opened, because an index may come from a stranger.
The caller passes the texts. An index of a list of texts has them in its settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError
from late_interaction.importers.files import damaged
from late_interaction.importers.foreign import ForeignFormat
from late_interaction.importers.given_documents import GivenDocuments
from late_interaction.importers.plaid_files import PlaidFolder, is_plaid_folder, is_ragatouille_folder
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.importers.foreign import SourceOptions

__all__ = ["STANFORD", "PassageDocuments", "StanfordIndex", "open_stanford"]

_MAX_SHOWN_CHARACTERS = 200  # of a string of the source


class PassageDocuments(Protocol):
    """The documents of the passages that are not deleted, in the order of their numbers."""

    def from_position(self, start: int) -> Iterator[Document]:
        """Yield them without the first ``start`` ones."""
        ...


class StanfordIndex:
    """An index of colbert-ai as a `late_interaction.importers.foreign.ForeignIndex`. Deleted passages are left out.

    Args:
        files: The opened folder.
        passages: The documents of its passages.
        notes: What is lost or unknown of these documents.
    """

    def __init__(self, files: PlaidFolder, passages: PassageDocuments, notes: Sequence[str] = ()) -> None:
        self._files = files
        self._passages = passages
        self._notes = notes

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The numbers of the passages that are not deleted, (documents,), ascending."""
        return self._files.live_numbers()

    @property
    def dim(self) -> int:
        """Dimension of the token vectors."""
        return self._files.dim

    @property
    def documents(self) -> int:
        """The number of passages that are not deleted."""
        return self._files.live

    @property
    def tokens(self) -> int:
        """The number of token vectors."""
        return self._files.tokens

    @property
    def encoder(self) -> str | None:
        """The checkpoint that the index was built with: a name on the hub, or a path where it was built."""
        name = self._files.config.get("checkpoint")
        return name[:_MAX_SHOWN_CHARACTERS] if isinstance(name, str) and name else None

    @property
    def settings(self) -> Mapping[str, Any]:
        """Bits per dimension, and the number of centroids."""
        return {"bits": self._files.codec.nbits, "centroids": len(self._files.codec.centroids)}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost, left out or unknown."""
        files = self._files
        loss = (
            f"The vectors are decompressed from {counted(files.codec.nbits, 'bit')} per dimension, so they differ from "
            "the encoder's. The loss is measured relative to the decompressed vectors."
        )
        notes = [*self._notes, loss]
        if deleted := files.passages - files.live:
            notes.append(f"Left out, because they were deleted from the source: {counted(deleted, 'passage')}.")
        if unused := files.unused_chunks:
            notes.append(f"Left out, because metadata.json counts fewer chunks: {counted(unused, 'chunk')}.")
        return tuple(notes)

    def read(self, start: int = 0) -> Iterator[tuple[Document, NDArray[np.float32]]]:
        """Yield the passages from position ``start`` on, in the order of their numbers.

        Raises:
            CorruptIndexError: A chunk is missing, damaged, or contradicts the lengths of its passages.
            InvalidRequestError: The documents of the caller have become fewer since the index was opened.
        """
        yield from zip(self._passages.from_position(start), self._files.read(start), strict=True)


def is_stanford(folder: Path) -> bool:
    """Return whether a folder has the files of colbert-ai, and none that RAGatouille adds."""
    return is_plaid_folder(folder) and not is_ragatouille_folder(folder)


def open_stanford(folder: Path, options: SourceOptions) -> StanfordIndex:
    """Open an index of colbert-ai. Documents of the caller are counted, so they are read once here.

    Raises:
        CorruptIndexError: A file is missing, damaged, or contradicts another one.
        InvalidRequestError: The documents of the caller are more or fewer than the passages.
        DuplicateIdError: Two of them have the same id.
    """
    files = PlaidFolder.open(folder)
    if options.documents is not None:
        given = GivenDocuments(options.documents, passages=files.passages, live=files.live_numbers())
        return StanfordIndex(files, given)
    return StanfordIndex(files, _Numbered(files), tuple(_about_texts(files)))


class _Numbered:
    """Documents with the texts that the index has, whose ids are the numbers of the passages."""

    def __init__(self, files: PlaidFolder) -> None:
        self._files = files

    def from_position(self, start: int) -> Iterator[Document]:
        texts = self._files.texts
        for number in self._files.live_numbers()[start:].tolist():
            text = texts[number] if number < len(texts) else ""
            try:
                yield Document(text, id=str(number))
            except InvalidDocumentError as error:
                raise damaged(self._files.folder, f"has a passage that cannot be stored ({error})") from None


def _about_texts(files: PlaidFolder) -> Iterator[str]:
    if not files.texts:
        yield _without_texts(files)
    elif added := int((files.live_numbers() >= len(files.texts)).sum()):
        yield (
            "The source keeps no texts of passages that were added after it was built. Vectors alone: "
            f"{counted(added, 'document')}. Pass the texts of all passages as `documents`."
        )


def _without_texts(files: PlaidFolder) -> str:
    collection = files.config.get("collection")
    named = collection.get("provenance") if isinstance(collection, dict) else collection
    where = ""
    if isinstance(named, str) and named:
        where = f" metadata.json names {named[:_MAX_SHOWN_CHARACTERS]!r}, which was not read."
    return (
        "The source keeps no texts, so the documents are vectors alone: their ids are the numbers of the passages, and "
        f"words do not find them.{where} Pass the texts as `documents`."
    )


STANFORD = ForeignFormat(
    name="colbert-ai",
    matches=is_stanford,
    open=open_stanford,
    layout="metadata.json, centroids.pt, buckets.pt, 0.codes.pt, 0.residuals.pt, doclens.0.json",
)
