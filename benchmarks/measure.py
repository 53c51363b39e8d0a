"""Shared by the benchmarks: documents and builds, timing, new processes, tables."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from benchmarks.peers.protocol import BUCKETS
from benchmarks.peers.workers import THREADS
from late_interaction import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.engines.local import compaction
from late_interaction.engines.local.maintenance import Maintenance
from late_interaction.engines.local.quantization.codebook import Codebook
from late_interaction.engines.local.quantization.residual import ResidualCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.data import Vectors


def record(at: int, vectors: np.ndarray) -> Record:
    """Return a document whose id is its number."""
    return Record(Document(f"document {at}", id=str(at), metadata={"bucket": at % BUCKETS}), vectors)


def records(vectors: Vectors) -> Iterator[Record]:
    """Yield all documents."""
    return (record(at, vectors.document(at)) for at in range(vectors.documents))


def build(folder: Path, vectors: Vectors, bits: int | None) -> dict[str, Any]:
    """Build an index in one call; return the seconds of each step, and the engine's info."""
    steps = {
        "compress": (Maintenance, "_rewrite"),
        "codebook": (compaction, "_codebook_for"),
        "assign": (Codebook, "assign"),
        "encode": (ResidualCodec, "encode"),
    }
    with LocalEngine.open(folder, dim=vectors.tokens.shape[1], bits=bits) as engine, timed(steps) as seconds:
        start = time.perf_counter()
        engine.upsert(records(vectors))
        seconds["upsert"] = time.perf_counter() - start - seconds["compress"]
        return {"seconds": seconds, **engine.info()}


@contextmanager
def timed(functions: dict[str, tuple[Any, str]]) -> Iterator[dict[str, float]]:
    """Yield a dict that collects the seconds spent inside the block in each function, given as (owner, name)."""
    seconds = dict.fromkeys(functions, 0.0)

    def wrapped(label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                seconds[label] += time.perf_counter() - start

        return run

    with ExitStack() as stack:
        for label, (owner, name) in functions.items():
            stack.enter_context(patch.object(owner, name, wrapped(label, getattr(owner, name))))
        yield seconds


def milliseconds(function: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[float, Any]:
    """Return the milliseconds that a call takes, and its result."""
    start = time.perf_counter()
    result = function(*arguments, **named)
    return (time.perf_counter() - start) * 1000, result


def spread(runs: list[list[float]]) -> dict[str, float]:
    """Return the median, 90th percentile and greatest of the queries' milliseconds.

    Args:
        runs: The milliseconds of each query in every round. The least of them counts, so that other load does not.
    """
    least = [min(run) for run in runs]
    return {"p50": float(np.median(least)), "p90": float(np.percentile(least, 90)), "slowest": max(least)}


def in_fresh_process(function: Callable[..., Any], *arguments: Any, threads: int | None = None) -> Any:
    """Return the result of a call in a new process, with this number of threads per library."""
    limits = {} if threads is None else {f"{library}_NUM_THREADS": str(threads) for library in THREADS}
    with patch.dict(os.environ, limits), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def table(rows: list[dict[str, Any]]) -> str:
    """Return an aligned text table of the rows; floats have at least four digits."""
    cells = [[*rows[0]], *([_shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def save(path: Path | None, result: Any) -> None:
    """Write the result as JSON if a path is given."""
    if path:
        path.write_text(json.dumps(result, indent=2))


def _shown(value: Any) -> str:
    if isinstance(value, float):
        whole = len(str(int(abs(value))))
        return f"{value:,.{max(0, 4 - whole)}f}"
    return f"{value:,}" if type(value) is int else str(value)
