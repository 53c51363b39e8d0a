"""The command `evaluate`: sources, output, options and errors. What it computes is tested in `tests/evaluation`."""

from __future__ import annotations

import fcntl
import gzip
import json
import random
from pathlib import Path

import pytest

from late_interaction import Document, Index
from tests.fakes import WordEncoder
from tests.test_cli import call, fail, load_with, succeed

WORDS = [f"{first}{second}" for first in "bcdfglmnprst" for second in ("aran", "elor", "imud", "oset", "ukin")]

COUNT = 12


def texts(count=COUNT):
    draw = random.Random(0)
    return [" ".join(" ".join(draw.choices(WORDS, k=8)).capitalize() + "." for _ in range(3)) for _ in range(count)]


class Named(WordEncoder):
    """One that an index remembers by name, with a list of the passages it has encoded."""

    source, revision = "minilm", None

    def __init__(self):
        super().__init__()
        self.encoded = []

    def encode_documents(self, texts):
        self.encoded += texts
        return super().encode_documents(texts)


@pytest.fixture
def encoder(monkeypatch, tmp_path):
    """The encoder that the commands load, and a current folder."""
    encoder = Named()
    load_with(monkeypatch, lambda *_, **__: encoder)
    monkeypatch.chdir(tmp_path)
    return encoder


@pytest.fixture
def indexed(encoder, tmp_path):
    """An index, and a file of judged queries: the first words of each text."""
    with Index.open("my-docs", encoder=encoder) as index:
        index.add([Document(text, id=f"d{number}") for number, text in enumerate(texts())])
    encoder.encoded.clear()
    lines = [
        json.dumps({"query": " ".join(text.split()[:4]), "relevant": [f"d{number}"]})
        for number, text in enumerate(texts())
    ]
    (tmp_path / "queries.jsonl").write_text("\n".join(lines))
    return tmp_path


def report(*arguments):
    return json.loads(succeed("evaluate", *arguments, "--json").stdout)


def names(values):
    return [system["name"] for system in values["systems"]]


def test_an_index_with_queries(indexed, encoder):
    done = succeed("evaluate", "my-docs", "--queries", "queries.jsonl")
    lines = done.stdout.splitlines()
    assert lines[0] == f"my-docs, queries.jsonl: {COUNT} queries, {COUNT} documents"
    assert lines[2].startswith("nDCG@10 and its cost.")
    assert [line.split()[0] for line in lines[5:8]] == ["late", "lexical", "hybrid"]
    places = [lines.index(heading) for heading in ("Notes", "Advice")]
    assert places == sorted(places)
    assert lines[places[1] + 1].startswith(f"There are only {COUNT} queries.")
    assert encoder.encoded == []


def test_synthetic_queries_of_an_index_change_a_copy(indexed, encoder):
    with Index.open("my-docs", read_only=True, encoder=encoder) as index:
        before = list(index.scan())
    values = report("my-docs", "--synthetic")
    assert values["queries"] == values["documents"] == COUNT
    assert values["dataset"] == "my-docs, synthetic queries"
    assert len(encoder.encoded) == COUNT  # those that a query was removed from
    with Index.open("my-docs", read_only=True, encoder=encoder) as index:
        assert list(index.scan()) == before
    # Of a text without them, the words of a query are found by chance alone.
    assert values["systems"][0]["measures"]["ndcg@10"]["mean"] < 0.5


def test_an_index_that_another_process_writes(indexed, encoder):
    with Path("my-docs/writer.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as another process does
        values = report("my-docs", "--synthetic", "--systems", "lexical")
    assert any(
        "All documents were encoded again, because the index cannot be copied" in note for note in values["notes"]
    )
    assert values["documents"] == COUNT


def test_a_folder_of_files(encoder, tmp_path):
    (tmp_path / "docs").mkdir()
    for number, text in enumerate(texts()):
        (tmp_path / "docs" / f"{number}.txt").write_text(text)
    values = report("docs", "--synthetic", "--systems", "late")
    assert names(values) == ["late"]
    assert values["documents"] == COUNT
    error = fail("evaluate", "docs")
    assert error.startswith("Error: docs has no queries with judgments. Give --queries FILE")
    assert "--synthetic" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["documents.jsonl", "documents.jsonl.gz"])
def test_documents_as_json_lines(indexed, name):
    content = "\n".join(json.dumps({"id": f"d{number}", "text": text}) for number, text in enumerate(texts())).encode()
    (indexed / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    values = report(name, "--queries", "queries.jsonl", "--systems", "late,lexical")
    from_index = report("my-docs", "--queries", "queries.jsonl", "--systems", "late,lexical")
    for system, same in zip(values["systems"], from_index["systems"], strict=True):
        assert system["values"] == same["values"]
    assert report(name, "--synthetic", "--systems", "lexical")["queries"] == COUNT


def test_a_folder_of_beir(encoder, tmp_path):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": f"d{number}", "title": "", "text": text}) for number, text in enumerate(texts())]
    (folder / "corpus.jsonl").write_text("\n".join(corpus))
    queries = [json.dumps({"_id": f"q{number}", "text": text[:20]}) for number, text in enumerate(texts())]
    (folder / "queries.jsonl").write_text("\n".join(queries))
    qrels = ["query-id\tcorpus-id\tscore", *(f"q{number}\td{number}\t1" for number in range(COUNT))]
    (folder / "qrels" / "dev.tsv").write_text("\n".join(qrels))
    assert report("beir", "--split", "dev", "--systems", "lexical")["queries"] == COUNT
    assert report("beir", "--synthetic", "--systems", "lexical")["dataset"] == "beir, synthetic queries"
    assert "'test'" in fail("evaluate", "beir", "--split", "test")
    (folder / "qrels" / "dev.tsv").unlink()
    assert "--synthetic" in fail("evaluate", "beir")
    (folder / "queries.jsonl").unlink()
    assert "--synthetic" in fail("evaluate", "beir")


def test_settings_and_plot(indexed):
    values = report(
        "my-docs",
        "--queries",
        "queries.jsonl",
        "--systems",
        "late,lexical",
        "--bits",
        "1, none",
        "--pooling",
        "2",
        "--baseline",
        "lexical",
        "--loss",
        "0.05",
        "--plot",
        "quality.svg",
        "--save-runs",
        "runs",
    )
    assert len(names(values)) == 4
    assert values["baseline"] == "lexical"
    assert values["loss"] == 0.05
    runs = {path.name for path in (indexed / "runs").iterdir()}
    assert len(runs) == 4
    assert "lexical.txt" in runs
    assert (indexed / "quality.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--synthetic", "--queries", "queries.jsonl"], "cannot be combined"),
        (["--bits", "1,two"], "codes (the nearest centroids alone) or none (float16), got 'two'"),
        (["--pooling", "float16"], "numbers separated by commas"),
        (["--run", "bm25"], "NAME=FILE"),
        (["--run", "a=run.txt", "--run", "a=run.txt"], "'a' twice"),
        (["--loss", "2"], "--loss"),
        (["--synthetic", "--split", "dev"], "cannot be combined"),
    ],
)
def test_mistakes_in_options(encoder, options, message):
    Path("run.txt").write_text("q1 Q0 d1 1 1.0 a\n")
    assert message in " ".join(fail("evaluate", "my-docs", *options, code=2).replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "--synthetic"], "There is neither an index nor a file or folder at nothing."),
        (["my-docs"], "my-docs has no queries with judgments."),
        (["my-docs", "--queries", "missing.jsonl"], "missing.jsonl"),
        (["my-docs", "--queries", "queries.jsonl", "--plot", "a.pdf"], "saved as .svg or .png, got 'a.pdf'"),
        (["my-docs", "--queries", "queries.jsonl", "--plot", "missing/a.svg"], "its folder does not exist"),
        (["my-docs", "--queries", "queries.jsonl", "--save-runs", "queries.jsonl"], "queries.jsonl: File exists."),
        (["my-docs", "--queries", "queries.jsonl", "--systems", "late,lexcal"], "Did you mean 'lexical'"),
        (["my-docs", "--queries", "queries.jsonl", "--baseline", "bm25"], "The baseline must be one of"),
    ],
)
def test_errors_are_one_line(indexed, arguments, message):
    error = fail("evaluate", *arguments)
    assert message in error
    assert error.count("\n") == 1


def test_runs_and_stages(indexed):
    values = report("my-docs", "--queries", "queries.jsonl", "--systems", "late", "--save-runs", "runs")
    again = report(
        "my-docs",
        "--queries",
        "queries.jsonl",
        "--systems",
        "lexical",
        "--run",
        "mine=runs/late.txt",
        "--stages",
        "lexical:20,late:10",
    )
    assert len(names(again)) == 3
    mine = next(system for system in again["systems"] if system["name"] == "mine")
    assert mine["values"]["ndcg@10"] == values["systems"][0]["values"]["ndcg@10"]
    staged = next(system for system in again["systems"] if system["stages"])
    assert [stage["stage"] for stage in staged["stages"]] == ["lexical", "late"]


def test_words_alone_need_no_encoder(indexed, encoder, monkeypatch):
    lines = "\n".join(json.dumps({"id": f"d{number}", "text": text}) for number, text in enumerate(texts()))
    (indexed / "documents.jsonl").write_text(lines)
    load_with(monkeypatch, lambda *_, **__: pytest.fail("an encoder was loaded"))
    values = report("documents.jsonl", "--queries", "queries.jsonl", "--systems", "lexical")
    assert names(values) == ["lexical"]


def test_the_report_is_shown_also_if_a_run_cannot_be_written(encoder, tmp_path):
    lines = [json.dumps({"id": f"d {number}", "text": text}) for number, text in enumerate(texts())]
    (tmp_path / "documents.jsonl").write_text("\n".join(lines))
    arguments = ("evaluate", "documents.jsonl", "--synthetic", "--systems", "lexical", "--save-runs", "runs")
    done = call(*arguments)
    assert done.exit_code == 1
    assert "without white space, for TREC's format, got 'd " in done.stderr
    assert "nDCG@10 and its cost." in done.stdout


def test_runs_of_names_that_give_one_file(indexed):
    Path("run.txt").write_text("1 Q0 d0 1 1.0 a\n")
    arguments = ("my-docs", "--queries", "queries.jsonl", "--systems", "lexical", "--save-runs", "runs")
    report(*arguments, "--run", "a b=run.txt", "--run", "a/b=run.txt")
    assert {path.name for path in Path("runs").iterdir()} == {"lexical.txt", "a-b.txt", "a-b-3.txt"}
