"""The worker process of one engine, run by the Python of its environment.

    python -m benchmarks.peers.worker MODULE build|serve|serve-all-cores COLUMNS INDEX

`build` writes the index and prints {"seconds", "cpu_seconds", "bytes"}. `serve` opens the index and prints {"versions",
"settings"}. Then it answers each line {"query", "setting"} with {"ids", "ms", "cpu_ms"}: document numbers, and
milliseconds of the search, by the clock and of the processor.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.peers.protocol import Columns


def main() -> None:
    """Build the index, or answer queries until standard input ends."""
    module, phase, columns, folder = sys.argv[1:]
    with os.fdopen(os.dup(1), "w", buffering=1) as channel:
        os.dup2(2, 1)  # output of libraries goes to the log, also during import
        peer = importlib.import_module(module).PEER
        if phase == "serve" and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one core, even if a library starts threads
        run = build if phase == "build" else serve
        run(peer, Columns.load(Path(columns)), Path(folder), channel)


def build(peer, columns, folder, channel) -> None:
    """Build the index and print its seconds, by the clock and of the processor, and bytes."""
    peer.prepare(columns)
    folder.mkdir()
    start, before = time.perf_counter(), _processor_seconds()
    size = peer.build(columns, folder)
    spent = {"seconds": time.perf_counter() - start, "cpu_seconds": _processor_seconds() - before}
    print(json.dumps(spent | {"bytes": size}), file=channel)


def serve(peer, columns, folder, channel) -> None:
    """Answer queries."""
    peer.open(columns, folder)
    versions = {package: importlib.metadata.version(package) for package in peer.packages}
    print(json.dumps({"versions": versions, "settings": list(peer.settings)}), file=channel)
    for line in sys.stdin:
        request = json.loads(line)
        query, setting = columns.queries[request["query"]], peer.settings[request["setting"]]
        start, used = time.perf_counter(), time.process_time()
        ids = peer.search(query, **setting)
        spent = {"ms": time.perf_counter() - start, "cpu_ms": time.process_time() - used}
        answer = {"ids": [int(at) for at in ids]} | {clock: 1000 * seconds for clock, seconds in spent.items()}
        print(json.dumps(answer), file=channel)


def _processor_seconds() -> float:
    """Return the seconds of this process and of the ended ones that it started."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
