"""Parts of documents, in every format; damage in them is an error of ours."""

from __future__ import annotations

import pytest

from late_interaction.documents import DocumentFields
from late_interaction.engines.local import LocalEngine
from late_interaction.errors import CorruptIndexError, InvalidDocumentError, InvalidRequestError
from tests.engines.catalogs import change
from tests.engines.helpers import record
from tests.engines.test_local_formats import NAMES, unpacked

ALL = ("text", "encoded_text", "metadata", "image")


def parts(document, fields):
    return DocumentFields(document.id, **{name: getattr(document, name) for name in fields})


@pytest.mark.parametrize("name", [*NAMES, "now"])
@pytest.mark.parametrize("fields", [(), ("id",), ("metadata",), ("image", "text"), ALL], ids=str)
def test_fields_are_those_of_the_documents(name, fields, tmp_path):
    root = tmp_path / name
    if name == "now":
        with LocalEngine.open(root, dim=8) as engine:
            engine.upsert(record(f"d{n}", n=n) for n in range(70))
    else:
        root = unpacked(name, tmp_path)
    with LocalEngine.open(root, read_only=True) as engine:
        documents = list(engine.scan())
        assert documents
        read = [field for field in fields if field != "id"]
        assert list(engine.scan(fields=fields)) == [parts(document, read) for document in documents]
        with engine.one_state():
            assert list(engine.scan(fields=fields)) == [parts(document, read) for document in documents]


def test_parts_are_no_documents(engine):
    engine.upsert([record("a")])
    with pytest.raises((InvalidDocumentError, AttributeError)):
        engine.upsert([*engine.scan(fields=ALL)])
    assert engine.count() == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("text", r"a list of names, got the string 'text'. Pass `\['text'\]`"),
        (["texts"], "among id, text.*got 'texts'"),
    ],
)
def test_other_fields(engine, fields, message):
    with pytest.raises(InvalidRequestError, match=message):
        engine.scan(fields=fields)


@pytest.mark.parametrize("column", ["metadata = 'x'", "metadata = '[1'", "metadata = x'00ff'"])
def test_a_damaged_field(root, engine, column):
    engine.upsert([record("a"), record("b")])
    engine.close()
    change(root, f"UPDATE documents SET {column} WHERE id = 'b'")
    with LocalEngine.open(root) as again:
        assert [found.id for found in again.scan(fields=())] == ["a", "b"]
        with pytest.raises(CorruptIndexError, match=r"'b'.*Restore the index"):
            list(again.scan(fields=["metadata"]))
