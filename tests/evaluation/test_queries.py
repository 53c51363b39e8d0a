"""`as_queries`: every form of judged queries, and what is refused."""

from __future__ import annotations

import gzip
import json

import pytest

from late_interaction import Document
from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation import JudgedQuery, as_queries


def test_every_form_of_relevant_documents():
    queries = as_queries(
        [
            {"query": "one", "relevant": "a"},
            {"query": "list", "relevant": ["a", "b"]},
            {"query": "grades", "relevant": {"a": 2, "b": 0, "c": 0.5}, "id": "third"},
            {"query": "numbers", "relevant": [7, 8], "id": 4},
            {"query": "none", "relevant": []},
            JudgedQuery("sixth", "an object", {"a": 1}),
        ]
    )
    assert [query.id for query in queries] == ["1", "2", "third", "4", "5", "sixth"]
    assert [query.relevant for query in queries] == [
        {"a": 1},
        {"a": 1, "b": 1},
        {"a": 2, "b": 0, "c": 0.5},
        {"7": 1, "8": 1},
        {},
        {"a": 1},
    ]


def test_a_query_may_be_a_page(tmp_path):
    pytest.importorskip("PIL")
    from tests.pictures import write_picture

    page = Document(image=write_picture(tmp_path / "page.png"))
    assert as_queries([{"query": page, "relevant": "a"}])[0].query is page


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_a_file(tmp_path, compressed):
    lines = ['{"query": "Ñandú 駝鳥", "relevant": "ä b"}', "", '{"query": "two", "relevant": {"7": 2}, "extra": 1}']
    data = "\ufeff" + "\r\n".join(lines)
    path = tmp_path / ("queries.jsonl.gz" if compressed else "queries.jsonl")
    path.write_bytes(gzip.compress(data.encode()) if compressed else data.encode())
    expected = [JudgedQuery("1", "Ñandú 駝鳥", {"ä b": 1.0}), JudgedQuery("2", "two", {"7": 2.0})]
    assert as_queries(path) == as_queries(str(path)) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"query": "q", "relevant": "a"}, "list of dicts"),
        (7, "list of dicts"),
        (["q"], "Query 1: must be a dict"),
        ([{"query": "q"}], "Query 1: has the keys 'query'"),
        ([{"text": "q", "relevant": "a"}], "Expected"),
        ([{"query": "q", "relevant": None}], "must be a document id, a list of ids or a dict"),
        ([{"query": "q", "relevant": 1.5}], "got 1.5"),
        ([{"query": "q", "relevant": ["a", None]}], "got None"),
        ([{"query": "q", "relevant": {"a": "1"}}], "finite number, got '1'"),
        ([{"query": "q", "relevant": {"a": float("nan")}}], "finite number, got nan"),
        ([{"query": "q", "relevant": {"a": True}}], "finite number, got True"),
        ([{"query": "q", "relevant": {"a": 10**400}}], "A grade must be a finite number"),
        ([{"query": "q", "relevant": 10**400}], "an integer of 64 bits"),
        ([{"query": "q", "relevant": ""}], "not empty"),
        ([{"query": 7, "relevant": "a"}], "must be a string"),
        ([{"query": " \u200b", "relevant": "a"}], "Query 1: A query must not be blank"),
        ([{"query": "\ud800", "relevant": "a"}], "not valid Unicode"),
        ([{"query": "q", "relevant": "a", "id": True}], "id must be a string"),
        ([{"query": "q", "relevant": "a", "id": 2}, {"query": "q", "relevant": "a"}], "Query 2: .* '2' too"),
        ([JudgedQuery("", "q", {})], "id must be a string"),
    ],
)
def test_queries_that_are_refused(given, said):
    with pytest.raises(InvalidRequestError, match=said):
        as_queries(given)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "expected a JSON object"),
        ('{"query": "q", "query": "r", "relevant": "a"}', "occurs twice"),
        ('{"query": "q"}', "has no relevant documents.*read_dataset"),
        ('{"relevant": "a"}', "A query must be a string"),
        ('{"query": "", "relevant": "a"}', "A query must not be blank"),
        ('{"query": "q", "relevant": {"a": NaN}}', "finite number"),
        ('{"query": "q", "relevant": "a", "id": "1"}', "'1' occurs twice"),
        ("[" * 100_000, "not JSON"),
        ('{"query": "q", "relevant": ' + "1" * 5000 + "}", "not JSON"),
    ],
    ids=lambda value: value[:20],
)
def test_lines_that_are_refused(tmp_path, line, said):
    path = tmp_path / "queries.jsonl"
    path.write_text(json.dumps({"query": "first", "relevant": "a"}) + "\n\n" + line + "\n")
    with pytest.raises(InvalidRequestError, match=f"queries.jsonl, line 3: .*{said}"):
        as_queries(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InvalidRequestError, match="does not exist"):
        as_queries(tmp_path / "missing.jsonl")
    with pytest.raises(InvalidRequestError, match="is not a file"):
        as_queries(tmp_path)
    path = tmp_path / "queries.jsonl"
    path.write_bytes(b'{"query": "caf\xe9", "relevant": "a"}')
    with pytest.raises(InvalidRequestError, match="line 1: not UTF-8"):
        as_queries(path)
    whole = gzip.compress(b'{"query": "q", "relevant": "a"}\n' * 50)
    for damaged in (whole[:-10], whole[:40], whole[:-8] + bytes(8), b"\x1f\x8b"):
        path.write_bytes(damaged)
        with pytest.raises(InvalidRequestError, match=r"queries.jsonl: damaged or truncated after line \d+ \("):
            as_queries(path)


def test_files_that_expand_without_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("late_interaction.evaluation.reading.lines._SMALL_BYTES", 1 << 20)
    path = tmp_path / "queries.jsonl.gz"
    line = json.dumps({"query": "q" * 1000, "relevant": "a"}) + "\n"
    path.write_bytes(gzip.compress(line.encode() * 5000))
    with pytest.raises(InvalidRequestError, match="expands more than 200-fold"):
        as_queries(path)
    monkeypatch.setattr("late_interaction.evaluation.reading.lines._MAX_LINE_BYTES", 500)
    with pytest.raises(InvalidRequestError, match="line 1: longer than"):
        as_queries(path)
