"""The table of `evaluate`, computed again by NumPy, ir_measures, and Dirichlet weights of another generator."""

from __future__ import annotations

import re

import ir_measures
import numpy as np
import pytest

from late_interaction import Index
from late_interaction.evaluation import evaluate
from tests.evaluation.collections import maxsim_rankings, random_documents
from tests.fakes import WordEncoder

DIM = 8
NAMES = {"ndcg@10": "nDCG@10", "recall@100": "R@100", "mrr@10": "RR@10", "success@1": "Success@1"}
TOLERANCE = 0.008  # of a bound: two samples of 10,000 and 20,000 weights


@pytest.fixture(scope="module")
def documents():
    return random_documents(300)


@pytest.fixture(scope="module")
def queries(documents):
    """Two words of a document, which has grade 3; others with one of these words have grade 1, half of them."""
    rng = np.random.default_rng(3)
    made = []
    for number, at in enumerate(rng.choice(len(documents), 30, replace=False)):
        words = set(rng.choice(documents[at].text.split(), 2, replace=False).tolist())
        sharing = [one.id for one in documents if words & set(one.text.split()) and rng.random() < 0.5]
        relevant = {**dict.fromkeys(sharing, 1), documents[at].id: 3}
        made.append({"id": f"q{number}", "query": " ".join([*sorted(words), f"unknown{number}"]), "relevant": relevant})
    return made


@pytest.fixture(scope="module")
def expected(documents, queries):
    """Rankings of each system, by plain NumPy."""
    encoder = WordEncoder(dim=DIM)
    asked = encoder.encode_queries([query["query"] for query in queries])
    exact = encoder.encode_documents([document.text for document in documents])
    stored = [vectors.astype(np.float16).astype(np.float32) for vectors in exact]
    means = [mean(vectors) for vectors in stored]
    return {
        "late": maxsim_rankings(queries, documents, asked, stored),
        "pooled": maxsim_rankings(queries, documents, [mean(vectors) for vectors in asked], means),
    }


def mean(vectors):
    pooled = vectors.astype(np.float64).mean(axis=0, keepdims=True)
    return (pooled / np.linalg.norm(pooled)).astype(np.float16).astype(np.float32)


def values_of(name, rankings, queries):
    """The measure of each query, in the order of the queries."""
    run = {key: {document: -float(rank) for rank, document in enumerate(ranking)} for key, ranking in rankings.items()}
    qrels = {query["id"]: query["relevant"] for query in queries}
    found = {one.query_id: one.value for one in ir_measures.iter_calc([ir_measures.parse_measure(name)], qrels, run)}
    return np.array([found[query["id"]] for query in queries])


def interval(values, ends):
    """The mean, and the bounds that 95 % of means with random weights are between."""
    weights = np.random.default_rng(99).dirichlet([*np.ones(len(values)), 0.5, 0.5], 20_000)
    return values.mean(), *np.quantile(weights @ np.concatenate([values, ends]), [0.025, 0.975])


def test_the_table_equals_an_independent_computation(documents, queries, expected, tmp_path):
    with Index.open(tmp_path / "index", encoder=WordEncoder(dim=DIM)) as index:
        index.add(documents)
        report = evaluate(index, queries, systems=["late", "pooled"], baseline="late", measures=list(NAMES))
    late, pooled = report.systems

    assert {key: list(ids) for key, ids in late.result.rankings.items()} == {
        key: ranking[:100] for key, ranking in expected["late"].items()
    }
    for ours, theirs in NAMES.items():
        values = {name: values_of(theirs, rankings, queries) for name, rankings in expected.items()}
        assert late.values[ours] == pytest.approx(values["late"])
        assert 0.1 < values["late"].mean() < 0.98
        assert values["late"].std() > 0.1
        assert pooled.intervals[ours].mean == pytest.approx(values["pooled"].mean(), abs=0.01)  # float16 may swap two
        for system in (late, pooled):
            found = system.intervals[ours]
            assert (found.mean, found.low, found.high) == pytest.approx(
                interval(system.values[ours], [0, 1]), abs=TOLERANCE
            )
        differences = pooled.values[ours] - late.values[ours]
        count = np.count_nonzero(differences)
        largest = min(1, np.abs(differences).max() * (count + 1) / count)
        found = pooled.differences[ours]
        assert (found.mean, found.low, found.high) == pytest.approx(
            interval(differences, [-largest, largest]), abs=TOLERANCE
        )

    for name in ("late", "pooled"):
        (row,) = re.findall(rf"^{name} +([\d.]+) \[([\d.]+), ([\d.]+)\]", report.table(), re.MULTILINE)
        shown = interval(values_of("nDCG@10", expected[name], queries), [0, 1])
        assert [float(cell) for cell in row] == pytest.approx(shown, abs=TOLERANCE + 0.01)
