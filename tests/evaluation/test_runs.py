"""Runs of TREC: reading in the order of trec_eval, writing, and what is refused."""

from __future__ import annotations

import random

import pytest

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation import read_run, write_run


def test_a_run(tmp_path):
    path = tmp_path / "run.txt"
    path.write_text(
        "q1 Q0 low 1 0.5 bm25\nq1\tQ0\thigh\t2\t1e1\tbm25\r\n\nq2 Q0 ä駝 1 -3 bm25\nq1 Q0 middle 3 2.25 bm25\n"
    )
    assert read_run(path) == {"q1": ["high", "middle", "low"], "q2": ["ä駝"]}


def test_equal_scores_are_ordered_as_by_trec_eval(tmp_path):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    draw = random.Random(0)
    names = ["a", "B", "z", "é", "\uffee", "😀", "a1", "a10", "a2", "Ω"]
    # 1 + 1e-9 equals 1 in float32, which trec_eval has.
    scores = [0.0, 1.0, 1.0 + 1e-9, 1.0 + 1e-5, -1.0, 16777216.0, 16777217.0, 1e300, 1e200]
    for _ in range(100):
        run = {name: draw.choice(scores) for name in draw.sample(names, draw.randint(2, len(names)))}
        path = tmp_path / "run.txt"
        path.write_text("".join(f"1 Q0 {name} 0 {score!r} x\n" for name, score in run.items()))
        ranking = read_run(path)["1"]
        for rank, name in enumerate(ranking, start=1):
            evaluator = pytrec_eval.RelevanceEvaluator({"1": {name: 1}}, {"recip_rank"})
            assert evaluator.evaluate({"1": run})["1"]["recip_rank"] == pytest.approx(1 / rank)


def test_a_round_trip_keeps_the_order(tmp_path):
    draw = random.Random(0)
    rankings = {
        str(query): [f"d{number}" for number in draw.sample(range(2000), 1000 if query else 3)] for query in range(4)
    }
    rankings["empty"] = []
    write_run(tmp_path / "run.txt", rankings, name="ours")
    del rankings["empty"]
    assert read_run(tmp_path / "run.txt") == rankings


def test_other_tools_read_the_same_order(tmp_path):
    ir_measures = pytest.importorskip("ir_measures")
    rankings = {"1": ["b", "c", "a"], "2": ["z", "é"]}
    write_run(tmp_path / "run.txt", rankings)
    run = list(ir_measures.read_trec_run(str(tmp_path / "run.txt")))
    for query, ranking in rankings.items():
        for rank, document in enumerate(ranking, start=1):
            qrels = [ir_measures.Qrel(query, document, 1)]
            assert ir_measures.calc_aggregate([ir_measures.RR], qrels, run)[ir_measures.RR] == pytest.approx(1 / rank)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("q1 Q0 b 1 0.5", "expected query id, Q0, document id, rank, score"),
        ("q1 Q0 b c 1 0.5 x", "expected"),
        ("q1 Q0 b 1 high x", "expected"),
        ("q1 Q0 b 1 nan x", "expected"),
        ("q1 Q0 a 1 0.4 x", "document 'a' occurs twice for query 'q1'"),
    ],
)
def test_lines_that_are_refused(tmp_path, line, said):
    (tmp_path / "run.txt").write_text(f"q1 Q0 a 1 0.5 x\n{line}\n")
    with pytest.raises(InvalidRequestError, match=f"run.txt, line 2: {said}"):
        read_run(tmp_path / "run.txt")


@pytest.mark.parametrize(
    ("rankings", "name", "said"),
    [
        ({"q 1": ["a"]}, "x", "A query id must be a string without white space.* got 'q 1'"),
        ({"q1": ["a", "my file.pdf"]}, "x", "A document id must be .* got 'my file.pdf'"),
        ({"q1": ["a\u3000b"]}, "x", "A document id"),
        ({"q1": [""]}, "x", "A document id"),
        ({"q1": ["a", "b", "a"]}, "x", "'q1' has a document twice"),
        ({"q1": ["a"]}, "my run", "The name of the run"),
    ],
)
def test_runs_that_cannot_be_written(tmp_path, rankings, name, said):
    path = tmp_path / "run.txt"
    path.write_text("earlier")
    with pytest.raises(InvalidRequestError, match=said):
        write_run(path, rankings, name=name)
    assert path.read_text() == "earlier"


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(InvalidRequestError, match="cannot be written"):
        write_run(tmp_path / "missing" / "run.txt", {"1": ["a"]})
