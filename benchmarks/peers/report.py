"""Turn results into a table and a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

OURS = "late_interaction_local"


def rows(result: dict, queries: str) -> list[dict]:
    """Return one row per engine and setting for one kind of query, best recall first."""
    engines = {engine["engine"]: engine for engine in result["engines"]}
    table = []
    for run in result["runs"]:
        if run["queries"] == queries:
            per_query = np.median(run["ms"], axis=1)  # over rounds
            built = engines[run["engine"]]
            table.append(
                {
                    "engine": run["engine"],
                    "setting": run["setting"],
                    "build_seconds": built["build_seconds"],
                    "bytes_per_token": built["bytes"] / result["collection"]["tokens"],
                    "median_ms": float(np.median(per_query)),
                    "p90_ms": float(np.percentile(per_query, 90)),
                    "recall": float(np.mean(run["recall"])),
                }
            )
    ours = min((row["median_ms"] for row in table if row["engine"] == OURS), default=float("nan"))
    return [row | {"ratio": row["median_ms"] / ours} for row in sorted(table, key=lambda row: -row["recall"])]


def table(result: dict, queries: str) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| engine | setting | build s | bytes/token | median ms | p90 ms | recall@10 | ÷ ours |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['engine']} | {row['setting']} | {row['build_seconds']:.1f} | {row['bytes_per_token']:.1f} "
        f"| {row['median_ms']:.2f} | {row['p90_ms']:.2f} | {row['recall']:.3f} | {row['ratio']:.2f} |"
        for row in rows(result, queries)
    ]
    return "\n".join(lines)


def plot(result: dict, path: Path) -> None:
    """Plot latency against recall, with one panel for each kind of query."""
    from matplotlib import pyplot  # optional dependency

    kinds = list(dict.fromkeys(run["queries"] for run in result["runs"]))
    pyplot.switch_backend("Agg")
    figure, panels = pyplot.subplots(1, len(kinds), figsize=(6.5 * len(kinds), 4.5), sharey=True, squeeze=False)
    for panel, kind in zip(panels[0], kinds, strict=True):
        points = rows(result, kind)
        for engine in [built["engine"] for built in result["engines"]]:
            own = sorted((row["median_ms"], row["recall"]) for row in points if row["engine"] == engine)
            if own:
                panel.plot(*zip(*own, strict=True), marker="o", label=engine)
        panel.set(xscale="log", xlabel="median ms, one thread", title=f"{kind} queries")
        panel.grid(visible=True, which="both", alpha=0.25)
    panels[0][0].set_ylabel("recall@10 against exact MaxSim")
    panels[0][-1].legend(fontsize="small")
    collection = result["collection"]
    figure.suptitle(f"{collection['documents']:,} documents, {collection['tokens']:,} tokens of {collection['dim']}")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
