"""Updates of an index: adding, deleting, opening, filtering, and growth with another domain.

    python -m benchmarks.updates FOLDER [--only add open filter memory build growth] [--dim 128] [--json OUT.json]

FOLDER is the output of `python -m benchmarks.data`; the growth part stores the encoded Python language reference there.

- add: add and delete one document in a small and in a large index, alternately. Documents are cut to 8 tokens.
- open: `LocalEngine.open` and the first search in new processes. Imports are excluded from the time to open, and
  included in the time of the first search.
- filter: a search with a filter that 1% of the documents match, compared with an unfiltered search and with filtering
  the full ranking.
- memory: peak resident memory of a new process that adds many tokens from a generator (Linux only).
- build: seconds of the processor of each step when the collection is added in one call; `rewrite` holds the others.
- growth: documents of another domain are added in batches; recall@10 compared with an index built at once.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import Vectors, load
from benchmarks.growth import growth
from benchmarks.measure import build, in_fresh_process, milliseconds, record, save, table
from benchmarks.peers.protocol import BUCKETS, K, bytes_in
from late_interaction.engines import LocalEngine

REPEATS = 50
SHORT = 8  # tokens per document in the add part
GIB = 1 << 30


@dataclass(frozen=True)
class Bench:
    """Data shared by the parts, created at first use."""

    options: argparse.Namespace
    scratch: Path

    @cached_property
    def given(self) -> Vectors:
        return load(self.options.folder)

    @cached_property
    def vectors(self) -> Vectors:
        return self.given.first(self.options.documents).reduced(self.options.dim)

    @cached_property
    def built(self) -> dict[str, Any]:
        return build(self.scratch / "index", self.vectors, bits=4)

    @property
    def index(self) -> Path:
        return Path(self.built["path"])


def add(bench: Bench) -> list[dict]:
    sizes = [bench.options.small, bench.options.large]
    short = (bench.vectors.document(at % bench.vectors.documents)[:SHORT] for at in count())
    engines = {size: LocalEngine.open(bench.scratch / f"add-{size}", dim=bench.options.dim) for size in sizes}
    for size, engine in engines.items():
        engine.upsert(record(at, next(short)) for at in range(size))
    times = {(what, size): [] for what in ("add", "delete") for size in sizes}
    for at in range(REPEATS):
        one = next(short)
        for size, engine in engines.items():
            times["add", size].append(milliseconds(engine.upsert, [record(size + at, one)])[0])
            times["delete", size].append(milliseconds(engine.delete, ids=[str(at * 7)])[0])
    for engine in engines.values():
        engine.close()
    rows = [
        {"of one": what, "documents": size, "median ms": statistics.median(ms), "longest": max(ms)}
        for (what, size), ms in times.items()
    ]
    return [row | {"ratio": row["median ms"] / rows[at - at % 2]["median ms"]} for at, row in enumerate(rows)]


def open_(bench: Bench) -> list[dict]:
    rows = []
    for read_only in (True, False):
        runs = [in_fresh_process(_open, bench.index, bench.vectors.queries[0], read_only) for _ in range(5)]
        opened, searched = map(statistics.median, zip(*runs, strict=True))
        row = {"read_only": read_only, "documents": bench.vectors.documents}
        rows.append(row | {"open ms": opened, "first search ms": searched})
    return rows


def _open(path: Path, query: np.ndarray, read_only: bool) -> tuple[float, float]:
    opened, engine = milliseconds(LocalEngine.open, path, read_only=read_only)
    with engine:
        return opened, milliseconds(engine.search, query, K)[0]


def filter_(bench: Bench) -> list[dict]:
    times: dict[str, list[float]] = {"unfiltered": [], "first": [], "repeated": []}
    equal = []
    with LocalEngine.open(bench.index, read_only=True) as engine:
        for at, query in enumerate(bench.vectors.queries[:REPEATS]):
            where = {"bucket": at}
            times["unfiltered"].append(milliseconds(engine.search, query, K)[0])
            first, found = milliseconds(engine.search, query, K, where=where)
            times["first"].append(first)
            times["repeated"].append(milliseconds(engine.search, query, K, where=where)[0])
            if at < bench.options.rankings:
                ranking = engine.search(query, bench.vectors.documents)
                documents = engine.fetch(ranking)
                passing = [match for match in ranking if documents[match.id].metadata["bucket"] == at % BUCKETS]
                equal.append([match.id for match in passing[:K]] == [match.id for match in found])
    row: dict[str, Any] = {"passing": f"1/{BUCKETS}", "documents": bench.vectors.documents}
    row |= {f"{what} ms": statistics.median(measured) for what, measured in times.items()}
    return [row | {"as the full ranking": f"{sum(equal)} of {len(equal)}"}]


def memory(bench: Bench) -> list[dict]:
    file, index = bench.scratch / "tokens.f16", bench.scratch / "memory"
    bench.vectors.tokens.tofile(file)
    baseline, peak = in_fresh_process(_fill, index, file, bench.vectors.offsets, bench.options)
    size = bytes_in(index)
    row = {"tokens": bench.options.memory_tokens, "baseline MiB": baseline / 2**20, "peak MiB": peak / 2**20}
    return [row | {"index MiB": size / 2**20, "index + 1 GiB": (size + GIB) / 2**20, "within": peak <= size + GIB}]


def _fill(index: Path, file: Path, offsets: np.ndarray, options: argparse.Namespace) -> tuple[int, int]:
    import torch  # noqa: F401  # imported before the baseline is measured

    from late_interaction.engines.local.kernels import compiled  # noqa: F401
    from late_interaction.engines.local.quantization.residual import compiled as residual  # noqa: F401

    baseline, added = _peak(), 0

    def documents():  # read, not mapped: mapped pages of the input would count as memory
        nonlocal added
        for at in count():
            if added >= options.memory_tokens:
                return
            start, end = offsets[at % (len(offsets) - 1)], offsets[at % (len(offsets) - 1) + 1]
            vectors = np.fromfile(file, np.float16, (end - start) * options.dim, offset=start * options.dim * 2)
            added += int(end - start)
            yield record(at, vectors.reshape(-1, options.dim))

    with LocalEngine.open(index, dim=options.dim) as engine:
        engine.upsert(documents())
    return baseline, _peak()


def _peak() -> int:
    """Return the peak resident memory of this process in bytes; ru_maxrss would include that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def build_(bench: Bench) -> list[dict]:
    seconds = bench.built["seconds"]
    size = {"tokens": bench.built["tokens"], "centroids": bench.built["centroids"]}
    return [size | {f"{what}, CPU s": spent for what, spent in seconds.items()}]


def growth_(bench: Bench) -> list[dict]:
    descriptions = bench.given.first(bench.options.growth_documents)
    return growth(bench.options.folder, descriptions, bench.options.dim, bench.scratch)


PARTS = {"add": add, "open": open_, "filter": filter_, "memory": memory, "build": build_, "growth": growth_}


def main() -> None:
    """Run the requested parts."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.updates", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    parser.add_argument("--dim", type=int, default=128, help="reduce the vectors to this dimension")
    parser.add_argument("--documents", type=int, default=30_000, metavar="N", help="documents of the collection")
    parser.add_argument("--small", type=int, default=1_000, metavar="N", help="documents of the small index")
    parser.add_argument("--large", type=int, default=100_000, metavar="N", help="documents of the large index")
    parser.add_argument("--rankings", type=int, default=10, metavar="N", help="full rankings to compare with")
    parser.add_argument("--memory-tokens", type=int, default=5_000_000, metavar="N")
    parser.add_argument("--growth-documents", type=int, default=10_000, metavar="N")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    options = parser.parse_args()
    result = {}
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(options, Path(scratch))
        for part in options.only:
            print(f"… {part}", file=sys.stderr, flush=True)
            result[part] = PARTS[part](bench)
            print(f"\n{part}\n{table(result[part])}", flush=True)
    save(options.json, result)


if __name__ == "__main__":
    main()
