"""Known-item queries, made from the documents themselves without a model.

Each query is a text of one document, which is removed from that document, so that it has to be found by what is left
(Azzopardi, de Rijke & Balog, 2007, draw such queries from a language model of the document; here they are whole).
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from typing import TYPE_CHECKING

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.dataset import Dataset, JudgedQuery
from late_interaction.evaluation.known_items import KINDS, known_items, normalized, section_keys, words_of
from late_interaction.readers.passages import split_sentences
from late_interaction.validation import check_k
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from late_interaction.documents import Document
    from late_interaction.evaluation.known_items import KnownItem

__all__ = ["SYNTHETIC", "ChangedDocuments", "synthetic_dataset"]

SYNTHETIC = (
    "The queries are synthetic: titles, first sentences and rare sentences of the documents, each removed from the "
    "document that it was taken from. They can tell settings of one system apart. They cannot tell how well questions "
    "of users are answered, whose words differ from those of the documents."
)
"""The note that every synthetic dataset has."""

_NAMES = dict(zip(KINDS, ("titles", "first sentences", "sentences with rare words"), strict=True))
_POOL = 5  # candidates for each query
_MIN_POOL = 1000


class ChangedDocuments:
    """Documents of which a few are replaced. They can be iterated as often as those that were given.

    Args:
        documents: All documents.
        changed: The replaced ones, by id.
    """

    def __init__(self, documents: Iterable[Document], changed: Mapping[str, Document]) -> None:
        self._documents = documents
        self.changed = changed

    def __iter__(self) -> Iterator[Document]:
        for document in self._documents:
            yield self.changed.get(document.id, document)


class _Collection:
    """What one pass over the documents tells: a sample of them, and what they have in common.

    Attributes:
        sample: The sampled documents with text and without an image, in an order that depends on ids and seed alone.
        total: The number of documents.
        pages: How many have an image.
        blank: How many others have no words.
        frequencies: How many documents have each word.
        sections: How many documents have each title and heading.
        texts: How many documents have each text, by hash.
        duplicates: How many documents have the text of another one.
    """

    def __init__(self, documents: Iterable[Document], size: int, seed: int) -> None:
        self.total = self.pages = self.blank = 0
        self.frequencies: Counter[str] = Counter()
        self.sections: Counter[str] = Counter()
        self.texts: Counter[bytes] = Counter()
        heap: list[tuple[int, int, Document]] = []
        numbers = count()
        for document in documents:
            self.total += 1
            self.sections.update(section_keys(document))
            words = set(words_of(document.text_to_encode))
            if document.image is not None or not words:
                self.pages += document.image is not None
                self.blank += document.image is None
                continue
            self.frequencies.update(words)
            self.texts[text_key(document.text)] += 1
            entry = (-_position(document.id, seed), next(numbers), document)
            if len(heap) < size:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
        self.duplicates = sum(number for number in self.texts.values() if number > 1)
        self.sample = [document for _, _, document in sorted(heap, key=lambda entry: -entry[0])]


def synthetic_dataset(documents: Iterable[Document], *, queries: int = 200, seed: int = 0) -> Dataset:
    """Return a dataset of known-item queries for documents: each has one relevant document, from which it was taken.

    A third of the queries each are titles (of the metadata, or a heading line), first sentences, and the sentences with
    the rarest words; documents that lack one give another. Each is removed from its document, whose id stays. Exact
    duplicates of other documents, and sentences that several documents have, are not used.

    Args:
        documents: The documents, texts of any language. An iterator is read into memory.
        queries: How many to make, at most one for each document.
        seed: Of the sample. The same documents and seed give the same queries, in whatever order the documents come.

    Returns:
        The queries, and all documents with those changed that a query was taken from. The notes say what was left out.

    Raises:
        InvalidRequestError: ``queries`` is not positive, or no query can be made: the documents are pages without text,
            too short, or all alike.

    Example:
        >>> from late_interaction import Document
        >>> text = "The Nile is a river in Africa. It flows north through eleven countries into the Mediterranean Sea."
        >>> dataset = synthetic_dataset([Document(text, id="nile")])
        >>> dataset.queries[0].query, dataset.queries[0].relevant
        ('The Nile is a river in Africa.', {'nile': 1})
        >>> [document.text for document in dataset.documents]
        ['It flows north through eleven countries into the Mediterranean Sea.']
    """
    queries = check_k(queries, "queries")
    given = list(documents) if isinstance(documents, Iterator) else documents
    collection = _Collection(given, max(_POOL * queries, _MIN_POOL), seed)
    unique = [document for document in collection.sample if collection.texts[text_key(document.text)] == 1]
    items = [
        known_items(document, collection.sections, collection.frequencies, collection.total) for document in unique
    ]
    repeated = _repeated(given, {item.query for of_one in items for item in of_one})
    chosen = _chosen(items, repeated, queries)
    if not chosen:
        raise InvalidRequestError(_why_none(collection))
    numbers: Counter[str] = Counter()
    judged = []
    for item in chosen:
        numbers[item.kind] += 1
        judged.append(JudgedQuery(f"{item.kind}-{numbers[item.kind]}", item.query, {item.document.id: 1}))
    changed = ChangedDocuments(given, {item.document.id: item.document for item in chosen})
    notes = [SYNTHETIC, *_notes(collection, unique, items, repeated, numbers, asked=queries)]
    return Dataset("synthetic queries", changed, judged, tuple(notes))


def text_key(text: str) -> bytes:
    """Return the same for texts that differ in white space and case alone."""
    return hashlib.blake2b(normalized(text).encode(), digest_size=12).digest()


def _position(name: str, seed: int) -> int:
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _repeated(documents: Iterable[Document], queries: set[str]) -> set[str]:
    """Return those of the queries that are a sentence, the first line or the title of several documents."""
    keys = {text_key(query) for query in queries}
    found: Counter[bytes] = Counter()
    for document in documents:
        line = document.text.strip().partition("\n")[0].strip("# ")
        texts = [*split_sentences(document.text), line, str(document.metadata.get("title", ""))]
        found.update({text_key(text) for text in texts} & keys)
    return {query for query in queries if found[text_key(query)] > 1}


def _chosen(items: list[list[KnownItem]], repeated: set[str], queries: int) -> list[KnownItem]:
    """Return one query of each document, as many of each kind as possible."""
    chosen: list[KnownItem] = []
    numbers = dict.fromkeys(KINDS, 0)
    for of_one in items:
        usable = [item for item in of_one if item.query not in repeated]
        if usable and len(chosen) < queries:
            item = min(usable, key=lambda item: numbers[item.kind])
            numbers[item.kind] += 1
            chosen.append(item)
    return chosen


def _why_none(collection: _Collection) -> str:
    if not collection.total:
        return "There are no documents to make queries from."
    documents = counted(collection.total, "document")
    if collection.pages == collection.total:
        return (
            f"Synthetic queries are made from texts, and all {documents} are pages, whose images cannot be searched "
            "without the query. Give queries with relevant documents."
        )
    if collection.duplicates == sum(collection.texts.values()):
        return (
            f"No synthetic query can be made from {documents}: each has the same text as another one. Remove the "
            "duplicates, or give queries with relevant documents."
        )
    return (
        f"No synthetic query can be made from {documents}: a document needs a title or a sentence that no other "
        "document has, and at least 8 words besides. Give queries with relevant documents."
    )


def _notes(
    collection: _Collection,
    unique: list[Document],
    items: list[list[KnownItem]],
    repeated: set[str],
    numbers: Counter[str],
    *,
    asked: int,
) -> Iterator[str]:
    kinds = ", ".join(f"{numbers[kind]:,} {name}" for kind, name in _NAMES.items())
    number = sum(numbers.values())
    fewer = f", fewer than the {asked:,} asked for" if number < asked else ""
    yield f"Synthetic queries made from {counted(collection.total, 'document')}: {kinds}{fewer}."
    if duplicates := collection.duplicates:
        yield (
            f"{duplicates:,} documents have the same text as another one: no queries were made from them. Near "
            "duplicates are not detected; where there are many, each system is underrated, because one alone counts as "
            "relevant."
        )
    short = sum(not of_one for of_one in items)
    common = sum(bool(of_one) and all(item.query in repeated for item in of_one) for of_one in items)
    reasons = [f"{short:,} too short to remove a sentence from"] if short else []
    reasons += [f"{common:,} without a title or sentence of their own"] if common else []
    if reasons:
        yield f"Of the {counted(len(unique), 'document')} considered, not used: {', '.join(reasons)}."
    others = [f"{collection.pages:,} with page images"] if collection.pages else []
    others += [f"{collection.blank:,} without words"] if collection.blank else []
    if others:
        yield f"Documents that are searched, but that no queries were made from: {', '.join(others)}."
