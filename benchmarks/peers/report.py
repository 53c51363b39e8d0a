"""Turn results into a table and a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import spread
from benchmarks.plots import line, logarithmic, panels

if TYPE_CHECKING:
    from pathlib import Path

OURS = "late_interaction_local"
NAMES = {
    OURS: "late-interaction",
    "torch_exact": "exact torch",
    "maxsim_cpu": "maxsim-cpu",
    "qdrant_edge": "Qdrant Edge",
    "xtr_warp": "xtr-warp-rs",
    "fast_plaid": "fast-plaid",
    "colbert_plaid": "PLAID in C++",
}
PLACES = {  # of the name in a plot: beside the fastest setting or the slowest, and where
    OURS: (0, "right"),
    "torch_exact": (-1, "below"),
    "maxsim_cpu": (-1, "above"),
    "qdrant_edge": (0, "above"),
    "xtr_warp": (-1, "right"),
    "fast_plaid": (-1, "right"),
    "colbert_plaid": (0, "left"),
}


def rows(result: dict, queries: str) -> list[dict]:
    """Return one row per engine and setting for one kind of query, best recall first."""
    engines = {engine["engine"]: engine for engine in result["engines"]}
    table = []
    for run in result["runs"]:
        if run["queries"] == queries:
            built, used = engines[run["engine"]], spread(run["cpu_ms"])
            table.append(
                {
                    "engine": run["engine"],
                    "setting": run["setting"],
                    "build CPU s": built["cpu_seconds"],
                    "bytes/token": built["bytes"] / result["tokens"],
                    **{f"{what} ms": ms for what, ms in used.items()},
                    "p50 by the clock": spread(run["ms"])["p50"],
                    "recall@10": float(np.mean(run["recall"])),
                }
            )
    ours = min((row["p50 ms"] for row in table if row["engine"] == OURS), default=float("nan"))
    return [row | {"÷ ours": row["p50 ms"] / ours} for row in sorted(table, key=lambda row: -row["recall@10"])]


def table(result: dict, queries: str) -> str:
    """Return the rows as a Markdown table."""
    found = rows(result, queries)
    lines = [f"| {' | '.join(found[0])} |", f"|---|---|{'--:|' * (len(found[0]) - 2)}"]
    for row in found:
        engine, setting, *figures, right, ratio = row.values()
        shown = [f"{figure:,.1f}" for figure in figures]
        lines.append(f"| {NAMES[engine]} | {setting} | {' | '.join(shown)} | {right:.3f} | {ratio:.2f} |")
    return "\n".join(lines)


def plot(result: dict, path: Path) -> None:
    """Plot latency against recall, one panel for each kind of query."""
    kinds = list(dict.fromkeys(run["queries"] for run in result["runs"]))
    title = f"{result['documents']:,} documents, {result['tokens']:,} tokens of {result['dim']} dimensions"
    with panels(path, kinds, title) as drawn:
        for panel, kind in zip(drawn, kinds, strict=True):
            panel.set(xlabel="milliseconds on one core, median", title=f"{kind} queries")
            logarithmic(panel, "x")
            points = rows(result, kind)
            for engine, name in NAMES.items():
                own = sorted((row["p50 ms"], row["recall@10"]) for row in points if row["engine"] == engine)
                line(panel, own, name, is_ours=engine == OURS, place=PLACES[engine])
        drawn[0].set_ylabel("recall@10 against exact MaxSim")
