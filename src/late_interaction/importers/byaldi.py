"""Read an index that byaldi wrote: page embeddings of ColPali or ColQwen2, and perhaps the page images.

The layout is that of byaldi 0.0.7, `byaldi.colpali.ColPaliModel._export_index`. File names in it are kept as metadata,
and the files are never opened.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError
from late_interaction.importers.byaldi_pages import StoredPages
from late_interaction.importers.files import damaged, file_names, has_file, read_gzip_json
from late_interaction.importers.foreign import ForeignFormat
from late_interaction.importers.given_documents import GivenDocuments
from late_interaction.importers.torch_files import as_array, read_pt
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from late_interaction.images import PageImage
    from late_interaction.importers.foreign import SourceOptions

__all__ = ["BYALDI", "ByaldiIndex"]

_CONFIG = "index_config.json.gz"
_PAGES = "embed_id_to_doc_id.json.gz"
_NAMES = "doc_ids_to_file_names.json.gz"
_METADATA = "metadata.json.gz"
_EMBEDDINGS = "embeddings"
_FILE_NAME = re.compile(r"embeddings_([0-9]{1,12})\.pt")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_TYPES = ("torch.bfloat16", "torch.float16", "torch.float32")


class ByaldiIndex:
    """An index of byaldi as a `late_interaction.importers.foreign.ForeignIndex`: a document for each page.

    The id is ``DOC#page=PAGE`` with byaldi's own numbers, ``doc_id`` and ``page_num`` of its results. Metadata is that
    of the document, besides ``source`` (the name of the file, if byaldi kept it), ``page`` and ``doc_id``. Zero
    vectors, which ColPali makes of padding, are left out. Documents of the caller add texts and metadata.

    Args:
        folder: The folder.
        given: Reads documents of the caller, one for each page; None if there are none.

    Raises:
        CorruptIndexError: A file is missing, damaged, or contradicts another one.
        InvalidRequestError: The documents of the caller are more or fewer than the pages.
    """

    def __init__(self, folder: Path, given: Callable[[], Iterator[Document]] | None) -> None:
        self._folder = folder
        self._config = read_gzip_json(folder, _CONFIG, dict)
        self._places = _page_places(folder)
        self._names = _by_document(folder, _NAMES)
        self._metadata = _by_document(folder, _METADATA)
        self._images = StoredPages(folder)
        self._files = _embedding_files(folder)
        self._lengths: list[int] = []
        self._file_pages: list[int] = []
        self._dim = self._padding = 0
        for name in self._files:
            self._look_at(name)
        if len(self._lengths) != len(self._places):
            raise damaged(
                folder / _PAGES, f"names {len(self._places):,} pages, and there are {len(self._lengths):,} embeddings"
            )
        self._ids = [f"{document}#page={page}" for document, page in self._places]
        self._given = None if given is None else GivenDocuments(given, passages=len(self._ids), ids=self._ids)

    @property
    def dim(self) -> int:
        """Dimension of the patch vectors."""
        return self._dim

    @property
    def documents(self) -> int:
        """The number of pages."""
        return len(self._places)

    @property
    def tokens(self) -> int:
        """The number of patch vectors, without padding."""
        return sum(self._lengths)

    @property
    def encoder(self) -> str | None:
        """The model that the index names."""
        name = self._config.get("model_name")
        return name[:200] if isinstance(name, str) else None

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings of ``index_config.json.gz`` that are plain values, and that pages were encoded, not texts."""
        known = ("library_version", "full_document_collection", "resize_stored_images")
        plain = {key: self._config[key] for key in known if isinstance(self._config.get(key), (str, bool))}
        return {**plain, "bits": 16, "encodes": "images"}

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost or left out."""
        notes = []
        if self._images.exist:
            notes.append("Page images are kept as thumbnails with sides of at most 1,024 pixels.")
        else:
            notes.append(
                "The source keeps no page images, so hits have none, and heatmaps cannot be shown. Its file names are "
                "in the metadata, as `source`."
            )
        if unreadable := self._images.unreadable:
            number, reason = next(iter(unreadable.items()))
            notes.append(
                f"Left out, because they cannot be read: {counted(len(unreadable), 'page image')}, such as that of "
                f"{self._ids[number]} ({reason})."
            )
        if self._given is None:
            notes.append("Pages have no texts, so they cannot be found by words. Pass the texts with `documents`.")
        if self._padding:
            notes.append(f"{counted(self._padding, 'zero vector')} left out as padding.")
        return tuple(notes)

    def read(self, start: int = 0) -> Iterator[tuple[Document, NDArray[np.float32]]]:
        """Yield the pages from position ``start`` on.

        Raises:
            CorruptIndexError: A file has changed since it was opened, or is damaged.
            OptionalDependencyError: There are page images, and Pillow is not installed.
        """
        images = self._images.read(start)
        ahead = next(images, None)
        given = self._documents(start)
        for number, vectors in self._embeddings(start):
            image = None
            if ahead is not None and ahead[0] == number:
                image, ahead = ahead[1], next(images, None)
            yield self._page(number, image, next(given)), vectors
        if ahead is not None:
            raise damaged(self._folder, f"has an image of page {ahead[0]}, which has no embedding")

    def _embeddings(self, start: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        first = 0
        for name, pages in zip(self._files, self._file_pages, strict=True):
            if first + pages > start:
                tensors = _tensors(self._folder, name)
                if len(tensors) != pages:
                    raise damaged(self._folder / _EMBEDDINGS / name, "has changed")
                for place in range(max(0, start - first), pages):
                    array = np.asarray(as_array(tensors[place]), np.float32)
                    yield first + place, array[(array != 0).any(axis=1)]
            first += pages

    def _documents(self, start: int) -> Iterator[Document]:
        if self._given is not None:
            return self._given.from_position(start)
        return (Document("", id=one) for one in self._ids[start:])

    def _page(self, number: int, image: PageImage | None, given: Document) -> Document:
        document_id, page = self._places[number]
        own = self._metadata.get(document_id, {})
        metadata: dict[str, Any] = {"page": page, "doc_id": document_id}
        if isinstance(name := self._names.get(document_id), str):
            metadata["source"] = name
        metadata |= own if isinstance(own, dict) else {"metadata": own}
        try:
            return Document(
                given.text,
                image=image if given.image is None else given.image,
                id=given.id,
                metadata={**metadata, **given.metadata},
                encoded_text=given.encoded_text,
            )
        except InvalidDocumentError as error:
            raise damaged(self._folder / _METADATA, f"cannot be stored ({error})") from None

    def _look_at(self, name: str) -> None:
        """Note the length of each embedding of a file, and compare the dimensions."""
        path = self._folder / _EMBEDDINGS / name
        tensors = _tensors(self._folder, name)
        for tensor in tensors:
            if str(tensor.dtype) not in _TYPES or tensor.dim() != 2 or not tensor.shape[1]:
                raise damaged(path, f"has an embedding of type {tensor.dtype} and shape {tuple(tensor.shape)}")
            self._dim = self._dim or int(tensor.shape[1])
            if tensor.shape[1] != self._dim:
                raise damaged(path, f"has an embedding of dimension {tensor.shape[1]}, the others have {self._dim}")
            used = int((tensor != 0).any(dim=1).sum())
            self._lengths.append(used)
            self._padding += len(tensor) - used
        self._file_pages.append(len(tensors))


def _tensors(folder: Path, name: str) -> list[Any]:
    tensors = read_pt(folder, f"{_EMBEDDINGS}/{name}")
    if not isinstance(tensors, list):
        raise damaged(folder / _EMBEDDINGS / name, "must contain a list of tensors")
    return tensors


def _embedding_files(folder: Path) -> list[str]:
    """Return the names of the files of embeddings, in the numeric order in which byaldi reads them."""
    found = {name: match for name in file_names(folder, below=_EMBEDDINGS) if (match := _FILE_NAME.fullmatch(name))}
    if not found:
        raise damaged(folder / _EMBEDDINGS, "contains no embeddings_0.pt")
    return sorted(found, key=lambda name: int(found[name][1]))


def _page_places(folder: Path) -> list[tuple[int, int]]:
    """Return the number of the document and of the page of each embedding."""
    path = folder / _PAGES
    values = read_gzip_json(folder, _PAGES, dict)
    places = []
    for number in range(len(values)):
        value = values.get(str(number))
        if not isinstance(value, dict):
            raise damaged(path, f"must have an object for each embedding from 0 on, and has none for {number}")
        document_id, page = _integer(value.get("doc_id")), _integer(value.get("page_id"))
        if document_id is None or page is None:
            raise damaged(path, f"has no numbers doc_id and page_id for embedding {number}")
        places.append((document_id, page))
    if len(set(places)) < len(places):
        raise damaged(path, "has a page twice")
    return places


def _by_document(folder: Path, name: str) -> dict[int, Any]:
    """Return what a file has for each document; nothing if the file is missing, as before byaldi 0.0.2."""
    if not has_file(folder, name):
        return {}
    values = read_gzip_json(folder, name, dict)
    found = {_integer(key): value for key, value in values.items()}
    if None in found or len(found) < len(values):
        raise damaged(folder / name, "must have a number of a document as each key")
    return {key: value for key, value in found.items() if key is not None}


def _integer(value: object) -> int | None:
    """Return a number of byaldi, which reads strings of digits, too; None if it is none."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return int(value)
    return value if type(value) is int and abs(value) < 10**18 else None


def _is_byaldi(folder: Path) -> bool:
    return has_file(folder, _CONFIG) and has_file(folder, _PAGES)


def _open(folder: Path, options: SourceOptions) -> ByaldiIndex:
    return ByaldiIndex(folder, options.documents)


BYALDI = ForeignFormat(
    name="byaldi",
    matches=_is_byaldi,
    open=_open,
    layout=f"{_CONFIG}, {_PAGES}, embeddings/embeddings_0.pt",
)
