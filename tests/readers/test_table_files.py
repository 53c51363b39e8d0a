"""CSV and TSV files: a passage for each row, each cell with the name of its column."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from late_interaction import Document
from late_interaction.readers import read_paths


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(content, name="cities.csv", **options):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_paths([name], **options))


def test_rows():
    assert read('\ufeffname,area code\r\nKöln,0221\r\n"Bonn\r\non Rhine",""\r\n,\r\n\r\nUlm,"0,7"\r\n') == [
        Document(
            text,
            id=f"cities.csv#{number}",
            metadata={"source": "cities.csv", "passage": number, "title": "cities", "row": row},
            encoded_text=f"cities\n{text}",
        )
        for number, (row, text) in enumerate(
            [(1, "name: Köln\narea code: 0221"), (2, "name: Bonn on Rhine"), (5, "name: Ulm\narea code: 0,7")]
        )
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(delimiter):
    content = f'"a,;|b"{delimiter}c\n1{delimiter}2\n'
    assert [document.text for document in read(content)] == ["a,;|b: 1\nc: 2"]


def test_tsv_has_tabs():
    assert [document.text for document in read("a,b,c\td\n1,2\t3\n", "x.tsv")] == ["a,b,c: 1,2\nd: 3"]


def test_cells_without_a_name_of_their_own():
    assert [document.text for document in read("a,,a\n1,2,3,4\n")] == ["a: 1\ncolumn 2: 2\na: 3\ncolumn 4: 4"]


def test_a_long_row_is_split_between_its_cells():
    documents = read("a,b\none two,three four\n", max_chars=14)
    assert [(d.text, d.metadata["row"], d.id) for d in documents] == [
        ("a: one two", 1, "cities.csv#0"),
        ("b: three four", 1, "cities.csv#1"),
    ]


def test_each_passage_of_a_long_cell_has_its_label():
    documents = read(f"a,b,c\n1,{'word ' * 20},2\n", max_chars=30)
    assert [d.text for d in documents] == ["a: 1", *["b: word word word word word"] * 4, "c: 2"]


def test_a_label_of_most_of_a_passage_is_not_repeated():
    documents = read(f"{'a' * 12},b\n{'word ' * 20},2\n", max_chars=20)
    assert [d.text.count("a") for d in documents] == [12, *[0] * (len(documents) - 1)]
    assert sum(d.text.count("word") for d in documents) == 20


@pytest.mark.parametrize("content", ["", "\n", "a,b\n", "a,b\n\n"])
def test_without_rows(content):
    assert read(content) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n1,\xff\n", "it is not UTF-8 (invalid start byte"),
        (b"a,b\n1,\0\n", ""),
        (b"a,b\n" + b"x" * ((1 << 24) + 1), "it is not a table of values: field larger than"),
    ],
)
def test_what_is_not_a_table_is_skipped(content, reason):
    skipped = []
    assert read(content, on_skip=lambda _, why: skipped.append(why)) == []
    assert len(skipped) == 1
    assert skipped[0].startswith(reason)


def test_a_long_cell_is_read_and_the_limit_of_others_stays():
    limit = csv.field_size_limit()
    Path("big.csv").write_text(f"a\n{'word ' * 40_000}\nend\n")
    limits = {csv.field_size_limit() for document in read_paths(["big.csv"]) for _ in document.text.split()}
    assert limits == {limit}
    assert sum(document.text.count("word") for document in read_paths(["big.csv"])) == 40_000
    assert [document.text for document in read_paths(["big.csv"])][-1] == "a: end"


@pytest.mark.parametrize("end", [b"\0", b"\xff", b"x" * ((1 << 24) + 1)])
def test_what_was_read_of_a_skipped_table_is_said(end):
    skipped = []
    rows = b"a\n" + b"1\n" * 50_000
    documents = read(rows + end, on_skip=lambda _, why: skipped.append(why))
    (reason,) = skipped
    assert reason.endswith(f"; it was read up to row {len(documents)}")
    assert len(documents) > 40_000


def test_rows_are_read_one_at_a_time():
    Path("big.csv").write_text("a\n" + "".join(f"{number}\n" for number in range(50_000)))
    reading = read_paths(["big.csv"])
    assert next(reading).text == "a: 0"
    with Path("big.csv").open("r+") as file:
        file.truncate(40_000)
    assert sum(1 for _ in reading) < 40_000
