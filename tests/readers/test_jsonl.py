"""Documents from JSONL."""

from __future__ import annotations

import io
import json

import pytest

from late_interaction import Document
from late_interaction.errors import InvalidDocumentError
from late_interaction.readers import read_jsonl


def test_documents_come_back_as_they_were():
    documents = [
        Document("Köln\u2028 liegt\nam Rhein.", id="a b", metadata={"year": 2020, "tags": ["x", None]}),
        Document("text", id="c", encoded_text="title\ntext"),
        Document("no id"),
    ]
    lines = [
        {"id": d.id, "text": d.text, "metadata": dict(d.metadata), "encoded_text": d.encoded_text} for d in documents
    ]
    text = "\ufeff" + "\r\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert list(read_jsonl(io.StringIO(text))) == documents
    assert list(read_jsonl(['{"text": "no id"}'])) == documents[2:]


def test_one_line_at_a_time():
    lines = iter(['{"text": "one"}\n', '{"text": "two"}\n'])
    reading = read_jsonl(lines)
    assert next(reading).text == "one"
    assert list(lines) == ['{"text": "two"}\n']


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Line 3 is not JSON: Expecting"),
        ("[" * 100_000, "Line 3 is not JSON"),
        ("[1]", r"Line 3 is not a JSON object: '\[1\]'"),
        ("{}", "Line 3 has no text"),
        ('{"text": 3}', "Line 3 has no text"),
        ('{"text": "x", "year": 3}', "Line 3 has the unknown key 'year'. Known are id, text, metadata"),
        ('{"text": "x", "id": 3}', "Line 3: "),
        ('{"text": "x", "id": ""}', "Line 3: "),
        ('{"text": "x", "metadata": []}', "Line 3: metadata must be a dict"),
        ('{"text": "\\ud800"}', "Line 3: "),
        ('{"text": "x", "text": "y"}', "Line 3 is not JSON: a key occurs twice"),
    ],
)
def test_a_line_that_is_no_document_is_named(line, message):
    reading = read_jsonl(['{"text": "x"}', "", line])
    next(reading)
    with pytest.raises(InvalidDocumentError, match=message):
        next(reading)


def test_bytes_that_are_not_text(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "x"}\n\xff\n')
    with (tmp_path / "a.jsonl").open(encoding="utf-8") as file, pytest.raises(InvalidDocumentError, match="not utf-8"):
        list(read_jsonl(file))
