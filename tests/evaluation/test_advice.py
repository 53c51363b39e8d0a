"""Advice, on results whose outcome is known, and as claims that must hold whatever the results are."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction.evaluation import Dataset, JudgedQuery, Report, SystemResult, paired
from late_interaction.evaluation.synthetic import SYNTHETIC
from tests.evaluation.constructed import dataset, report, result

BEST = [1] * 400
WORST = [None] * 400


def mixed(share, count=400, seed=0):
    """Ranks of which a share is 1 and the others are 10, shuffled."""
    ranks = [1] * round(share * count) + [10] * (count - round(share * count))
    random.Random(seed).shuffle(ranks)
    return ranks


def advice(*results, **options):
    return report(*results, **options, measures=["ndcg@10"]).advice


def one(sentences, start):
    found = [sentence for sentence in sentences if sentence.startswith(start)]
    assert len(found) == 1, sentences
    return found[0]


def test_clear_win():
    said = advice(
        result("late", "late", BEST, size=5400, time=12),
        result("single", "single-vector", mixed(0.5), size=1536, time=3),
        result("lexical", "lexical", mixed(0.4), size=400, time=1),
        documents=10_000,
    )
    assert said[0].startswith("'late' has the highest nDCG@10: 1.000 (95 % interval 0.994 to 1.000, 400 queries).")
    assert one(said, "By size") == (
        "By size: no smaller system is shown to be within 0.01 of it, so use 'late' (5.4 kB per document)."
    )
    assert one(said, "By time").endswith("so use 'late' (12.0 ms per query).")
    single = one(said, "Late interaction is better than single vectors: 'late' has nDCG@10 1.000, 'single' 0.645;")
    assert "difference +0.355 [" in single
    assert single.endswith(
        "It takes 5.4 kB per document and 12.0 ms per query instead of 1.5 kB per document and 3.0 ms per query."
    )
    one(said, "Late interaction is better than lexical search")
    one(said, "So late interaction is worth its cost on this data, compared with single vectors and lexical search.")
    million = one(said, "For 1 million such documents, 'late' takes 5.4 GB to store and 12.0 ms to 1.2 s per query")
    assert "10,000 documents" in million


def test_tie():
    ranks = mixed(0.5)
    said = advice(
        result("late", "late", ranks, size=5400, time=12),
        result("single", "single-vector", ranks, size=1536, time=3),
        result("lexical", "lexical", ranks, size=400, time=1),
    )
    assert one(said, "By size").startswith("By size: use 'lexical' (400 bytes per document), the smallest system")
    assert one(said, "By time").startswith("By time: use 'lexical' (1.0 ms per query), the fastest system")
    one(said, "Late interaction and single vectors differ by no more than 0.01")
    one(said, "So late interaction alone brings nothing on this data that single vectors and lexical search do not.")


def test_loss():
    said = advice(
        result("late", "late", mixed(0.3), size=5400, time=12),
        result("lexical", "lexical", BEST, size=400, time=1),
    )
    one(said, "Late interaction is worse than lexical search")
    one(said, "So late interaction alone brings nothing on this data that lexical search does not.")


def test_a_win_against_one_and_not_the_other():
    said = advice(
        result("late", "late", mixed(0.5), size=5400),
        result("single", "single-vector", WORST, size=1536),
        result("lexical", "lexical", mixed(0.5), size=400),
    )
    one(said, "Late interaction is better than single vectors")
    one(said, "So late interaction alone brings nothing on this data that lexical search does not.")


def test_the_data_cannot_tell():
    said = advice(
        result("late", "late", mixed(0.52, seed=1), size=5400, time=12),
        result("lexical", "lexical", mixed(0.5, seed=2), size=400, time=1),
    )
    sentence = one(said, "Late interaction or lexical search: the data cannot tell.")
    assert "400 queries are too few; about " in sentence
    number = int(sentence.rpartition("about ")[2].split()[0].replace(",", ""))
    # Half of the queries differ, by 1 - 1/log2(11): a known variance, and a mean difference of .02 of that.
    values = [1 if rank == 1 else 1 / np.log2(11) for rank in mixed(0.52, seed=1)]
    others = [1 if rank == 1 else 1 / np.log2(11) for rank in mixed(0.5, seed=2)]
    spread, mean = np.std(np.subtract(values, others), ddof=1), np.mean(np.subtract(values, others))
    assert number == pytest.approx((2.8 * spread / mean) ** 2, rel=0.1)
    one(said, "So whether late interaction is worth its cost on this data is not known yet.")
    assert "'lexical' (400 bytes per document) may be, too" not in one(said, "By size")  # its mean is not within .01


def test_a_cheaper_system_whose_mean_alone_is_within_the_loss():
    big = [1] * 100 + [None] * 100
    small = [1] * 99 + [None] * 101
    said = advice(result("4 bits", "late", big, size=68), result("1 bit", "late", small, size=20))
    sentence = one(said, "By size: no smaller system is shown to be within 0.01 of it, so use '4 bits'")
    assert "'1 bit' (20 bytes per document) may be, too: difference -0.005 [" in sentence
    assert sentence.endswith("queries would be needed.")


@pytest.mark.parametrize("count", [1, 2, 29])
def test_too_few_queries_for_any_claim(count):
    said = advice(
        result("late", "late", [1] * count, size=5400), result("lexical", "lexical", [None] * count, size=400)
    )
    assert f"only {count} quer" in said[0]
    one(said, "Late interaction or lexical search: the data cannot tell.")
    assert not any("is worth its cost on this data, compared" in sentence for sentence in said)


def test_costs_that_are_not_known():
    said = advice(result("a", "late", BEST), result("b", "lexical", WORST, size=400))
    assert one(said, "By size") == "By size: no system of known size is shown to be within 0.01 of that."
    assert "an unknown cost instead of 400 bytes per document" in one(said, "Late interaction is better")


def test_without_late_interaction_nothing_is_said_of_it():
    said = advice(result("a", "lexical", BEST, size=4), result("b", "single-vector", WORST, size=400))
    assert not any("ate interaction" in sentence for sentence in said)


def test_one_system():
    said = advice(result("late", "late", BEST, size=5400, time=1))
    assert not any(sentence.startswith(("By", "So")) for sentence in said)


def test_few_documents():
    assert "fixed parts" in " ".join(advice(result("late", "late", BEST, size=5400), documents=200))
    assert "fixed parts" not in " ".join(advice(result("late", "late", BEST, size=5400), documents=20_000))


def test_synthetic_queries_do_not_tell_what_late_interaction_is_worth():
    systems = result("late", "late", BEST), result("lexical", "lexical", WORST)
    said = Report(dataset(400, notes=(SYNTHETIC,)), systems).advice
    assert said[-1].startswith("Synthetic queries cannot tell which kind of system is best")
    one(said, "Late interaction is better than lexical search")
    assert "have no judgment" not in " ".join(said)
    assert not any(sentence.startswith("So late interaction") for sentence in said)
    assert "ynthetic" not in " ".join(advice(*systems))


def test_documents_without_judgment():
    said = advice(result("late", "late", BEST), result("lexical", "lexical", WORST))
    assert one(said, "Of the first 10").startswith(
        "Of the first 10 documents of each query, 90% ('late') to 100% ('lexical') have no judgment and count as not "
        "relevant. The judgments name relevant documents only"
    )
    queries = [JudgedQuery(str(number), "x", {"a": 1, "b": 0}) for number in range(40)]
    found = {query.id: ["a", "b", "c"] for query in queries}
    said = Report(Dataset("judged", None, queries), [SystemResult("late", {}, found)]).advice
    assert "33% have no judgment" in said[-1]
    assert "may be better than they look" in said[-1]
    found = {query.id: ["a", "b"] for query in queries}
    said = Report(Dataset("judged", None, queries), [SystemResult("late", {}, found)]).advice
    assert "no judgment" not in " ".join(said)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 90),
    shares=st.lists(st.sampled_from([0.1, 0.5, 0.52, 0.55, 0.9, 1.0]), min_size=1, max_size=5),
    loss=st.sampled_from([0.0, 0.01, 0.1]),
)
def test_the_recommended_system_satisfies_its_own_claim(seed, count, shares, loss):
    draw = random.Random(seed)
    sizes = [draw.choice([None, 1, 2, 3, 4]) for _ in shares]
    noisy = [[rank if draw.random() < 0.9 else None for rank in mixed(share, count)] for share in shares]
    made = report(
        *(result(str(n), "late", ranks, size=size) for n, (ranks, size) in enumerate(zip(noisy, sizes, strict=True))),
        loss=loss,
    )
    values = {system.name: system.values["ndcg@10"] for system in made.systems}
    best = max(values, key=lambda name: (values[name].mean(), -int(name)))
    suffices = {
        name
        for name in values
        if name == best or (count >= 30 and paired(values[name].tolist(), values[best].tolist()).low >= -loss - 1e-9)
    }
    priced = {name: sizes[int(name)] for name in suffices if sizes[int(name)] is not None}
    chosen = made.recommended["size"]
    assert (chosen is None) == (not priced)
    if chosen is not None:
        assert chosen in suffices
        assert sizes[int(chosen)] == min(priced.values())
