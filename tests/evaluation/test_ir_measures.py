"""Measures, against ir_measures on random runs.

ir_measures takes most values from trec_eval, which orders documents with equal scores by descending id. It computes RR
with a cutoff itself, and there the order is ascending.
"""

from __future__ import annotations

import random

import pytest

from late_interaction.evaluation import JudgedQuery, Measure

NAMES = {
    "ndcg@10": "nDCG@10",
    "ndcg@3": "nDCG@3",
    "recall@10": "R@10",
    "recall@100": "R@100",
    "mrr@10": "RR@10",
    "mrr@100": "RR",
    "success@1": "Success@1",
    "success@5": "Success@5",
}


def random_run(draw, grades, *, ties):
    """Return judgments, and scores by query and document; queries are missing in both."""
    documents = [f"d{number}" for number in range(draw.randint(1, 40))]
    qrels, run = {}, {}
    for query in map(str, range(draw.randint(1, 6))):
        judged = draw.sample(documents, draw.randint(1, len(documents)))
        if draw.random() < 0.8:
            qrels[query] = {document: draw.choice(grades) for document in judged}
        if draw.random() < 0.8:
            found = draw.sample(documents, draw.randint(1, len(documents)))
            run[query] = {document: draw.randint(0, 5) if ties else draw.random() for document in found}
    return qrels, run


def ranked(scores, name):
    """Return documents by descending score, and with equal scores as the measure orders them."""
    by_id = sorted(scores, reverse=name != "mrr@10")
    return sorted(by_id, key=scores.__getitem__, reverse=True)


@pytest.mark.parametrize("grades", [(0, 1), (0, 1, 2, 3), (0, 0, 0, 1), (0,), (-1, 0, 1, 2)], ids=str)
def test_measures_equal_those_of_ir_measures(grades):
    ir_measures = pytest.importorskip("ir_measures")
    theirs = {ir_measures.parse_measure(name): ours for ours, name in NAMES.items()}
    draw = random.Random(0)
    for number in range(200):
        qrels, run = random_run(draw, grades, ties=number % 2 == 0)
        if not qrels:
            continue
        expected = {
            (theirs[value.measure], value.query_id): value.value
            for value in ir_measures.iter_calc(list(theirs), qrels, run)
        }
        queries = [JudgedQuery(query, "?", relevant) for query, relevant in qrels.items()]
        for name in NAMES:
            # A document that is found twice counts where it is first.
            rankings = {q: [*ranked(scores, name), *draw.choices(list(scores), k=3)] for q, scores in run.items()}
            for query, value in zip(queries, Measure.of(name).of_run(rankings, queries), strict=True):
                assert value == pytest.approx(expected[name, query.id], abs=1e-9), (name, number)


def test_means_equal_those_of_ir_measures():
    ir_measures = pytest.importorskip("ir_measures")
    theirs = {ir_measures.parse_measure(name): ours for ours, name in NAMES.items()}
    draw = random.Random(1)
    for _ in range(100):
        qrels, run = random_run(draw, (0, 1, 2), ties=False)
        if not qrels:
            continue
        queries = [JudgedQuery(query, "?", relevant) for query, relevant in qrels.items()]
        rankings = {query: ranked(scores, "") for query, scores in run.items()}
        for measure, value in ir_measures.calc_aggregate(list(theirs), qrels, run).items():
            values = Measure.of(theirs[measure]).of_run(rankings, queries)
            assert sum(values) / len(values) == pytest.approx(value)
