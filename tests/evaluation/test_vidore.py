"""`read_dataset` of pages: the tables of ViDoRe, written as its makers write them."""

from __future__ import annotations

import io

import pytest

from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.evaluation import JudgedQuery, read_dataset
from tests.pictures import claimed_png, two_colours

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

COLOURS = ("red", "green", "blue", "white")


def page(colour, format="PNG"):  # noqa: A002
    """Return an image as the library datasets stores it."""
    data = io.BytesIO()
    two_colours(colour, "black").save(data, format)
    return {"bytes": data.getvalue(), "path": f"{colour}.png"}


def write(path, rows, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **options)


def parts(folder, *, dash="-", split="test", corpus=None, queries=None, qrels=None):
    """Write a folder of version 2 or 3, where each row group has two pages."""
    tables = {
        "corpus": [
            {f"corpus{dash}id": number, "image": page(colour), "doc-id": "report.pdf", "markdown": f"# {colour}"}
            for number, colour in enumerate(COLOURS)
        ],
        "queries": [
            {f"query{dash}id": 0, "query": "Where is red?", "language": "english"},
            {f"query{dash}id": 1, "query": "Où est le bleu ?", "language": "french"},
        ],
        "qrels": [
            {f"query{dash}id": 0, f"corpus{dash}id": 0, "score": 2},
            {f"query{dash}id": 0, f"corpus{dash}id": 3, "score": 1},
            {f"query{dash}id": 1, f"corpus{dash}id": 2, "score": 1},
        ],
    }
    for part, rows in {"corpus": corpus, "queries": queries, "qrels": qrels}.items():
        write(folder / part / f"{split}-00000-of-00001.parquet", rows or tables[part], row_group_size=2)
    return folder


@pytest.mark.parametrize("dash", ["-", "_"])
def test_tables_of_a_corpus_queries_and_judgments(tmp_path, dash):
    dataset = read_dataset(parts(tmp_path / "esg_reports_v2", dash=dash))
    assert dataset.name == "esg_reports_v2"
    assert dataset.notes == ()
    assert list(dataset.queries) == [
        JudgedQuery("0", "Where is red?", {"0": 2.0, "3": 1.0}),
        JudgedQuery("1", "Où est le bleu ?", {"2": 1.0}),
    ]
    assert len(dataset.documents) == 4
    for _ in range(2):
        documents = list(dataset.documents)
        assert [document.id for document in documents] == ["0", "1", "2", "3"]
        assert [document.text for document in documents] == [f"# {colour}" for colour in COLOURS]
        assert documents[0].metadata == {"doc-id": "report.pdf"}
        for document, colour in zip(documents, COLOURS, strict=True):
            expected = two_colours(colour, "black")
            assert document.image.path is None
            assert document.image.load().tobytes() == expected.tobytes()


def test_several_files_and_splits(tmp_path):
    folder = parts(tmp_path / "set")
    write(folder / "corpus" / "test-00001-of-00002.parquet", [{"corpus-id": "x", "image": page("red", "JPEG")}])
    parts(folder, split="train", corpus=[{"corpus-id": 2, "image": page("red")}])
    assert [document.id for document in read_dataset(folder).documents] == ["0", "1", "2", "3", "x"]
    dataset = read_dataset(folder, split="train")
    assert [document.id for document in dataset.documents] == ["2"]
    assert dataset.notes == ("2 judgments are of documents that do not exist, such as '0': nothing can find them.",)
    with pytest.raises(InvalidRequestError, match=r"no split 'dev'. It has test, train"):
        read_dataset(folder, split="dev")


def rows_of_pages():
    """Rows of version 1: two queries have one page, one query has two pages, and a page has no query."""
    rows = [
        ("Where is red?", "red", "a.png"),
        ("What is red?", "red", "a.png"),
        (None, "green", "b.png"),
        ("Where is red?", "blue", "c.png"),
    ]
    return [
        {
            "query": query,
            "image": page(colour),
            "image_filename": name,
            "answer": "here",
            "page": str(number),
            "source": "docvqa",
        }
        for number, (query, colour, name) in enumerate(rows)
    ]


@pytest.mark.parametrize("place", ["data/test-00000-of-00001.parquet", "test.parquet"])
def test_one_table_of_pages_with_queries(tmp_path, place):
    write(tmp_path / "docvqa" / place, rows_of_pages(), row_group_size=1)
    dataset = read_dataset(tmp_path / "docvqa")
    assert dataset.name == "docvqa"
    assert dataset.notes == ()
    assert list(dataset.queries) == [
        JudgedQuery("1", "Where is red?", {"a.png": 1.0, "c.png": 1.0}),
        JudgedQuery("2", "What is red?", {"a.png": 1.0}),
    ]
    assert len(dataset.documents) == 3
    assert [document.id for document in dataset.documents] == ["a.png", "b.png", "c.png"]
    first = next(iter(dataset.documents))
    assert first.metadata == {"image_filename": "a.png", "page": "0", "source": "docvqa"}
    assert first.image.load().tobytes() == two_colours("red", "black").tobytes()
    assert read_dataset(tmp_path / "docvqa" / place).queries == dataset.queries


def test_metadata_of_pages(tmp_path):
    values = {
        "n": 3,
        "x": 0.5,
        "b": True,
        "s": "text",
        "null": None,
        "nan": float("nan"),
        "list": [1],
        "dict": {"a": 1},
    }
    folder = parts(tmp_path / "set", corpus=[{"corpus-id": 0, "image": page("red"), **values}])
    assert next(iter(read_dataset(folder).documents)).metadata == {"n": 3, "x": 0.5, "b": True, "s": "text"}


def test_pages_without_names_are_named_by_their_row(tmp_path):
    write(tmp_path / "pages.parquet", [{"query": "q", "image": page("red")}, {"query": "r", "image": page("red")}])
    dataset = read_dataset(tmp_path / "pages.parquet")
    assert [query.relevant for query in dataset.queries] == [{"pages#1": 1.0}, {"pages#2": 1.0}]
    assert [document.id for document in dataset.documents] == ["pages#1", "pages#2"]


def test_a_folder_with_jsonl_is_one_of_beir(tmp_path):
    folder = parts(tmp_path / "set")
    (folder / "corpus.jsonl").write_text('{"_id": "0", "text": "red"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "0", "text": "red"}\n')
    (folder / "qrels" / "test.tsv").write_text("0\t0\t1\n")
    assert read_dataset(folder).queries[0].query == "red"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"corpus": [{"id": 0, "image": page("red")}]}, "corpus/.*parquet has no column 'corpus-id'. It has id, image"),
        ({"corpus": [{"corpus-id": 0, "image": page("red")}] * 2}, "corpus/.*row 2: the page id '0' occurs twice"),
        ({"corpus": [{"corpus-id": None, "image": page("red")}]}, "corpus/.*row 1: id must be a string"),
        ({"corpus": [{"corpus-id": 1.5, "image": page("red")}]}, "corpus/.*row 1: id must be a string"),
        ({"queries": [{"query-id": 0, "query": "q"}] * 2}, "queries/.*row 2: the query id '0' occurs twice"),
        ({"queries": [{"query-id": 0, "query": None}]}, "queries/.*row 1: A query must be a string"),
        ({"queries": [{"query-id": 0}]}, "queries/.*has no column 'query'"),
        ({"qrels": [{"query-id": 0, "corpus-id": 0, "score": "1"}]}, "qrels/.*row 1: A grade must be a finite number"),
        ({"qrels": [{"query-id": 0, "corpus-id": 0, "score": float("nan")}]}, "qrels/.*row 1: A grade must be"),
        ({"qrels": [{"query-id": None, "corpus-id": 0, "score": 1}]}, "qrels/.*row 1: query-id must be a string"),
        ({"corpus": [{"corpus-id": 0, "picture": page("red")}]}, "corpus/.*has no column 'image'"),
        (
            {"qrels": [{"query-id": 0, "corpus-id": 0, "score": score} for score in (1, 2)]},
            "qrels/.*row 2: page '0' has two scores",
        ),
    ],
)
def test_tables_that_are_refused(tmp_path, changed, said):
    with pytest.raises((InvalidRequestError, InvalidDocumentError), match=said):
        read_dataset(parts(tmp_path / "set", **changed))


def test_images_that_are_refused(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(page("red")["bytes"])
    bomb = claimed_png(tmp_path / "bomb.png", (60_000, 60_000)).read_bytes()
    for image, said in (
        ({"bytes": None, "path": str(secret)}, "row 2: the image has no bytes. Images that are files"),
        ({"bytes": bomb, "path": None}, "row 2: .*too large"),
        ({"bytes": b"%PDF", "path": None}, "row 2: .*damaged"),
        (None, "row 2: the image has no bytes"),
    ):
        corpus = [{"corpus-id": 0, "image": page("red")}, {"corpus-id": 1, "image": image}]
        documents = iter(read_dataset(parts(tmp_path / "set", corpus=corpus)).documents)
        assert next(documents).id == "0"
        with pytest.raises(InvalidDocumentError, match=said):
            next(documents)


def test_files_that_are_refused(tmp_path, monkeypatch):
    folder = parts(tmp_path / "set")
    path = folder / "queries" / "test-00000-of-00001.parquet"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[: len(whole) // 2], b"PAR1" + b"\xff" * 200 + b"PAR1", whole[4:]):
        path.write_bytes(damaged)
        with pytest.raises(InvalidRequestError, match="cannot be read as parquet"):
            read_dataset(folder)
    monkeypatch.setattr("late_interaction.evaluation.reading.lines._SMALL_BYTES", 1 << 20)
    write(path, [{"query-id": 0, "query": "q" * (1 << 22)}], compression="zstd", use_dictionary=False)
    with pytest.raises(InvalidRequestError, match="expands more than 200-fold"):
        read_dataset(folder)


def test_damaged_bytes_end_in_an_error_or_a_dataset(tmp_path):
    folder = parts(tmp_path / "set")
    path = folder / "qrels" / "test-00000-of-00001.parquet"
    whole = path.read_bytes()
    for place in range(0, len(whole), 13):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            read_dataset(folder)
        except InvalidRequestError:
            continue


def test_a_table_without_images(tmp_path):
    write(tmp_path / "pages.parquet", [{"query": "q", "text": "x"}])
    with pytest.raises(InvalidRequestError, match=r"pages.parquet has no column 'image'. It has query, text"):
        read_dataset(tmp_path / "pages.parquet")


def test_arguments_for_files_of_other_kinds(tmp_path):
    with pytest.raises(InvalidRequestError, match="its own documents, queries and judgments: pass no qrels"):
        read_dataset(parts(tmp_path / "set"), qrels=tmp_path / "qrels.tsv")
