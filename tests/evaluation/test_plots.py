"""Plots: what they show, that labels do not overlap, and that the same report gives the same file."""

from __future__ import annotations

import itertools
import random
import re
import sys

import pytest

from late_interaction.errors import InvalidRequestError, OptionalDependencyError, StorageError
from late_interaction.evaluation.reporting.plots import draw
from tests.evaluation.constructed import report, result

KINDS = ["late", "lexical", "hybrid", "single-vector", "pooled", "sparse", "cross-encoder", "cascade", "run"]


def many(count, *, seed=0, **options):
    """A report on so many systems, most of them of similar cost and quality."""
    draws = random.Random(seed)
    systems = [
        result(
            f"{KINDS[number % 9]}, setting {number}",
            KINDS[number % 9],
            [draws.choice([1, 1, 2, 3, None]) for _ in range(40)],
            size=draws.choice([1000, 1100, 1500, 5000]) + draws.random(),
            time=draws.lognormvariate(1, 1),
        )
        for number in range(count)
    ]
    return report(*systems, measures=["ndcg@10"], **options)


def figure(made):
    chosen = made.recommended
    return draw(made.systems, "ndcg@10", title="Title", recommended=(chosen["size"], chosen["time"]))


def boxes(axes):
    """The labels of an axes, with their boxes in pixels."""
    renderer = axes.figure.canvas.get_renderer()
    return {text.get_text(): text.get_window_extent(renderer) for text in axes.texts}


@pytest.mark.parametrize("count", [1, 3, 10, 20])
def test_labels_overlap_neither_each_other_nor_the_frame(count):
    made = many(count)
    for axes in figure(made).axes:
        labels = boxes(axes)
        expected = [system.name for system in made.systems] if count <= 10 else [str(n + 1) for n in range(count)]
        assert sorted(labels) == sorted(expected)
        for one, other in itertools.combinations(labels.values(), 2):
            width = min(one.x1, other.x1) - max(one.x0, other.x0)
            height = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert width <= 1 or height <= 1
        frame = axes.get_window_extent()
        assert all(box.x0 >= frame.x0 - 1 and box.x1 <= frame.x1 + 1 for box in labels.values())


def test_points_are_at_the_mean_and_cost_with_the_interval():
    made = many(3)
    by_size, by_time = figure(made).axes
    for axes, cost in ((by_size, "bytes_per_document"), (by_time, "median_milliseconds")):
        assert axes.get_xscale() == "log"
        shown = {tuple(line.get_xydata()[0]) for line in axes.lines if len(line.get_xydata()) == 1}
        bars = [collection.get_segments()[0] for collection in axes.collections]
        for system, bar in zip(made.systems, bars, strict=True):
            interval = system.intervals["ndcg@10"]
            assert (getattr(system, cost), interval.mean) in shown
            assert bar[:, 1].tolist() == pytest.approx([interval.low, interval.high])


def test_the_recommended_system_is_marked():
    made = many(3)
    for axes, by in zip(figure(made).axes, ("size", "time"), strict=True):
        circles = [line for line in axes.lines if line.get_markersize() > 10]
        chosen = next(system for system in made.systems if system.name == made.recommended[by])
        cost = chosen.bytes_per_document if by == "size" else chosen.median_milliseconds
        assert [tuple(line.get_xydata()[0]) for line in circles] == [(cost, chosen.intervals["ndcg@10"].mean)]


def test_unknown_costs():
    made = report(result("a", "late", [1] * 3, size=5), result("b", "run", [1] * 3), measures=["ndcg@10"])
    (axes,) = figure(made).axes
    assert "1 without a known cost not shown" in axes.get_title(loc="right")
    with pytest.raises(InvalidRequestError, match="nothing to plot"):
        report(result("b", "run", [1] * 3)).plot("plot.svg")


def test_files(tmp_path):
    many(3).plot(tmp_path / "a.svg")
    many(3).plot(tmp_path / "b.svg")
    many(3).plot(tmp_path / "c.PNG")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert "<dc:date>" not in text
    assert "late, setting 0" in re.sub(r"\s+", " ", text)  # text, not outlines of letters
    assert (tmp_path / "c.PNG").read_bytes().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.filterwarnings("ignore:Glyph")  # the font has no Chinese
def test_any_name(tmp_path):
    names = ["a_b^{c}$x$ $", "x" * 200, "<&>", "\u6771\u4eac"]
    made = report(*(result(name, "other", [1, 2, None], size=5, time=5) for name in names), measures=["ndcg@10"])
    made.plot(tmp_path / "plot.svg")


def test_refused(tmp_path, monkeypatch):
    with pytest.raises(InvalidRequestError, match=r"\.svg or \.png, got .*plot\.pdf"):
        many(1).plot(tmp_path / "plot.pdf")
    with pytest.raises(StorageError, match="Cannot save the plot as"):
        many(1).plot(tmp_path / "missing" / "plot.svg")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionalDependencyError, match=r"late-interaction\[evaluation\]"):
        many(1).plot(tmp_path / "plot.svg")
