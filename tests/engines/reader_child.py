"""Searches an index until it is told to stop, and says what it has seen. See test_local_concurrency.

Every commit replaces the documents of ``NAMES`` by those of the next version, and adds one that stays. So a search that
finds all must find one version of the former, and as many of the latter; anything else mixes two states.

``python -m tests.engines.reader_child ROOT``: reads until standard input ends, then prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import threading
import traceback

import numpy as np

from late_interaction.engines import LocalEngine
from tests.engines.helpers import DIM, documents_of, record, unit_vectors

NAMES = [f"d{number}" for number in range(6)]
QUERY = unit_vectors(12345, 4)


def vectors_of(name, version):
    seed = version * 100 + (NAMES.index(name) if name in NAMES else 99)
    return unit_vectors(seed, 3 + seed % 3, DIM)


def commit(version):
    """What a writer adds to make the state of this version."""
    changing = [record(name, vectors=vectors_of(name, version), version=version) for name in NAMES]
    return [*changing, record(f"s{version}", vectors=vectors_of(f"s{version}", version), version=version, stays=True)]


def check_state(engine):
    """Asks for all there is, and gives the version that it is the state of."""
    with engine.one_state():
        found = engine.search(QUERY, 10_000)
        versions = {document.id: document.metadata["version"] for document in documents_of(engine, found)}
    version = max(versions.values())
    expected = {**dict.fromkeys(NAMES, version), **{f"s{number}": number for number in range(version + 1)}}
    assert versions == expected
    assert len(found) == len(expected)
    for match in found:
        vectors = vectors_of(match.id, expected[match.id])
        score = float((QUERY @ vectors.T).max(axis=1).sum())
        assert abs(match.score - score) < 0.1, (match.id, match.score, score)
    return version


def check_details(engine):
    """What takes several reads, in one state."""
    with engine.one_state():
        version = check_state(engine)
        some = engine.search(QUERY, 3, where={"stays": {"$exists": False}})
        assert {document.metadata["version"] for document in documents_of(engine, some)} == {version}
        assert engine.count() == len(NAMES) + version + 1
        for name, rows in engine.vectors([*NAMES, "s0", f"s{version}"]).items():
            expected = vectors_of(name, 0 if name == "s0" else version)
            np.testing.assert_allclose(rows, expected, rtol=0, atol=0.03)
        assert len(engine.search_lexical("text", 3)) == 3
    return version


def read_until(stop, engine, number, outcome):
    """Checks again and again, in one thread; the versions seen never go back."""
    last = -1
    try:
        while not stop.is_set():
            version = check_details(engine) if number % 2 else check_state(engine)
            assert version >= last
            last = version
            outcome["versions"].add(version)
            outcome["searches"] += 1
            stop.wait(0.005)
    except BaseException:  # noqa: BLE001  # reported
        outcome["errors"].append(traceback.format_exc())


def start_readers(engine, threads):
    """Readers in threads: a function that stops them and gives what they have seen."""
    stop, outcome = threading.Event(), {"versions": set(), "searches": 0, "errors": []}
    readers = [threading.Thread(target=read_until, args=(stop, engine, at, outcome)) for at in range(threads)]
    for reader in readers:
        reader.start()

    def finish():
        stop.set()
        for reader in readers:
            reader.join(60)
            if reader.is_alive():
                outcome["errors"].append("a reader hangs")
        return outcome

    return finish


def main():
    with LocalEngine.open(sys.argv[1], read_only=True) as engine:
        check_state(engine)  # torch is imported now, not while the clock runs
        finish = start_readers(engine, 2)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
        outcome = finish()
    sys.stdout.write(json.dumps({**outcome, "versions": len(outcome["versions"])}))


if __name__ == "__main__":
    main()
