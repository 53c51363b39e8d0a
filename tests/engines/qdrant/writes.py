"""Calls that write: what is stored before them, what they do, and what is stored after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.documents import Document
from late_interaction.engines import Record
from tests.engines.helpers import unit_vectors
from tests.engines.qdrant.stored import Content

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Call:
    """A call that writes.

    Attributes:
        name: Its name.
        run: Makes the call on an engine.
        wanted: What is stored when it has succeeded, by id.
        ids: The ids that its report is about.
        deleted: The ids of documents that it may delete.
    """

    name: str
    run: Callable[[Any], Any]
    wanted: dict[str, Content]
    ids: tuple[str, ...]
    deleted: frozenset[str] = field(default_factory=frozenset)

    @property
    def is_confirmed(self):
        """Whether it reads what it has written, since it writes on conditions: if it cannot, it does not know."""
        return self.name in ("update-metadata", "update-documents", "upsert-keeping")


def record(name, version=1, group="a"):
    """Return a record whose text and vectors depend on name and version."""
    vectors = exact(unit_vectors(hash_of(name) + version, 2 + hash_of(name) % 4))
    return Record(Document(f"text of {name} {version}", id=name, metadata={"group": group}), vectors)


def exact(vectors):
    """Return vectors near these, which no number format on the way changes: float16, or six digits."""
    return np.round(vectors * 64) / 64


def hash_of(name):
    """Return a small number for a name, the same in every process."""
    return sum((place + 1) * ord(letter) for place, letter in enumerate(name)) % 1000


def content(record):
    """Return what should be stored of a record."""
    return Content.of(record.document.text, dict(record.document.metadata), record.vectors)


BEFORE = [record(f"old{number}", group="a" if number < 3 else "b") for number in range(5)]
"""What is stored before each call."""

CONTENT_BEFORE = {one.document.id: content(one) for one in BEFORE}


def _add():
    records = [record("new0"), record("old1", 2), record("new1"), record("new2"), record("old3", 2, "b")]
    return Call("add", lambda engine: engine.upsert(records), CONTENT_BEFORE | _by_id(records), _ids(records))


def _add_stream():
    records = [record("new0"), record("old1", 2), record("new1")]
    return Call(
        "add-iterator",
        lambda engine: engine.upsert(iter(records)),
        CONTENT_BEFORE | _by_id(records),
        _ids(records),
    )


def _replace():
    records = [record("new0"), record("old1", 2), record("new1")]
    gone = frozenset({"old0", "old2"})
    wanted = {key: one for key, one in CONTENT_BEFORE.items() if key not in gone} | _by_id(records)
    return Call(
        "add-replacing", lambda engine: engine.upsert(records, replacing={"group": "a"}), wanted, _ids(records), gone
    )


def _delete_ids():
    gone = frozenset({"old0", "old2", "old3"})
    wanted = {key: one for key, one in CONTENT_BEFORE.items() if key not in gone}
    return Call("delete-ids", lambda engine: engine.delete(ids=sorted(gone)), wanted, (), gone)


def _delete_where():
    gone = frozenset({"old3", "old4"})
    wanted = {key: one for key, one in CONTENT_BEFORE.items() if key not in gone}
    return Call("delete-where", lambda engine: engine.delete(where={"group": "b"}), wanted, (), gone)


def _update():
    ids = ("old0", "old1", "old2", "old4")
    changed = {key: CONTENT_BEFORE[key] for key in ids}
    changed = {key: one._replace(metadata={**one.metadata, "seen": 7}) for key, one in changed.items()}
    return Call(
        "update-metadata",
        lambda engine: engine.update_metadata(ids, {"seen": 7}),
        CONTENT_BEFORE | changed,
        ids,
    )


def _update_documents():
    ids = ("old0", "old1", "old2", "old4")
    documents = [Document(CONTENT_BEFORE[key].text, id=key, metadata={"moved": key}) for key in ids]
    changed = {one.id: CONTENT_BEFORE[one.id]._replace(metadata=dict(one.metadata)) for one in documents}
    return Call(
        "update-documents",
        lambda engine: engine.update_documents(documents, 1),
        CONTENT_BEFORE | changed,
        ids,
    )


def _keep():
    kept = [Document(one.document.text, id=one.document.id, metadata={"kept": True}) for one in BEFORE[:2]]
    gone = Document("text of gone 1", id="gone", metadata={"kept": True})
    new = [record("new0"), record("old3", 2)]
    items = [kept[0], new[0], kept[1], new[1], gone]

    def encode(documents):
        return [Record(one, record(one.id).vectors) for one in documents]

    wanted = CONTENT_BEFORE | _by_id(new) | _by_id(encode([gone]))
    wanted |= {one.id: CONTENT_BEFORE[one.id]._replace(metadata={"kept": True}) for one in kept}
    ids = tuple(one.id if isinstance(one, Document) else one.document.id for one in items)
    return Call("upsert-keeping", partial(_run_keeping, items=items, encode=encode), wanted, ids)


def _run_keeping(engine, items, encode):
    return engine.upsert_keeping(items, encode)


def _by_id(records):
    return {one.document.id: content(one) for one in records}


def _ids(records):
    return tuple(one.document.id for one in records)


_CALLS = [_add, _add_stream, _replace, _delete_ids, _delete_where, _update, _update_documents, _keep]
CALLS = {call.name: call for call in (make() for make in _CALLS)}
