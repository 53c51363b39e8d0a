"""Writes to indexes while no file may grow beyond some size, and says what came of it.

``python -m tests.engines.limited_child FOLDER``: prints one JSON object, {action: {limit: outcome}}.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

from late_interaction.engines import LocalEngine
from late_interaction.errors import StorageError
from tests.engines.helpers import DIM, left_over, record, records_on_disk, small_thresholds, state_on_disk

LIMITS = [100, 4_000, 20_000, 40_000, 60_000, 100_000, 2_000_000]
COUNT, TOKENS = 24, 500


@contextmanager
def limited(size):
    """No file of this process may be written to beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def records(name, count, tokens=TOKENS):
    return [record(f"{name}{n}", tokens=tokens, n=n) for n in range(count)]


def exact(engine):
    with small_thresholds(10**9, 10**9):
        for number in range(8):
            engine.upsert(records(f"d{number}-", COUNT // 8))
        engine.delete(ids=["nothing"])


def coded(engine):
    engine.upsert(records("c", COUNT))
    engine.upsert(records("e", 3))
    engine.delete(ids=["c0"])


def coded_and_exact(engine):
    engine.upsert(records("c", 3))
    exact(engine)


def add_exact(engine):
    with small_thresholds(10**9, 10**9):
        engine.upsert(records("new", COUNT))


ACTIONS = {
    # name: (what is there before, what is done, how many documents it adds)
    "add": (exact, add_exact, COUNT),
    "add and compress": (exact, lambda engine: engine.upsert(records("new", 1, tokens=1)), 1),
    "add and extend the codebook": (coded_and_exact, lambda engine: engine.upsert(records("new", 1, tokens=1)), 1),
    "delete": (coded, lambda engine: engine.delete(where={"n": {"$gte": 14}}), -10),
    "compact": (coded_and_exact, lambda engine: engine.compact(), 0),
}


class Warnings(logging.Handler):
    def __init__(self):
        super().__init__()
        self.texts = []

    def emit(self, entry):
        self.texts.append(entry.getMessage())


def attempt(root, action, limit):
    prepare, change, _ = ACTIONS[action]
    warnings = Warnings()
    logging.getLogger("late_interaction").addHandler(warnings)
    with LocalEngine.open(root, dim=DIM, bits=8) as engine:
        prepare(engine)
    with LocalEngine.open(root) as engine:  # SQLite's log is empty
        before, on_disk = sorted(document.id for document in engine.scan()), records_on_disk(root)
        with limited(limit):
            try:
                change(engine)
                error = None
                engine._maintenance.wait()  # what the background does has no more room
            except StorageError as raised:
                error = f"StorageError: {raised}"
            except Exception as raised:  # noqa: BLE001  # reported
                error = f"{type(raised).__name__}: {raised}"
        after = sorted(document.id for document in engine.scan())
        kept = records_on_disk(root)
        outcome = {
            "error": error,
            "warnings": warnings.texts,
            "changed": len(after) - len(before),
            "problems": engine.verify().problems,
            "lost": [name for name in set(before) & set(after) if name not in kept],
            "same bytes": all(
                kept[name] == on_disk[name] or ("vectors" in on_disk[name] and "codes" in kept[name])
                for name in set(before) & set(after)
            ),
            "exact": sum("vectors" in columns for columns in kept.values()),
        }
        engine.upsert(records("next", 1, 1))  # goes on, and tidies up
        engine._maintenance.wait()
        outcome["left over in place"] = left_over(root)
        outcome["problems in place"] = engine.verify().problems
    logging.getLogger("late_interaction").removeHandler(warnings)
    with LocalEngine.open(root) as engine:
        outcome["problems later"] = engine.verify().problems
        outcome["left over later"] = left_over(root)
        outcome["documents later"] = engine.count() - len(after)
        engine.upsert(records("more", 5, 3))
        engine.compact()
        outcome["problems at last"] = engine.verify().problems
        outcome["left over at last"] = left_over(root)
        outcome["segments at last"] = engine.info()["segments"]
        outcome["generation"] = state_on_disk(root)[0]
    return outcome


def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    folder = Path(sys.argv[1])
    with small_thresholds():
        outcomes = {
            action: {limit: attempt(folder / f"{action} {limit}", action, limit) for limit in LIMITS}
            for action in ACTIONS
        }
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main()
