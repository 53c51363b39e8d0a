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

from benchmarks.peers.measure import IN_TURN
from benchmarks.peers.protocol import BUCKETS, Columns, K
from benchmarks.peers.workers import THREADS
from late_interaction import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.engines.local import compaction
from late_interaction.engines.local.maintenance import Maintenance
from late_interaction.engines.local.quantization.codebook import Codebook
from late_interaction.engines.local.quantization.residual import ResidualCodec
from late_interaction.engines.local.storage import segment_writer
from late_interaction.profiling import profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.data import Vectors

LONG = 64  # tokens of a query, from which on exact search takes seconds


def record(at: int, vectors: np.ndarray) -> Record:
    """Return a document whose id is its number."""
    return Record(Document(f"document {at}", id=str(at), metadata={"bucket": at % BUCKETS}), vectors)


def records(vectors: Vectors) -> Iterator[Record]:
    """Yield all documents."""
    return (record(at, vectors.document(at)) for at in range(vectors.documents))


def build(folder: Path, vectors: Vectors, bits: int | None) -> dict[str, Any]:
    """Build an index in one call; return the processor seconds of each step, and the engine's info."""
    steps = {
        "rewrite": (Maintenance, "_take"),
        "codebook": (compaction, "_codebook_for"),
        "assign": (Codebook, "assign"),
        "encode": (ResidualCodec, "encode"),
        "postings": (segment_writer, "append_postings"),
    }
    with LocalEngine.open(folder, dim=vectors.tokens.shape[1], bits=bits) as engine, timed(steps) as seconds:
        start = time.process_time()
        engine.upsert(records(vectors))
        seconds["all"] = time.process_time() - start
        return {"seconds": seconds, **engine.info()}


@contextmanager
def timed(functions: dict[str, tuple[Any, str]]) -> Iterator[dict[str, float]]:
    """Yield a dict that collects the processor seconds of the block in each function, given as (owner, name)."""
    seconds = dict.fromkeys(functions, 0.0)

    def wrapped(label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                seconds[label] += time.process_time() - start

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


def processor_milliseconds(function: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[float, Any]:
    """Return the milliseconds of the processor that a call takes, and its result."""
    start = time.process_time()
    result = function(*arguments, **named)
    return (time.process_time() - start) * 1000, result


def beside_exact(folder: Path, rounds: int) -> list[dict]:
    """Return what the queries of `folder / "columns"` find in `folder / "index"`, with exact torch beside it.

    Both answer ten queries in turn. The first round is a warm-up. Exact search for long queries takes seconds and is
    measured once. To be called in a process with one thread per library.

    Returns:
        For each query its ids, and lists of milliseconds of the processor: of exact search, of the engine, and of the
        engine by stage (by the clock).
    """
    import torch

    from benchmarks.peers.torch_exact import PEER as EXACT

    torch.set_num_threads(1)
    columns = Columns.load(folder / "columns")
    EXACT.open(columns, folder)
    answers: list[dict] = [{"exact": [], "engine": [], "stages": []} for _ in columns.queries]
    with LocalEngine.open(folder / "index", read_only=True) as engine:
        for turn in range(rounds + 1):
            for first in range(0, len(answers), IN_TURN):
                pairs = list(zip(columns.queries, answers, strict=True))[first : first + IN_TURN]
                for query, answer in pairs:
                    if turn == 1 or (turn and len(query) < LONG):
                        answer["exact"].append(processor_milliseconds(EXACT.search, query)[0])
                for query, answer in pairs:
                    with profile() as stages:
                        engine_ms, found = processor_milliseconds(engine.search, query, K)
                    answer["ids"] = [int(match.id) for match in found]
                    if turn:
                        answer["engine"].append(engine_ms)
                        answer["stages"].append(stages)
    return answers


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
