"""The index that is evaluated, and other indexes of its documents."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from late_interaction.documents import Document
from late_interaction.encoders import ReducedEncoder, reads_images
from late_interaction.encoders.single_vector import PooledEncoder
from late_interaction.evaluation.query_encoding import QueryEncoder, reduced_alike
from late_interaction.evaluation.settings import Setting
from late_interaction.evaluation.temporary import without_words
from late_interaction.index import Index
from late_interaction.retrieval.encoding import encode_documents
from late_interaction.retrieval.truncation import Truncation
from late_interaction.validation import is_invisible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from late_interaction.encoders import Encoder
    from late_interaction.engines import Engine, Record
    from late_interaction.evaluation.temporary import TemporaryIndexes

__all__ = ["EvaluatedIndex", "stored_records"]

_CHUNK_DOCUMENTS = 128
"""Documents that are read with their vectors together."""


class EvaluatedIndex:
    """An index, and other indexes of its documents. Nothing of the index is changed.

    Args:
        index: The index.
        temporary: Where other indexes are made.
        exact: An index of the same documents with the vectors as the encoder makes them; None if there is none yet.

    Attributes:
        notes: What the user should know, as sentences.
    """

    def __init__(self, index: Index, temporary: TemporaryIndexes, *, exact: Index | None = None) -> None:
        self.index = index
        self.notes: list[str] = []
        self._temporary = temporary
        self._exact = exact

    @cached_property
    def queries(self) -> QueryEncoder:
        """Encodes the queries, once for every index that is made with the encoder.

        Raises:
            MissingEncoderError: The index has no encoder.
        """
        encoder = self.index.encoder
        return QueryEncoder(encoder.encoder if isinstance(encoder, ReducedEncoder) else encoder)

    @cached_property
    def setting(self) -> Setting:
        """How the index stores its vectors."""
        encoder = self.index.encoder
        pooling = encoder.pooling if isinstance(encoder, ReducedEncoder) else 1
        return Setting(self.index.info().get("bits"), pooling, self.index.engine.dim)

    @cached_property
    def searched(self) -> Index:
        """The index as one whose queries are encoded by `queries`."""
        return Index(engine=self.index.engine, encoder=reduced_alike(self.index.encoder, lambda _: self.queries))

    def derived(self, setting: Setting) -> Index:
        """Return an index of the same documents with other settings, made of the vectors of `exact`."""
        exact = self.exact()
        if setting == Setting(None, 1, exact.engine.dim):
            return Index(engine=exact.engine, encoder=self.queries)
        index = self._temporary.open(
            encoder=self.queries, bits=setting.bits, pooling=setting.pooling, dim=setting.dim, language=None
        )
        convert = _Converted(lambda stored: reduced_alike(index.encoder, lambda _: stored), self.queries)
        records = map(convert, stored_records(exact.engine))
        name = f"Storing {setting.name(self.queries.dim)}"
        index.engine.upsert(map(without_words, self._temporary.shown(records, name, exact.count())))
        index.compact()  # compresses also what is left of the last documents
        return index

    def exact(self) -> Index:
        """Return an index with the vectors as the encoder makes them, in float16; encode documents if there is none."""
        if self._exact is None:
            if self.setting == Setting(None, 1, self.queries.dim) and self.index.engine.capabilities.vectors:
                self._exact = self.index
            else:
                self.notes.append(
                    "The documents were encoded again for the other settings, because the index stores compressed or "
                    "reduced vectors."
                )
                self._exact = self.encoded(self.queries)
        return self._exact

    def encoded(self, queries: QueryEncoder) -> Index:
        """Return an index of the same documents with the vectors of another encoder, in float16.

        Of a page, an encoder that does not read images encodes the text on it.
        """
        encoder = queries.encoder
        index = self._temporary.open(encoder=queries, bits=None, language=None)
        originals: deque[Document] = deque()  # which a cascade compares with those of the index

        def documents() -> Iterator[Document]:
            for document in self.index.scan():
                originals.append(document)
                yield document if reads_images(encoder) else _as_text(document)

        truncation = Truncation()
        records = encode_documents(encoder, documents(), truncation=truncation)
        shown = self._temporary.shown(records, "Encoding", self.index.count())
        index.engine.upsert(replace(record, document=originals.popleft()) for record in shown)
        truncation.warn()
        return index

    def pooled(self) -> Index:
        """Return an index of the mean of the vectors of each document, in float16.

        They are the means of what the index stores; of documents encoded again where it stores reduced vectors.
        """
        is_reduced = self.setting.pooling > 1 or self.setting.dim < self.queries.dim
        stored = self.exact() if self._exact is not None or is_reduced else self.index
        index = self._temporary.open(encoder=PooledEncoder(self.queries), bits=None, language=None)
        records = map(_Converted(PooledEncoder, self.queries), stored_records(stored.engine))
        index.engine.upsert(self._temporary.shown(records, "Pooling", stored.count()))
        return index

    def documents(self) -> Iterator[Document]:
        """Return the documents as texts, those of pages too."""
        return map(_as_text, self.index.scan())

    @cached_property
    def lexical_bytes(self) -> int | None:
        """What lexical search stores, in bytes; None if the engine does not tell."""
        return self.index.engine.lexical_bytes()

    @cached_property
    def without_text(self) -> int:
        """How many documents are pages without text."""
        if "image" not in self.index.modalities:
            return 0
        return sum(
            document.image is not None and is_invisible(document.text_to_encode) for document in self.index.scan()
        )


def stored_records(engine: Engine) -> Iterator[Record]:
    """Yield the documents of an engine with their vectors, in the order of addition."""
    ids = (fields.id for fields in engine.scan(fields=()))
    while chunk := list(islice(ids, _CHUNK_DOCUMENTS)):
        found = engine.records(chunk)
        yield from (found[key] for key in chunk if key in found)


def _as_text(document: Document) -> Document:
    return document if document.image is None else Document(document.text_to_encode, id=document.id)


class _Converted:
    """Makes of stored vectors what an encoder makes of those of another encoder.

    Args:
        wrap: Returns the encoder, over the one that is given.
        queries: The encoder that made the vectors; its queries tell their common direction.
    """

    def __init__(self, wrap: Callable[[Encoder], Encoder], queries: QueryEncoder) -> None:
        self._stored = _StoredVectors(queries)
        self._encoder = wrap(self._stored)

    def __call__(self, record: Record) -> Record:
        self._stored.vectors = record.vectors
        return replace(record, vectors=self._encoder.encode_documents([""])[0], root=None)


class _StoredVectors(QueryEncoder):
    """Gives stored vectors for a document, whatever its text is."""

    vectors: NDArray[np.floating[Any]]

    def encode_documents(self, texts: list[str]) -> list[NDArray[np.floating[Any]]]:
        return [self.vectors for _ in texts]
