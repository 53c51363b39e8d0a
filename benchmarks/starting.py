"""What a new process takes until its first hits: import, open, the first search. With --against, of two versions.

    python -m benchmarks.starting KEPT [--against SRC] [--texts DOCUMENTS.jsonl.gz] [--processes 10] [--json OUT.json]

KEPT is the folder `--keep` of `python -m benchmarks.versions`. Each process imports `Index`, opens its version's index
and searches twice with token vectors. Whatever the search imports counts as search. With --texts, `late-interaction
search` also runs over 100 of these documents, in the seconds of the processor, with the encoder. Medians over the
processes, versions in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import late_interaction
from benchmarks.data import read_lines
from benchmarks.measure import save, table
from benchmarks.peers.workers import ROOT

STEPS = ("import", "open", "first search", "second search")
PROCESS = """
import json, sys, time
import numpy as np
query = np.load(sys.argv[2])
clock = [(time.perf_counter(), time.process_time())]
def now():
    clock.append((time.perf_counter(), time.process_time()))
from late_interaction import Index
now()
index = Index.open(sys.argv[1], read_only=True)
now()
index.search(query, 10)
now()
index.search(query, 10)
now()
print(json.dumps([[1000 * (b - a) for a, b in zip(one, other)] for one, other in zip(clock, clock[1:])]))
"""
COMMAND = "from late_interaction.cli import app; app()"


def main() -> None:
    """Measure and report."""
    options = _options()
    sources = {"old": options.against.absolute()} if options.against else {}
    sources |= {"new": Path(late_interaction.__file__).parents[1]}
    runs: dict[str, list] = {version: [] for version in sources}
    seconds: dict[str, list[float]] = {version: [] for version in sources}
    with tempfile.TemporaryDirectory() as scratch:
        query = _first_query(options.kept / "columns", Path(scratch))
        for _ in range(options.processes):
            for version, source in sources.items():
                index = options.kept / version / "index"
                runs[version].append(json.loads(_run(source, PROCESS, str(index.absolute()), query)))
        if options.texts:
            texts = [row["text"] for row in read_lines(options.texts)[:100]]
            for version, source in sources.items():
                _run(source, _INDEXING, str(Path(scratch, version)), json.dumps(texts))
            for _ in range(3):
                for version, source in sources.items():
                    seconds[version].append(_processor_seconds(source, str(Path(scratch, version)), texts[0][:40]))
    rows = [_row(version, found) for version, found in runs.items()]
    rows = [row | ({"command, CPU s": median(seconds[row["version"]])} if options.texts else {}) for row in rows]
    print(table(rows))
    save(options.json, rows)


_INDEXING = """
import json, sys
from late_interaction import Index
with Index.open(sys.argv[1], encoder="minilm") as index:
    index.add(json.loads(sys.argv[2]))
"""


def _row(version: str, runs: list) -> dict:
    row: dict = {"version": version, "processes": len(runs)}
    for at, step in enumerate(STEPS):
        row[f"{step} ms"] = median(run[at][0] for run in runs)
        row[f"{step} CPU"] = median(run[at][1] for run in runs)
    return row


def _run(source: Path, code: str, *arguments: str) -> str:
    """Return the output of some Python code over a version."""
    command = [sys.executable, "-c", code, *arguments]
    environment = os.environ | {"PYTHONPATH": str(source)}
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env=environment, cwd=ROOT).stdout


def _processor_seconds(source: Path, index: str, query: str) -> float:
    before = os.times()
    _run(source, COMMAND, "search", index, query)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _first_query(columns: Path, scratch: Path) -> str:
    import numpy as np

    path = scratch / "query.npy"
    np.save(path, np.load(columns / "queries.npy")[: np.load(columns / "query_offsets.npy")[1]])
    return str(path)


def _options() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starting", description=__doc__, formatter_class=raw)
    parser.add_argument("kept", type=Path)
    parser.add_argument("--against", type=Path, metavar="SRC", help="sources of another version")
    parser.add_argument("--texts", type=Path, metavar="FILE", help="documents for `late-interaction search`")
    parser.add_argument("--processes", type=int, default=10, metavar="N", help="number of processes of each version")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the figures here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
