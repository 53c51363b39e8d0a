"""The worker process of one engine, run by the Python of its environment.

    python -m benchmarks.peers.worker NAME build|serve COLUMNS INDEX

`build` writes the index and prints {"seconds", "bytes"}. `serve` opens the index and prints {"versions", "settings"}.
Then it answers each line {"query", "setting"} with {"ids", "ms"}: document numbers, and milliseconds of the search.
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
    name, phase, columns, folder = sys.argv[1:]
    with os.fdopen(os.dup(1), "w", buffering=1) as channel:
        os.dup2(2, 1)  # output of libraries goes to the log, also during import
        peer = importlib.import_module(f"benchmarks.peers.{name}").PEER
        {"build": build, "serve": serve}[phase](peer, Columns.load(Path(columns)), Path(folder), channel)


def build(peer, columns, folder, channel) -> None:
    """Build the index and print the seconds and bytes."""
    folder.mkdir()
    start = time.perf_counter()
    size = peer.build(columns, folder)
    print(json.dumps({"seconds": time.perf_counter() - start, "bytes": size}), file=channel)


def serve(peer, columns, folder, channel) -> None:
    """Answer queries on one core, even if a library starts threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    peer.open(columns, folder)
    versions = {package: importlib.metadata.version(package) for package in peer.packages}
    print(json.dumps({"versions": versions, "settings": list(peer.settings)}), file=channel)
    for line in sys.stdin:
        request = json.loads(line)
        query, setting = columns.queries[request["query"]], peer.settings[request["setting"]]
        start = time.perf_counter()
        ids = peer.search(query, **setting)
        ms = (time.perf_counter() - start) * 1000
        print(json.dumps({"ids": [int(at) for at in ids], "ms": ms}), file=channel)


if __name__ == "__main__":
    main()
