"""The targets, and how the figures of the steps meet them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.peers.report import OURS, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Figure = tuple[str, bool]
"""A figure, and whether it meets its target."""

UNKNOWN = "to be measured"


class Results:
    """The JSON files of the steps. What is missing raises `FileNotFoundError`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, file: str) -> Any:
        """Return the content of a file."""
        return json.loads((self.folder / f"{file}.json").read_text())

    def case(self, name: str, file: str = "versions") -> dict:
        """Return the row of a case of `benchmarks.versions`."""
        return next(row for row in self(file)["cases"] if row["case"] == name)


def table(folder: Path) -> str:
    """Return all targets with their figures as a Markdown table."""
    results = Results(folder)
    lines = ["| what | target | figure | met |", "|---|---|---|---|"]
    for what, target, measured in TARGETS:
        try:
            figure, met = measured(results)
            lines.append(f"| {what} | {target} | {figure} | {'yes' if met else '**no**'} |")
        except (FileNotFoundError, StopIteration, KeyError):  # a step or a part of it has not run
            lines.append(f"| {what} | {target} | {UNKNOWN} | |")
    return "\n".join(lines) + "\n"


def _faster(case: str, p50: float, p90: float = 0, exact: float = 0) -> Callable[[Results], Figure]:
    def measured(results: Results) -> Figure:
        row = results.case(case)
        figure = f"{row['old p50']:.1f} to {row['new p50']:.2f} ms ({row['p50 x']:.2f}x), p90 {row['old p90']:.1f} to "
        figure += f"{row['new p90']:.2f} ms ({row['p90 x']:.2f}x)"
        met = row["p50 x"] >= p50 and row["p90 x"] >= p90
        if row["recall new"] != "":
            figure += f", recall {row['recall old']:.4f} to {row['recall new']:.4f}"
            met = met and row["recall new"] >= row["recall old"]
        else:
            figure += f", own document among ten {row['own old']:.3f} to {row['own new']:.3f}"
            met = met and row["own new"] >= row["own old"]
        if exact:
            figure += f", {row['exact x']:.0f}x exact torch"
            met = met and row["exact x"] >= exact
        return figure, met

    return measured


def _tail(results: Results) -> Figure:
    row = results.case("late")
    ratio = row["new p90"] / row["new p50"]
    return f"{row['new p90']:.2f} / {row['new p50']:.2f} ms = {ratio:.2f}x", ratio <= 1.8


def _larger_k(case: str, most: float) -> Callable[[Results], Figure]:
    def measured(results: Results) -> Figure:
        row, ten = results.case(case), results.case("late")
        ratio = row["new p50"] / ten["new p50"]
        figure = f"{row['new p50']:.1f} ms = {ratio:.2f}x, recall {row['recall new']:.3f}"
        figure += f" (before {row['old p50']:.1f} ms, {row['recall old']:.3f})"
        return figure, ratio <= most and row["recall new"] >= 0.975

    return measured


def _filters(results: Results) -> Figure:
    found = [results.case(f"filter-{share}") for share in ("50%", "10%", "1%")]
    figure = "; ".join(f"{row['old p50']:.1f} to {row['new p50']:.2f} ms, {row['recall new']:.3f}" for row in found)
    return figure, all(row["p50 x"] >= 1 and row["recall new"] >= row["recall old"] for row in found)


def _build(results: Results) -> Figure:
    old, new = (row["cpu_seconds"] for row in results("versions")["built"])
    return f"{old:.1f} to {new:.1f} CPU s ({old / new:.2f}x)", old / new >= 2


def _anisotropic(results: Results) -> Figure:
    plain, shared = results.case("late"), results.case("late", "anisotropic")
    ratio = shared["new p50"] / plain["new p50"]
    figure = f"{shared['new p50']:.2f} against {plain['new p50']:.2f} ms = {ratio:.2f}x"
    return f"{figure}, recall {shared['recall old']:.3f} to {shared['recall new']:.3f}", ratio <= 1.3


def _scale(size: str, most: float) -> Callable[[Results], Figure]:
    def measured(results: Results) -> Figure:
        found = {(row["size"], row["version"]): row for row in results("scale")}
        if (size, "new") not in found:
            raise FileNotFoundError(size)
        row, real, old = found[size, "new"], found["real", "new"], found[size, "old"]
        ratio = row["p50"] / real["p50"]
        figure = f"{row['p50']:.2f} ms = {ratio:.2f}x (before {old['p50']:.1f} ms), p90 {row['p90']:.1f}, recall "
        figure += f"{old['recall@10']:.4f} to {row['recall@10']:.4f}, {row['bytes/token']:.1f} bytes per token, "
        figure += f"{row['own MiB']:,.0f} MiB and {row['mapped MiB']:,.0f} mapped"
        return figure, ratio <= most and row["recall@10"] >= old["recall@10"]

    return measured


def _peers(documents: int, queries: str = "natural") -> Callable[[Results], Figure]:
    def measured(results: Results) -> Figure:
        found = rows(results(f"peers-{documents}-documents"), queries)
        ours = next(row for row in found if row["engine"] == OURS)
        others = [
            row
            for row in found
            if (row["engine"], row["setting"]) in (("colbert_plaid", "for k = 10"), ("xtr_warp", "default"))
        ]
        names = [f"{row['engine']} {row['p50 ms']:.1f} ms at {row['recall@10']:.3f}" for row in others]
        figure = f"{ours['p50 ms']:.2f} ms at {ours['recall@10']:.3f}; {'; '.join(names)}"
        better = (row["p50 ms"] > ours["p50 ms"] and row["recall@10"] < ours["recall@10"] for row in others)
        return figure, len(others) == 2 and all(better)

    return measured


def _many(results: Results) -> Figure:
    one, many = results("throughput")["many"]
    figure = f"{one['CPU ms/query']:.2f} to {many['CPU ms/query']:.2f} CPU ms, {one['queries/s']:.0f} to "
    figure += f"{many['queries/s']:.0f} queries/s ({many['x']:.2f}x)"
    return figure, many["CPU ms/query"] <= 1.02 * one["CPU ms/query"] and many["x"] >= 1.7


def _threads(results: Results) -> Figure:
    rates = {row["searches"]: row["queries/s"] for row in results("throughput")["threads"]}
    figure = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
    return f"{figure} queries/s", rates["8 threads"] >= 0.98 * rates["2 threads"]


def _defaults(results: Results) -> Figure:
    found = results("throughput")["defaults"]
    pairs = [(row["queries"], row["one thread, p50"], row["default threads, p50"]) for row in found]
    figure = "; ".join(f"{queries} {one:.2f} and {default:.2f} ms" for queries, one, default in pairs)
    return figure, all(default <= 1.05 * one for _, one, default in pairs)


def _long(tokens: int) -> Callable[[Results], Figure]:
    def measured(results: Results) -> Figure:
        row = next(row for row in results("latency")["searches"] if row["queries"] == f"{tokens}-token")
        figure = f"{row['exact ms']:,.0f} against {row['engine ms']:.1f} ms ({row['ratio']:.1f}x)"
        return f"{figure}, recall {row['recall@10']:.3f}", row["ratio"] >= 15 and row["recall@10"] >= 0.96

    return measured


def _first(results: Results) -> Figure:
    found = {row["version"]: row for row in results("starting")}
    new = found["new"]["open ms"] + found["new"]["first search ms"]
    old = found["old"]["open ms"] + found["old"]["first search ms"]
    return f"{old:.0f} to {new:.0f} ms with opening", new <= 150


def _adding(results: Results) -> Figure:
    found = {row["ms"]: row for row in results("operations")["beside"]}
    p50, worst = found["p50 of an add"], found["slowest of an add"]
    figure = f"p50 {p50['old']:.2f} to {p50['new']:.2f} ms, worst {worst['old']:.0f} to {worst['new']:.0f} ms"
    return figure, p50["new"] <= 4 and worst["new"] < 60


def _single(results: Results) -> Figure:
    found = results("operations")["single"]
    slower = [row for row in found if row["new / old"] > 1.1]
    names = ", ".join(f"{row['ms']} {row['old']:.2f} to {row['new']:.2f} ms" for row in slower)
    return names or "none slower by more than 10%", not slower


def _targets() -> Iterator[tuple[str, str, Callable[[Results], Figure]]]:
    yield "2.4 M tokens, k = 10", "p50 3x, p90 2.8x, recall no lower, 70x exact", _faster("late", 3, 2.8, 70)
    yield "32-token queries", "faster, recall no lower", _faster("late-32", 1)
    yield "default threads", "no slower than one thread", _defaults
    for size, most in (("10M", 1.6), ("30M", 2.4), ("100M", 3.2)):
        yield f"{size} tokens", f"at most {most}x of 2.4 M, recall no lower", _scale(size, most)
    yield "anisotropic vectors", "within 1.3x of plain ones", _anisotropic
    for documents in (10_000, 30_000):
        yield f"PLAID and xtr-warp-rs, {documents:,}", "faster at higher recall", _peers(documents)
    yield "200 queries in one `search_many`", "no more CPU, 1.7x the throughput", _many
    yield "p90", "at most 1.8x the median", _tail
    yield "k = 100", "at most 2x of k = 10 at .975", _larger_k("k-100", 2)
    yield "k = 1,000", "at most 6x of k = 10 at .975", _larger_k("k-1000", 6)
    yield "lexical", "3x faster", _faster("lexical", 3)
    yield "hybrid", "4x faster", _faster("hybrid", 4)
    yield "8 threads", "throughput of 2 threads", _threads
    for tokens in (128, 256, 512):
        yield f"queries of {tokens} tokens", "15x exact at .96", _long(tokens)
    yield "first search of a process", "150 ms", _first
    yield "build", "half the CPU seconds", _build
    yield "add beside a search", "p50 4 ms, worst of 1,000 below 60 ms", _adding
    yield "filters 50, 10, 1%", "no worse", _filters
    yield "add, delete, open", "no worse", _single


TARGETS = list(_targets())
