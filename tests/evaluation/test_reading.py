"""`read_dataset` of text: folders of BEIR, files of TREC, JSONL."""

from __future__ import annotations

import gzip
import json
import tracemalloc

import pytest

from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.evaluation import JudgedQuery, read_dataset

CORPUS = [
    {"_id": "d1", "title": "Paris", "text": "The capital of France.", "metadata": {"year": 2020}},
    {"_id": "d2", "title": "", "text": "A river in Rome.", "url": "https://example.org"},
    {"_id": 3, "text": ""},
]
QUERIES = [{"_id": "q1", "text": "capital of France"}, {"_id": 2, "text": "Tiber", "metadata": {}}]
HEADER = "query-id\tcorpus-id\tscore\n"


def beir(folder, corpus=CORPUS, queries=QUERIES, qrels=HEADER + "q1\td1\t2\n2\td2\t1\n2\t3\t0\n", split="test"):
    """Write a folder of BEIR."""
    folder.mkdir(exist_ok=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "qrels" / f"{split}.tsv").write_text(qrels)
    return folder


def test_a_folder_of_beir(tmp_path):
    dataset = read_dataset(beir(tmp_path / "trec-covid"))
    assert dataset.name == "trec-covid"
    assert dataset.notes == ()
    assert list(dataset.queries) == [
        JudgedQuery("q1", "capital of France", {"d1": 2.0}),
        JudgedQuery("2", "Tiber", {"d2": 1.0, "3": 0.0}),
    ]
    documents = list(dataset.documents)
    assert documents == list(dataset.documents)
    assert len(dataset.documents) == 3
    assert [document.id for document in documents] == ["d1", "d2", "3"]
    assert [document.text for document in documents] == ["The capital of France.", "A river in Rome.", ""]
    assert [document.text_to_encode for document in documents] == [
        "Paris The capital of France.",
        "A river in Rome.",
        "",
    ]
    assert [document.metadata for document in documents] == [
        {"title": "Paris", "year": 2020},
        {"url": "https://example.org"},
        {},
    ]


def test_documents_are_read_again_each_time(tmp_path):
    folder = beir(tmp_path / "set")
    documents = read_dataset(folder).documents
    first, second = iter(documents), iter(documents)
    assert next(first).id == next(second).id == "d1"
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "new", "text": "Changed."}))
    assert [document.id for document in documents] == ["new"]


def test_compressed_files_with_a_mark_and_windows_line_ends(tmp_path):
    folder = beir(tmp_path / "set")
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        text = "\ufeff" + (folder / name).read_text().replace("\n", "\r\n\r\n")
        (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        (folder / name).unlink()
    compressed = read_dataset(folder)
    assert compressed.queries == read_dataset(beir(tmp_path / "other")).queries
    assert [document.id for document in compressed.documents] == ["d1", "d2", "3"]


def test_splits(tmp_path):
    folder = beir(tmp_path / "set", split="dev")
    assert len(read_dataset(folder).queries) == 2
    beir(folder, qrels="q1\td2\t1\n", split="train")
    assert [query.relevant for query in read_dataset(folder, split="train").queries] == [{"d2": 1.0}]
    with pytest.raises(InvalidRequestError, match=r"no split 'test'. It has dev, train"):
        read_dataset(folder)
    with pytest.raises(InvalidRequestError, match="no split 'tset'"):
        read_dataset(folder, split="tset")
    with pytest.raises(InvalidRequestError, match="not both"):
        read_dataset(folder, split="dev", qrels=folder / "qrels" / "dev.tsv")
    (folder / "qrels" / "dev.tsv").unlink()
    (folder / "qrels" / "train.tsv").unlink()
    with pytest.raises(InvalidRequestError, match="It has none"):
        read_dataset(folder, split="test")


def test_what_does_not_fit_is_said(tmp_path):
    queries = [*QUERIES, {"_id": "unjudged", "text": "?"}, {"_id": "hopeless", "text": "?"}]
    qrels = "q1\td1\t1\nq1\tgone\t1\n2\tgone\t2\nhopeless\td2\t0\nunknown\td1\t1\n"
    dataset = read_dataset(beir(tmp_path / "set", queries=queries, qrels=qrels))
    assert [query.id for query in dataset.queries] == ["q1", "2", "hopeless"]
    assert dataset.queries[1].relevant == {"gone": 2.0}
    assert dataset.notes == (
        "1 query without judgments: left out.",
        "Judgments of 1 query that do not exist, such as 'unknown': not used.",
        "2 judgments are of documents that do not exist, such as 'gone': nothing can find them.",
    )


def test_judgments_of_another_collection(tmp_path):
    with pytest.raises(InvalidRequestError, match=r"queries have ids such as 'q1', .* such as 'x'"):
        read_dataset(beir(tmp_path / "set", qrels="x\td1\t1\n"))
    with pytest.raises(InvalidRequestError, match="the first one is 'x', and documents have ids such as '3'"):
        read_dataset(beir(tmp_path / "set", qrels="q1\tx\t1\n"))
    with pytest.raises(InvalidRequestError, match="has no queries"):
        read_dataset(beir(tmp_path / "set", queries=[]))
    with pytest.raises(InvalidRequestError, match="the judgments are none"):
        read_dataset(beir(tmp_path / "set", qrels=""))


def test_a_folder_whose_queries_have_their_judgments(tmp_path):
    folder = beir(tmp_path / "set", queries=[{"_id": "q1", "text": "capital of France", "relevant": {"d1": 2}}])
    (folder / "qrels" / "test.tsv").unlink()
    assert read_dataset(folder).queries == [JudgedQuery("q1", "capital of France", {"d1": 2.0})]
    beir(folder)
    (folder / "qrels" / "test.tsv").unlink()
    with pytest.raises(InvalidRequestError, match="No query of set has judgments"):
        read_dataset(folder)


def test_a_folder_without_documents(tmp_path):
    folder = beir(tmp_path / "set", qrels="q1\tin an index\t1\n")
    (folder / "corpus.jsonl").unlink()
    dataset = read_dataset(folder)
    assert dataset.documents is None
    assert dataset.notes == ("1 query without judgments: left out.",)


def test_other_folders(tmp_path):
    with pytest.raises(InvalidRequestError, match=r"no queries.jsonl.*\(BEIR.*\(ViDoRe"):
        read_dataset(tmp_path)
    with pytest.raises(InvalidRequestError, match="does not exist"):
        read_dataset(tmp_path / "missing")
    with pytest.raises(InvalidRequestError, match="source must be a path, not int"):
        read_dataset(7)
    with pytest.raises(InvalidRequestError, match="qrels must be a path, not dict"):
        read_dataset(tmp_path, qrels={})


def test_other_files_instead_of_those_of_a_folder(tmp_path):
    folder = beir(tmp_path / "set")
    (tmp_path / "trec.qrels").write_text("q1 0 d2 1\n")
    (tmp_path / "more.jsonl").write_text('{"id": "d2", "text": "Rome"}\n{"id": "d9", "text": "Oslo"}\n')
    (tmp_path / "topics.tsv").write_text("q1\tTiber river\n")
    dataset = read_dataset(
        folder, documents=tmp_path / "more.jsonl", queries=tmp_path / "topics.tsv", qrels=tmp_path / "trec.qrels"
    )
    assert list(dataset.queries) == [JudgedQuery("q1", "Tiber river", {"d2": 1.0})]
    assert [document.id for document in dataset.documents] == ["d2", "d9"]


def test_trec(tmp_path):
    (tmp_path / "topics.tsv").write_text("301\tInternational Organized Crime\r\n302\tPolio\tand post-polio\n\n")
    (tmp_path / "qrels.txt").write_text(" 301\t0  FBIS3-10082 1 \n301 0 FBIS3-10169 0\n302 0 ΦΒΙΣ\u3000駝 2\n")
    dataset = read_dataset(tmp_path / "topics.tsv", qrels=tmp_path / "qrels.txt")
    assert dataset.documents is None
    assert list(dataset.queries) == [
        JudgedQuery("301", "International Organized Crime", {"FBIS3-10082": 1.0, "FBIS3-10169": 0.0}),
        JudgedQuery("302", "Polio\tand post-polio", {"ΦΒΙΣ\u3000駝": 2.0}),
    ]
    with pytest.raises(InvalidRequestError, match=r"No query of topics\.tsv has judgments\. Give .* as qrels; or"):
        read_dataset(tmp_path / "topics.tsv")
    with pytest.raises(InvalidRequestError, match="has no split 'test'"):
        read_dataset(tmp_path / "topics.tsv", qrels=tmp_path / "qrels.txt", split="test")


def test_jsonl_beside_documents(tmp_path):
    documents = ['{"id": "a", "text": "Go.", "metadata": {"year": 2020}}', '{"id": "b", "text": "Stop."}']
    (tmp_path / "documents.jsonl.gz").write_bytes(gzip.compress("\n".join(documents).encode()))
    (tmp_path / "queries.jsonl").write_text(
        '{"query": "go", "relevant": "a"}\n{"query": "stop", "relevant": ["b"]}\n{"query": "later"}\n'
    )
    dataset = read_dataset(tmp_path / "queries.jsonl", documents=tmp_path / "documents.jsonl.gz")
    assert [query.relevant for query in dataset.queries] == [{"a": 1.0}, {"b": 1.0}]
    assert [document.metadata for document in dataset.documents] == [{"year": 2020}, {}]
    assert dataset.notes == ("1 query without judgments: left out.",)


def test_ids_that_are_numbers(tmp_path):
    (tmp_path / "documents.jsonl").write_text('{"id": 7, "text": "Go."}\n{"id": "8", "text": "Stop."}\n')
    (tmp_path / "queries.jsonl").write_text('{"query": "go", "relevant": 7, "id": 1}\n')
    dataset = read_dataset(tmp_path / "queries.jsonl", documents=tmp_path / "documents.jsonl")
    assert [document.id for document in dataset.documents] == ["7", "8"]
    assert list(dataset.queries) == [JudgedQuery("1", "go", {"7": 1.0})]
    (tmp_path / "documents.jsonl").write_text('{"id": 7, "text": "Go."}\n{"id": "7", "text": "Stop."}\n')
    with pytest.raises(InvalidDocumentError, match=r"line 2: the document id '7' occurs twice"):
        read_dataset(tmp_path / "queries.jsonl", documents=tmp_path / "documents.jsonl")


def test_ids_with_spaces_and_quotes_between_tabs(tmp_path):
    name = '  "My, file".pdf#3'
    corpus = [{"_id": name, "text": "x"}]
    dataset = read_dataset(beir(tmp_path / "set", corpus=corpus, qrels=f"q1\t{name}\t1\n"))
    assert dataset.queries[0].relevant == {name: 1.0}


def test_texts_longer_than_fields_of_csv(tmp_path):
    long = "word " * 100_000
    (tmp_path / "topics.tsv").write_text(f"1\t{long}\n")
    (tmp_path / "qrels").write_text("1 0 d 1\n")
    assert read_dataset(tmp_path / "topics.tsv", qrels=tmp_path / "qrels").queries[0].query == long.rstrip("\n")


@pytest.mark.parametrize(
    ("qrels", "said"),
    [
        (HEADER + "q1\td1\n", "line 2: expected query id, document id and grade"),
        (HEADER + HEADER, "line 2: expected"),
        ("q1 d1 1\n", "line 1: expected"),
        ("q1\t0\td1\tx\n", "line 1: expected"),
        ("q1\td1\t1\nq1\td1\tnan\n", "line 2: expected"),
        ("q1\t\t1\n", "line 1: expected"),
        ("q1\td1\t1e300\n", "line 1: expected"),
        ("q1\td1\t1\nq1\td1\t1\n\nq1\td1\t0\n", "line 4: document 'd1' has another grade"),
        ("q1,d1,1\n", "line 1: expected"),
    ],
)
def test_judgments_that_are_refused(tmp_path, qrels, said):
    with pytest.raises(InvalidRequestError, match=f"test.tsv, {said}"):
        read_dataset(beir(tmp_path / "set", qrels=qrels))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"_id": "d1", "text": "x"}, "line 4: the document id 'd1' occurs twice"),
        ({"_id": None, "text": "x"}, "line 4: _id must be a string"),
        ({"_id": "d4"}, "line 4: text must be a string"),
        ({"_id": "d4", "text": "x", "title": 7}, "line 4: .*title"),
        ({"_id": "d4", "text": "x", "metadata": []}, "line 4: metadata must be a JSON object"),
        ({"_id": "d4", "text": "\ud800"}, "line 4: .*not valid Unicode"),
        ({"id": "d4", "text": "x", "other": 1}, "line 4: has the unknown key 'other'"),
        ({"id": "d4"}, "line 4: has no text"),
    ],
)
def test_documents_that_are_refused(tmp_path, document, said):
    with pytest.raises(InvalidDocumentError, match=f"corpus.jsonl, {said}"):
        read_dataset(beir(tmp_path / "set", corpus=[*CORPUS, document]))


@pytest.mark.parametrize("line", ["301", "301 text", "\ttext", "301\t"])
def test_topics_that_are_refused(tmp_path, line):
    (tmp_path / "topics.tsv").write_text(f"300\tfirst\n{line}\n")
    with pytest.raises(InvalidRequestError, match=r"topics.tsv, line 2: expected an id, a tab and the text"):
        read_dataset(tmp_path / "topics.tsv")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_damaged_bytes_end_in_an_error_or_a_dataset(tmp_path, name):
    path = beir(tmp_path / "set") / name
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        for damaged in (whole[:place] + bytes([whole[place] ^ 0x85]) + whole[place + 1 :], whole[:place]):
            path.write_bytes(damaged)
            try:
                list(read_dataset(tmp_path / "set").documents)
            except (InvalidRequestError, InvalidDocumentError):
                continue


def test_what_is_not_a_regular_file(tmp_path):
    folder = beir(tmp_path / "set")
    (folder / "pipe.jsonl").mkdir()
    with pytest.raises(InvalidRequestError, match=r"pipe.jsonl is not a file"):
        read_dataset(folder, documents=folder / "pipe.jsonl")
    with pytest.raises(InvalidRequestError, match=r"missing.jsonl does not exist"):
        read_dataset(folder, documents=folder / "missing.jsonl")


def test_documents_are_not_held_in_memory(tmp_path):
    corpus = ({"_id": number, "text": "word " * 20_000} for number in range(200))
    folder = beir(tmp_path / "set", corpus=corpus, qrels="q1\t7\t1\n")
    tracemalloc.start()
    dataset = read_dataset(folder)
    assert sum(len(document.text) for document in dataset.documents) == 200 * 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000  # bytes, of 20 million
