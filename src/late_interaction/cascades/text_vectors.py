"""Vectors that a model makes of the texts of all documents, in memory and in step with the index."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.documents import Document
from late_interaction.forking import renew_in_child
from late_interaction.retrieval.truncation import Truncation

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from late_interaction.cascades.models import TextModel
    from late_interaction.cascades.stage import Restriction
    from late_interaction.documents import DocumentFields
    from late_interaction.engines import Engine

__all__ = ["TextVectors", "digest", "text_only"]

_WINDOW_DOCUMENTS = 1024  # whose texts are in memory at once


@dataclass(frozen=True)
class _State:
    """The vectors of one state of the index.

    Attributes:
        token: `Engine.change_token` of that state.
        ids: Ids of the documents, in the order of addition.
        digests: What their texts were, for comparisons.
        vectors: What `TextModel.documents` gives, one row for each document.
    """

    token: Hashable
    ids: list[str]
    digests: list[bytes]
    vectors: Any


class TextVectors:
    """The vectors of all texts of an index. Any thread may call.

    Args:
        engine: Holds the documents.
        model: Makes the vectors.
    """

    def __init__(self, engine: Engine, model: TextModel) -> None:
        self._engine = engine
        self._model = model
        self._state: _State | None = None
        self._make_mutex()
        renew_in_child(self._make_mutex)

    def _make_mutex(self) -> None:
        self._mutex = threading.RLock()  # reentrant, so that a signal handler may search

    def best(self, query: Any, count: int, restriction: Restriction) -> list[tuple[str, float, bytes]]:
        """Return id, score and digest of the text of the best documents, best first; of equal ones the older first.

        Args:
            query: What the model makes of the query.
            count: How many.
            restriction: Which documents.
        """
        state = self._current()
        scores = self._model.scores(query, state.vectors)
        positions = np.arange(len(state.ids))
        allowed = self._allowed(restriction)
        if allowed is not None:
            positions = np.array([at for at, name in enumerate(state.ids) if name in allowed], np.int64)
        found = positions[np.argsort(-scores[positions], kind="stable")[:count]]
        return [(state.ids[at], float(scores[at]), state.digests[at]) for at in found.tolist()]

    def refresh(self) -> None:
        """Bring the vectors up to date, encoding the texts that are new or have changed."""
        with self._mutex:
            self._state = self._read(self._state)

    def _current(self) -> _State:
        """Return vectors that are up to date, as far as the engine can tell that something has changed."""
        state = self._state
        if state is None or state.token != self._engine.change_token():
            with self._mutex:  # held while encoding, so that many first searches encode once
                state = self._state
                if state is None or state.token != self._engine.change_token():
                    state = self._state = self._read(state)
        return state

    def _allowed(self, restriction: Restriction) -> set[str] | None:
        """Return the ids of the documents that may be found; None for all."""
        if restriction == (None, None):
            return None
        allowed: set[str] | None = None
        if restriction.clause is not None:
            allowed = {found.id for found in self._engine.scan(where=restriction.clause, fields=())}
        if restriction.candidates is not None:
            given = set(restriction.candidates)
            allowed = given if allowed is None else allowed & given
        return allowed

    def _read(self, known: _State | None) -> _State:
        """Return the vectors of the last state of the index, taking known ones of texts that have not changed."""
        rows = {} if known is None else {key: at for at, key in enumerate(zip(known.ids, known.digests, strict=True))}
        ids: list[str] = []
        digests: list[bytes] = []
        kept: dict[int, int] = {}  # rows of known vectors by their new position
        new: list[int] = []  # positions
        parts: list[Any] = []
        truncation = Truncation()
        token = self._engine.change_token()  # first: what is written meanwhile changes it again
        for window in _windows(self._engine.scan(fields=("text", "encoded_text"))):
            fresh: list[Document] = []
            for found in window:
                text = _text(found)
                key = found.id, digest(text)
                if key in rows:
                    kept[len(ids)] = rows[key]
                else:
                    new.append(len(ids))
                    fresh.append(text_only(found.id, text))
                ids.append(found.id)
                digests.append(key[1])
            if fresh:
                parts.append(self._model.documents(fresh, truncation))
        truncation.warn()
        of_kept = list(kept.values())
        if known is not None and not new and of_kept == list(range(len(known.ids))):
            return _State(token, ids, digests, known.vectors)
        first = self._model.none() if known is None else known.vectors[np.array(of_kept, np.int64)]
        vectors = self._model.stacked([first, *parts])[np.argsort([*kept, *new])]
        return _State(token, ids, digests, vectors)


def text_only(document_id: str, text: str) -> Document:
    """Return the document whose text a model reads, without the image of a page."""
    return Document.restored(text, id=document_id, metadata={}, encoded_text=None, image=None)


def digest(text: str) -> bytes:
    """Return what tells a text from others, in 16 bytes."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _text(found: DocumentFields) -> str:
    return (found.text or "") if found.encoded_text is None else found.encoded_text


def _windows(rows: Iterator[DocumentFields]) -> Iterator[list[DocumentFields]]:
    while window := list(islice(rows, _WINDOW_DOCUMENTS)):
        yield window
