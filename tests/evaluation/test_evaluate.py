"""`evaluate` over an index or documents, compared with searches of the index itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from late_interaction import Cascade, Document, Index
from late_interaction.errors import InvalidRequestError, LateInteractionError, MissingEncoderError
from late_interaction.evaluation import Dataset, JudgedQuery, evaluate
from tests.evaluation.collections import random_documents, random_queries
from tests.fakes import WordEncoder


@pytest.fixture(scope="module")
def documents():
    return random_documents(300)


@pytest.fixture(scope="module")
def queries(documents):
    return random_queries(documents, 25)


@pytest.fixture(scope="module")
def index_path(documents, tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluate") / "index"
    with Index.open(path, encoder=WordEncoder(dim=8)) as index:
        index.add(documents)
    return path


@pytest.fixture
def index(index_path):
    with Index.open(index_path, encoder=WordEncoder(dim=8), read_only=True) as index:
        yield index


def rankings(report, name):
    return {key: list(ids) for key, ids in result(report, name).rankings.items()}


def result(report, name):
    return next(system.result for system in report.systems if system.name == name)


def test_each_mode_ranks_as_a_search_does(index, queries):
    report = evaluate(index, queries)

    assert [system.name for system in report.systems] == ["late", "lexical", "hybrid"]
    for mode in ("late", "lexical", "hybrid"):
        first = {one["id"]: [hit.id for hit in index.search(one["query"], 10, mode=mode)] for one in queries}
        deeper = {one["id"]: [hit.id for hit in index.search(one["query"], 100, mode=mode)] for one in queries}
        # Hybrid search fuses more matches for more hits, so the first ten of a hundred can be others.
        expected = {key: list(dict.fromkeys([*first[key], *deeper[key]]))[:100] for key in first}
        assert rankings(report, mode) == expected


def test_bytes_of_pooled_vectors(index, queries):
    report = evaluate(index, queries, systems=["pooled"])
    assert result(report, "pooled").bytes_per_document == pytest.approx(2 * 8 + 8, abs=4)  # float16, offsets


def test_queries_are_encoded_once_and_count_in_every_time(index_path, queries):
    encoder = WordEncoder(dim=8)
    with Index.open(index_path, encoder=encoder, read_only=True) as index:
        before = encoder.queries_encoded
        report = evaluate(index, queries, systems=["late", "hybrid", "lexical"])

    assert encoder.queries_encoded - before <= len(queries) + 2  # and one to warm up
    for system in report.systems:
        assert len(system.result.milliseconds) == len(queries)
        assert min(system.result.milliseconds) > 0


def test_the_time_of_the_encoder_is_part_of_the_time(index_path, queries):
    class SlowEncoder(WordEncoder):
        def encode_queries(self, texts):
            time.sleep(0.03)
            return super().encode_queries(texts)

    with Index.open(index_path, encoder=SlowEncoder(dim=8), read_only=True) as index:
        report = evaluate(index, queries[:5], systems=["late", "lexical", "hybrid"])

    assert min(result(report, "late").milliseconds) > 30
    assert min(result(report, "hybrid").milliseconds) > 30
    assert np.median(result(report, "lexical").milliseconds) < 30


def test_repeated_queries_take_the_time_of_the_encoder(index_path, queries):
    class SlowEncoder(WordEncoder):
        def encode_queries(self, texts):
            time.sleep(0.02)
            return super().encode_queries(texts)

    repeated = [{**queries[0], "id": name} for name in "abc"]
    with Index.open(index_path, encoder=SlowEncoder(dim=8), read_only=True) as index:
        report = evaluate(index, repeated, systems=["late"], stages=[Cascade(index, [("late", 5)])] * 2)
        others = [Cascade(index, [("late", 5)]), Cascade(index, [("late", 5)])]
        of_caller = evaluate(index, repeated, systems=["late"], stages=others)

    assert min(result(report, "late").milliseconds) > 20
    assert [one.name for one in report.systems] == ["late", "late:5"]
    assert [one.name for one in of_caller.systems] == ["late", "late:5", "late:5 (2)"]
    for name in ("late:5", "late:5 (2)"):
        assert min(result(of_caller, name).milliseconds) > 20


def test_bytes_per_document(index, queries):
    report = evaluate(index, queries)

    vectors = index.info()["vector_bytes"] / 300
    words = index.engine.lexical_bytes() / 300
    assert 10 < words < 400
    assert result(report, "late").bytes_per_document == pytest.approx(vectors)
    assert result(report, "lexical").bytes_per_document == pytest.approx(words)
    assert result(report, "hybrid").bytes_per_document == pytest.approx(vectors + words)


def test_nothing_of_the_index_changes(index_path, queries):
    def state():
        return {path: path.stat().st_mtime_ns for path in index_path.rglob("*") if path.suffix != ".sqlite-shm"}

    before = state()
    evaluate(index_path, queries, encoder=WordEncoder(dim=8), bits=[2], pooling=[2])
    assert state() == before


def test_temporary_files_are_removed_also_on_interrupt(index, queries, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    class Interrupted(WordEncoder):
        def encode_documents(self, texts):
            assert any(tmp_path.iterdir())
            raise KeyboardInterrupt

    evaluate(index, queries[:2], systems=["pooled"])
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        evaluate(["a document"], queries[:2], encoder=Interrupted())
    assert list(tmp_path.iterdir()) == []


_SLOW = """
import signal, time
from late_interaction.evaluation import evaluate
from late_interaction.evaluation.temporary import temporary_folder
from tests.fakes import WordEncoder
class Slow(WordEncoder):
    def encode_documents(self, texts):
        print("encoding", flush=True)
        time.sleep(60)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it otherwise
with temporary_folder():
    evaluate(["a document"], [{"query": "a", "relevant": "a"}], encoder=Slow())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_temporary_files_are_removed_on_signals(number, tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", _SLOW], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert len([path for path in tmp_path.iterdir() if path.name.startswith("late-interaction-")]) == 2
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("late-interaction-")]


def test_documents_are_indexed_and_evaluated(documents, queries, tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(f'{{"id": "{one.id}", "text": "{one.text}"}}\n' for one in documents))
    expected = None
    for given in (documents, iter(documents), Dataset("mine", documents, []), path):
        encoder = WordEncoder(dim=8)
        report = evaluate(given, queries, encoder=encoder, pooling=[1, 2])
        assert encoder.documents_encoded <= len(documents) + 2  # and the texts of the fingerprint
        found = {system.name: rankings(report, system.name) for system in report.systems}
        expected = expected or found
        assert found == expected
        assert report.documents == 300
    assert set(expected) == {"late, 4 bits", "late, 4 bits, pooling 2", "lexical", "hybrid"}


def test_lexical_search_needs_no_encoder(documents, queries, index):
    report = evaluate(documents, queries, systems=["lexical"])
    assert rankings(report, "lexical") == {
        one["id"]: [hit.id for hit in index.search(one["query"], 100, mode="lexical")] for one in queries
    }
    with pytest.raises(InvalidRequestError, match="need an encoder"):
        evaluate(documents, queries)


def test_missing_documents_are_said(index, queries):
    more = [*queries, {"id": "lost", "query": "zzz", "relevant": ["gone", queries[0]["relevant"]]}]
    report = evaluate(index, more, systems=["lexical"])
    assert any("lacks 1 of 26 relevant documents" in note and "'gone'" in note for note in report.notes)
    assert not any("lacks" in note for note in evaluate(index, queries, systems=["lexical"]).notes)


def test_queries_without_relevant_documents_are_not_asked(index, queries):
    more = [*queries, {"id": "none", "query": "zzz", "relevant": {queries[0]["relevant"]: 0}}]
    report = evaluate(index, more, systems=["lexical"])
    assert "none" not in rankings(report, "lexical")
    assert any("1 " in note and "relevant" in note for note in report.notes)


def test_a_run_from_a_file(index, queries, tmp_path):
    path = tmp_path / "theirs.run"
    found = [(query["id"], document) for query in queries for document in ("other", query["relevant"])]
    lines = [f"{key} Q0 {document} 1 {rank} x\n" for rank, (key, document) in enumerate(found)]
    path.write_text("".join(lines))
    report = evaluate(index, queries, systems=["lexical"], runs={"theirs": path})
    assert report.systems[1].intervals["mrr@10"].mean == 1
    assert rankings(report, "theirs")["q0"] == [queries[0]["relevant"], "other"]


def test_runs_of_others(index, queries):
    perfect = {query["id"]: [query["relevant"]] for query in queries}
    report = evaluate(index, queries, systems=["lexical"], runs={"theirs": perfect}, baseline="theirs")
    assert [system.name for system in report.systems] == ["lexical", "theirs"]
    assert report.systems[1].intervals["mrr@10"].mean == 1
    assert not report.systems[1].result.milliseconds
    alone = evaluate(None, queries, runs={"theirs": perfect})
    assert [system.name for system in alone.systems] == ["theirs"]


def test_a_judge_grades_what_was_found(index, queries):
    asked = []

    def judge(query, document):
        asked.append((query, document.id))
        return query.split()[0] in document.text.split()

    unjudged = [JudgedQuery(query["id"], query["query"]) for query in queries[:5]]
    report = evaluate(index, unjudged, systems=["late", "lexical"], judge=judge, measures=["success@1"])
    assert len(asked) == len(set(asked)) > 50
    assert report.systems[1].intervals["success@1"].mean > 0.8


def test_blank_queries_and_repeated_ones(index, queries):
    report = evaluate(index, [*queries[:3], {**queries[0], "id": "again"}])
    for system in report.systems:
        assert system.result.rankings["again"] == system.result.rankings["q0"]
    with pytest.raises(InvalidRequestError, match="Query 2"):
        evaluate(index, [queries[0], {**queries[0], "id": "blank", "query": "  "}])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"systems": ["lexcial"]}, "Did you mean 'lexical'"),
        ({"systems": "late"}, "must be a list"),
        ({"systems": ["lexical"], "bits": [2]}, "settings of the system 'late'"),
        ({"bits": 2}, "bits must be a list"),
        ({"bits": [2.0]}, "bits must be of"),
        ({"pooling": "2"}, "pooling must be a list"),
        ({"measures": "ndcg@10"}, "measures must be a list"),
        ({"loss": 2}, "loss"),
        ({"judge": 5}, "judge must be a function"),
        ({"judge": lambda query, document: True, "runs": {"x": {"q0": ["gone"]}}}, "the index lacks 1 of them"),
        ({"k": 0}, "k must be"),
        ({"bits": [5]}, "bits must be of 0 .codes alone., 1, 2, 3, 4, 8"),
        ({"pooling": [0]}, "pooling must be positive integers"),
        ({"dim": [9]}, "between 1 and the encoder's 8"),
        ({"stages": ["late"]}, "NAME:NUMBER"),
        ({"stages": "lexical:10"}, "stages must be a list"),
        ({"stages": ["lexical:10,cross-encoder:5"]}, "Unknown stage 'cross-encoder'"),
        ({"single_vector": "minilm"}, "single_vector must be a list"),
        ({"sparse": [object()]}, "Expected a sentence_transformers.SparseEncoder"),
        ({"cross_encoder": object()}, "Expected a sentence_transformers.CrossEncoder"),
        ({"runs": ["a"]}, "runs must be a dict"),
        ({"runs": {"theirs": {"other": ["a"]}}}, "none of the 25 queries"),
        ({"runs": {"theirs": {"q0": "a"}}}, "a list of document ids"),
        ({"baseline": "best"}, "best"),
        ({"encoder": "minilm"}, "An open index has its encoder"),
        ({"measures": ["map@10"]}, "map"),
    ],
)
def test_bad_arguments(index, queries, arguments, message):
    with pytest.raises(InvalidRequestError, match=message):
        evaluate(index, queries, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"bits": [5]},
        {"dim": [9]},
        {"k": 0},
        {"loss": 2},
        {"measures": ["map"]},
        {"single_vector": ["no-such-folder/model"]},
        {"stages": ["lexcial:10"]},
        {"queries": [{"query": "zzz", "relevant": {}}]},
    ],
)
def test_documents_are_not_encoded_for_bad_arguments(documents, queries, arguments):
    encoder = WordEncoder(dim=8)
    with pytest.raises(LateInteractionError):
        evaluate(documents, encoder=encoder, **{"queries": queries, **arguments})
    assert encoder.documents_encoded < 10  # the texts of the fingerprint


def test_nothing_is_searched_for_an_unknown_baseline(index_path, queries):
    encoder = WordEncoder(dim=8)
    with Index.open(index_path, encoder=encoder, read_only=True) as index:
        before = encoder.queries_encoded
        with pytest.raises(InvalidRequestError, match="best"):
            evaluate(index, queries, baseline="best")
        assert encoder.queries_encoded == before


@pytest.mark.parametrize("given", [None, 5, {"a": "b"}, Dataset("empty", None, [])])
def test_bad_documents(given, queries):
    with pytest.raises(InvalidRequestError):
        evaluate(given, queries, encoder=WordEncoder())


def test_no_documents(queries):
    with pytest.raises(InvalidRequestError, match="no documents"):
        evaluate([], queries, encoder=WordEncoder())


def test_an_index_without_an_encoder(tmp_path, queries):
    with Index.open(tmp_path / "own", dim=4) as index:
        index.add([Document("zzz", id=queries[0]["relevant"])], vectors=[np.eye(4)])
        assert evaluate(index, queries[:1], systems=["lexical"]).systems[0].intervals["mrr@10"].mean == 1
        with pytest.raises(MissingEncoderError):
            evaluate(index, queries[:1])
