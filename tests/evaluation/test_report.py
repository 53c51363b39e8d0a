"""Reports: measures, differences, costs, tables and JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation import Dataset, JudgedQuery, Report, SystemResult, paired
from late_interaction.evaluation.reporting.table import as_text
from tests.evaluation.constructed import dataset, report, result

RANKS = [1, 2, None, 1, 3]


def two():
    return [
        result("lexical", "lexical", [2, 2, None, 1, 3], size=400, time=1),
        result("late, 2 bits", "late", RANKS, size=5412, time=12),
    ]


def test_values_of_each_query():
    found = report(*two()).systems[1]
    gains = [0 if rank is None else 1 / math.log2(rank + 1) for rank in RANKS]
    assert found.values["ndcg@10"] == pytest.approx(gains)
    assert found.values["mrr@10"] == pytest.approx([1, 1 / 2, 0, 1, 1 / 3])
    assert found.values["success@1"].tolist() == [1, 0, 0, 1, 0]
    assert found.intervals["ndcg@10"].mean == pytest.approx(np.mean(gains))
    assert found.differences["success@1"].mean == pytest.approx(0.2)
    assert found.differences["success@1"] == paired([1, 0, 0, 1, 0], [0, 0, 0, 1, 0])
    assert report(*two()).systems[0].differences == {}


def test_times():
    one = SystemResult("late", {"kind": "late"}, {"0": ["relevant-0"]}, [*range(1, 20), 1000.0])
    found = Report(dataset(1), [one]).systems[0]
    assert (found.median_milliseconds, found.p90_milliseconds) == (10.5, 18)
    unknown = Report(dataset(1), [SystemResult("run", {}, {"0": ["relevant-0"]})]).systems[0]
    assert (unknown.median_milliseconds, unknown.p90_milliseconds) == (None, None)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["late", "lexical", "single-vector"], "single-vector"),
        (["late", "hybrid", "lexical"], "lexical"),
        (["late", "pooled"], "late"),
    ],
)
def test_default_baseline(kinds, expected):
    made = report(*(result(kind, kind, RANKS) for kind in kinds))
    assert made.baseline == expected
    assert any(repr(expected) in note and "because none was named" in note for note in made.notes)
    named = report(*(result(kind, kind, RANKS) for kind in kinds), baseline=kinds[0])
    assert named.baseline == kinds[0]
    assert named.notes == ()


def test_queries_that_are_missing_or_have_no_relevant_document():
    queries = [
        JudgedQuery("a", "x", {"d": 1}),
        JudgedQuery("b", "y", {"d": 0}),
        JudgedQuery("c", "z"),
        JudgedQuery("e", "w", {"d": 2}),
    ]
    made = Report(Dataset("some", None, queries), [SystemResult("late", {}, {"a": ["d"], "b": ["d"]})])
    assert made.queries == ("a", "e")
    assert made.systems[0].values["ndcg@10"].tolist() == [1, 0]
    assert made.notes == (
        "2 queries without a relevant document left out.",
        "'late' has no ranking for 1 of 2 queries, which count as 0.",
    )


def test_share_without_judgment():
    queries = [JudgedQuery("a", "x", {"r": 1, "n": 0})]
    made = Report(Dataset("some", None, queries), [SystemResult("late", {}, {"a": ["r", "n", "u", "v"]})])
    assert made.systems[0].unjudged == 0.5


@pytest.mark.parametrize(
    ("results", "options", "message"),
    [
        ([], {}, "no systems"),
        ([result("late", "late", [1])] * 2, {}, "Two systems have the name 'late'"),
        ([result("late", "late", [1])], {"baseline": "lat"}, "must be one of 'late', got 'lat'. Did you mean"),
        ([result("late", "late", [1])], {"measures": ["map@10"]}, "map"),
        ([result("late", "late", [1])], {"measures": []}, "measure"),
        ([result("late", "late", [1])], {"loss": -1}, "loss"),
    ],
)
def test_refused(results, options, message):
    with pytest.raises(InvalidRequestError, match=message):
        Report(dataset(1), results, **options)


def test_nothing_is_relevant():
    with pytest.raises(InvalidRequestError, match="None of the 1 queries has a relevant document"):
        Report(Dataset("some", None, [JudgedQuery("a", "x", {"d": 0})]), [result("late", "late", [1])])


def test_two_queries_with_one_id():
    queries = [JudgedQuery("a", "x", {"d": 1}), JudgedQuery("a", "y", {"d": 1})]
    with pytest.raises(InvalidRequestError, match="Two queries have the id 'a'"):
        Report(Dataset("some", None, queries), [result("late", "late", [1])])


def test_columns():
    made = report(*two()).table().splitlines()
    assert made[0] == "nDCG@10 and its cost. In brackets: 95 % intervals. Baseline: lexical."
    assert made[2].split() == ["system", "nDCG@10", "difference", "per", "document", "ms,", "median", "p90"]
    assert made[3].split()[-5:] == ["baseline", "400", "bytes", "1.0", "1.0"]
    assert made[4].split()[-4:] == ["5.4", "kB", "12.0", "12.0"]


@pytest.mark.parametrize("name", ["late", "single vector, sentence-transformers/all-MiniLM-L6-v2", "x" * 70])
def test_long_names_are_wrapped_and_not_cut(name):
    made = report(result(name, "late", RANKS, size=5412, time=12))
    for width in (80, 100, 120):
        quality = as_text(made.tables()[0], width).splitlines()
        title, _, head, *rows = quality
        assert title.endswith(f"Baseline: {name}.")
        assert max(map(len, rows)) <= max(width, 82)  # 16 characters are left to the name in any case
        column = len(rows[0]) - len(head) + head.index("nDCG@10") - len("[0.000, 0.000]") - 1
        assert "".join(row[:column].replace(" ", "") for row in rows) == name.replace(" ", "")


def test_stages_are_shown():
    staged = SystemResult(
        "two stages",
        {"kind": "cascade"},
        {"0": ["relevant-0"]},
        stages=[{"stage": "lexical", "candidates": 1200, "milliseconds": 1.25}],
    )
    shown = Report(dataset(1), [staged]).table()
    assert "Stages" in shown
    assert shown.splitlines()[-1].split() == ["two", "stages", "lexical", "1,200", "1.2"]


def test_json():
    made = report(*two())
    read = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert read["baseline"] == "lexical"
    assert read["systems"][1]["values"]["success@1"] == {"0": 1, "1": 0, "2": 0, "3": 1, "4": 0}
    assert read["systems"][1]["measures"]["success@1"]["mean"] == 0.4
    assert read["systems"][1]["differences"]["success@1"]["mean"] == pytest.approx(0.2)
    assert read["systems"][0]["milliseconds"] == {"median": 1, "p90": 1, "queries": [1] * 5}
    assert read["advice"] == made.advice
    assert read["recommended"] == {"size": "late, 2 bits", "time": "late, 2 bits"}


def test_notebook():
    shown = report(result("<b>", "late", RANKS))._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert repr(report(*two())) == "Report('constructed', 2 systems, 5 queries)"


def test_text_has_tables_then_notes_then_advice():
    made = report(*two(), documents=1)
    text = str(made)
    places = [text.index(part) for part in ("5 queries, 1 document", made.table(), made.notes[0], made.advice[0])]
    assert places == sorted(places)
