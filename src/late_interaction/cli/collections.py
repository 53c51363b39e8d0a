"""What the command `evaluate` reads: an index or documents, and queries with judgments or made of the documents."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.cli.output import show_skipped
from late_interaction.encoders.minilm_package import MINILM
from late_interaction.errors import (
    IndexLockedError,
    IndexNotFoundError,
    InvalidRequestError,
    StorageError,
    UnsupportedError,
)
from late_interaction.evaluation import Dataset, read_dataset, synthetic_dataset
from late_interaction.evaluation.reading.corpora import JsonlDocuments
from late_interaction.evaluation.reading.vidore import is_vidore
from late_interaction.evaluation.synthetic import ChangedDocuments
from late_interaction.evaluation.temporary import temporary_folder
from late_interaction.index import Index
from late_interaction.index_encoder import as_encoder, modalities
from late_interaction.readers import read_paths
from late_interaction.wording import shown_location

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from late_interaction.documents import Document
    from late_interaction.encoders import Encoder

__all__ = ["Asked", "Collection", "opened"]

_JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_CORPUS = ("corpus.jsonl", "corpus.jsonl.gz")
_QUERIES = ("queries.jsonl", "queries.jsonl.gz")


@dataclass(frozen=True)
class Asked:
    """Where the queries come from.

    Attributes:
        queries: A file of queries.
        qrels: A file of judgments.
        split: Of a folder with several.
        synthetic: Make queries of the documents.
    """

    queries: Path | None = None
    qrels: Path | None = None
    split: str | None = None
    synthetic: bool = False


@dataclass(frozen=True)
class Collection:
    """What is evaluated.

    Attributes:
        searched: An index, or documents.
        dataset: The queries.
        encoder: Of documents; None if they need none, and for an index, which has its own.
        notes: What the user should know, as sentences.
    """

    searched: Index | Iterable[Document]
    dataset: Dataset
    encoder: Encoder | None
    notes: tuple[str, ...] = ()


class _Stored:
    """The documents of an index, which can be iterated any number of times."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __iter__(self) -> Iterator[Document]:
        return self._index.scan()


@contextmanager
def opened(source: str, encoder: str | None, asked: Asked, *, needs_vectors: bool) -> Iterator[Collection]:
    """Open an index, or read a test collection, documents as JSON lines, or a folder of files.

    Args:
        source: The directory or address of an index, a folder, or a file.
        encoder: Name or path of the encoder; by default that of the index, or the one that `index` takes.
        asked: Where the queries come from.
        needs_vectors: Whether documents are searched by token vectors; otherwise they need no encoder.

    Raises:
        InvalidRequestError: There are neither judged queries nor synthetic ones, or the source is of no known kind.
        LateInteractionError: As for the index, the files of queries and judgments, and the documents.
    """
    with ExitStack() as stack:
        index = _index_at(source, encoder)
        if index is not None:
            stack.enter_context(index)
            yield _of_index(index, source, asked, stack)
            return
        place = Path(source)
        chosen = as_encoder(encoder or MINILM) if needs_vectors or encoder else None
        if not asked.synthetic and (is_vidore(place) or (_corpus_in(place) and _has_queries(place, asked))):
            dataset = read_dataset(place, queries=asked.queries, qrels=asked.qrels, split=asked.split)
            yield Collection(dataset.documents or (), dataset, chosen)
            return
        documents = _documents(place, chosen)
        dataset = _dataset(documents, source, asked)
        yield Collection(dataset.documents or documents, dataset, chosen)


def _index_at(source: str, encoder: str | None) -> Index | None:
    """Return the index there, open for reading; None if it is something else."""
    if Path(source).is_file():
        return None
    try:
        return Index.open(source, encoder=encoder, read_only=True)
    except IndexNotFoundError:
        if Path(source).is_dir():
            return None
        shown = shown_location(source)
        raise IndexNotFoundError(f"There is neither an index nor a file or folder at {shown}.") from None


def _corpus_in(folder: Path) -> Path | None:
    """Return the file with the documents of a folder of BEIR; None if it is something else."""
    return next((folder / name for name in _CORPUS if (folder / name).is_file()), None)


def _has_queries(folder: Path, asked: Asked) -> bool:
    return asked.queries is not None or any((folder / name).is_file() for name in _QUERIES)


def _documents(place: Path, encoder: Encoder | None) -> Iterable[Document]:
    if corpus := _corpus_in(place):
        return JsonlDocuments(corpus)
    if place.is_file() and place.name.lower().endswith(_JSON_LINES):
        return JsonlDocuments(place)
    if is_vidore(place):
        return read_dataset(place).documents or ()
    read = ("text",) if encoder is None else modalities(encoder)
    return list(read_paths([place], modalities=read, on_skip=show_skipped))


def _dataset(documents: Iterable[Document], source: str, asked: Asked) -> Dataset:
    """Return the queries for documents. The name is that of the documents and of the queries."""
    if asked.synthetic:
        dataset = synthetic_dataset(documents)
    elif asked.queries is not None:
        dataset = read_dataset(asked.queries, qrels=asked.qrels, split=asked.split)
    else:
        raise InvalidRequestError(
            f"{shown_location(source)} has no queries with judgments. Give --queries FILE, with --qrels FILE if the "
            "judgments are in another file; or --synthetic, to make queries from the documents."
        )
    return replace(dataset, name=f"{shown_location(source)}, {dataset.name}")


def _of_index(index: Index, source: str, asked: Asked, stack: ExitStack) -> Collection:
    stored = _Stored(index)
    dataset = _dataset(stored, source, asked)
    if not isinstance(dataset.documents, ChangedDocuments):
        return Collection(index, dataset, None)
    try:
        copy = _copied(source, index.encoder, stack)
    except (IndexLockedError, StorageError, UnsupportedError) as error:
        notes = (f"All documents were encoded again, because the index cannot be copied: {error}",)
        return Collection(dataset.documents, dataset, index.encoder, notes)
    copy.add(dataset.documents.changed.values())
    copy.compact()
    return Collection(copy, dataset, None)


def _copied(source: str, encoder: Encoder, stack: ExitStack) -> Index:
    """Return a copy of an index in a temporary directory, to change documents in."""
    place = stack.enter_context(temporary_folder()) / "index"
    with Index.open(source, encoder=encoder) as writable:  # a copy needs the lock of the writer
        writable.copy(place)
    return stack.enter_context(Index.open(place, encoder=encoder))
