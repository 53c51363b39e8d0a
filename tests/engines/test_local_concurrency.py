"""Readers in threads and processes, while a writer adds, compresses and merges: every answer is of one state."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest

from late_interaction.engines import LocalEngine
from tests.engines.helpers import CHILD_ENVIRONMENT, DIM, codebook_on_disk, left_over, record, small_thresholds
from tests.engines.reader_child import check_state, commit, start_readers

_MAX_EXTRA_SECONDS = 30  # on a machine with much else to do, fewer versions are committed in the time


def run_beside(root, engine, seconds, threads=8, processes=2):
    """Commit version after version beside readers; how many versions, and what there was to be seen on the way."""
    engine.upsert(commit(0))
    command = [sys.executable, "-m", "tests.engines.reader_child", str(root)]
    pipe = subprocess.PIPE
    children = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=CHILD_ENVIRONMENT) for _ in range(processes)
    ]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    finish = start_readers(engine, threads)
    try:
        end = time.monotonic() + seconds
        version, codebooks, seen = 0, set(), {"flat and coded": 0, "one segment": 0}

        def has_seen_all():
            return len(codebooks) > 2 and min(seen.values()) > 0

        while time.monotonic() < end or (not has_seen_all() and time.monotonic() < end + _MAX_EXTRA_SECONDS):
            version += 1
            engine.upsert(commit(version))
            if version % 10 == 5:
                engine.compact()
            info = engine.info()
            codebooks.add(json.dumps(codebook_on_disk(root)))
            seen["flat and coded"] += 0 < info["exact_tokens"] < info["tokens"]
            seen["one segment"] += info["segments"] == 1
    finally:
        outcomes = [finish()]
        for child in children:
            said = child.communicate("", timeout=60)[0]
            outcomes.append(json.loads(said) if said else {"errors": ["the process ended"], "searches": 0})
    assert [outcome["errors"] for outcome in outcomes] == [[]] * (processes + 1)
    assert check_state(engine) == version
    assert has_seen_all()
    return version, outcomes


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.slow)], ids=["for a moment", "for a minute"])
def test_readers_everywhere_while_a_writer_compresses_and_merges(root, seconds):
    with small_thresholds(100, 60, fanout=4), LocalEngine.open(root, dim=DIM, bits=8) as engine:
        version, outcomes = run_beside(root, engine, seconds)
        assert version > 5
        assert all(outcome["searches"] > 3 for outcome in outcomes)
        assert engine.verify().problems == ()
        engine.compact()  # readers of an older state keep its files from being removed
        assert left_over(root) == []


def test_several_writers_and_a_compactor(root):
    """Threads of one engine that add, delete and compact at once: at the end, just what they have left is there."""
    errors = []

    def work(change):
        try:
            change()
        except BaseException as error:  # noqa: BLE001  # reported below
            errors.append(error)

    with small_thresholds(60, 20, fanout=3), LocalEngine.open(root, dim=DIM, bits=8) as engine:

        def add(worker):
            for number in range(25):
                engine.upsert([record(f"{worker}-{number}-{n}", tokens=2 + n, worker=worker) for n in range(3)])
                if number % 5 == 4:
                    engine.delete(ids=[f"{worker}-{at}-1" for at in range(number - 4, number + 1)])
                    engine.upsert([record(f"{worker}-{number}-0", seed=number, tokens=1, worker=worker)])

        def compact():
            for _ in range(12):
                engine.compact()

        changes = [lambda worker=worker: add(worker) for worker in range(4)] + [compact, compact]
        threads = [threading.Thread(target=work, args=(change,)) for change in changes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert errors == []
        expected = {f"{worker}-{number}-{n}" for worker in range(4) for number in range(25) for n in (0, 2)}
        assert {document.id for document in engine.scan()} == expected
        tokens = {name: len(rows) for name, rows in engine.vectors(sorted(expected)).items()}
        assert tokens == {name: _tokens_left(name) for name in expected}
        assert engine.verify().problems == ()
        engine.compact()
        assert engine.verify().problems == ()
        assert (engine.info()["segments"], engine.count()) == (1, len(expected))
    with LocalEngine.open(root) as again:
        assert again.verify().problems == ()
    assert left_over(root) == []


def _tokens_left(name):
    _, number, n = map(int, name.split("-"))
    return 1 if n == 0 and number % 5 == 4 else 2 + n
