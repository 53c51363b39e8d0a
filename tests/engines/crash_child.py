"""Kills writers in the middle of what they do, and says what is left. Run by test_local_crash, as a process of its own.

The process that checks forks the process that writes, so that a hundred deaths cost one start of Python. Nothing here
imports torch, and no thread runs, so forking is safe. Thresholds are small: documents are compressed, the codebook
extended and segments merged every few writes.

``python -m tests.engines.crash_child moments ROOT SEED ROUNDS``
    A worker does random things, writing down each intent before and each acknowledgement after, until it is killed at
    a random moment. What the index then holds must be the last acknowledged state, or the one intended after it.
    Meanwhile a reader, in a process of its own, asks the index everything: each answer must be of one state.
    `python -m tests.torture --only kills` does so for as long as one likes.

``python -m tests.engines.crash_child lines ROOT ACTION POINTS``
    A worker does one thing and is killed before a certain line of the engine's code, for many lines in turn.

Prints one JSON object: how many deaths, how many left the next state, and a list of what went wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a fork must not miss any threads

import numpy as np
import scipy.sparse  # noqa: F401  # once, and not in every fork that trains a codebook

import late_interaction.engines.local
from late_interaction.engines import LocalEngine
from late_interaction.engines.local import maintenance
from late_interaction.engines.local.kernels import kernels_of
from late_interaction.errors import IndexNotFoundError
from tests.engines.helpers import (
    DIM,
    left_over,
    record,
    records_on_disk,
    small_thresholds,
    spare_names,
    stored,
    unit_vectors,
)
from tests.engines.old_segments import as_before_format_5, as_before_format_7

CODE = str(Path(late_interaction.engines.local.__file__).parent)
THRESHOLDS = 24, 8
_AFTER_OPENING = 0.8  # the share of writers that live until the index is open, however busy the machine is
for _package in ("kernels", "postings", "quantization.residual", "quantization.residual.scoring", "search"):
    kernels_of(f"late_interaction.engines.local.{_package}")  # once, and not in every fork
NAMES = [f"d{number}" for number in range(12)]


def versioned(name, version):
    """The one record of this id and version."""
    vectors = unit_vectors(version, tokens=version % 7)
    return record(name, text=f"text of version{version}", vectors=vectors, version=version, name=name)


def problems_of(root, allowed):
    """Opens the index as the next writer would, and compares it with the states it may be in."""
    problems = []
    with LocalEngine.open(root, dim=DIM) as engine:
        problems += engine.verify().problems
        documents = list(engine.scan())
        found = {document.id: document.metadata["version"] for document in documents}
        if found not in allowed:
            problems.append(f"holds {found}, not one of {allowed}")
        vectors, on_disk = engine.vectors(list(found)), records_on_disk(root)
        for document in documents:
            expected = versioned(document.id, document.metadata["version"])
            if document != expected.document:
                problems.append(f"{document} is not {expected.document}")
            is_exact = "vectors" in on_disk[document.id]
            if not np.allclose(vectors[document.id], stored(expected.vectors), rtol=0, atol=0 if is_exact else 0.03):
                problems.append(f"wrong vectors of {document.id}")
        for version in set(found.values()):
            names = {name for name in found if found[name] == version}
            if {document.id for document in engine.scan(where={"version": version})} != names:
                problems.append(f"wrong filter rows of version {version}")
            if {match.id for match in engine.search_lexical(f"version{version}", 100)} != names:
                problems.append(f"wrong words of version {version}")
        if len(engine.search_lexical("text", 100)) != len(found):
            problems.append("words of documents that are not there")
        waiting = spare_names(root, retired=True)
        problems += [f"left behind, or missing: {name}" for name in left_over(root) if name not in waiting]
    return problems, found


def fork(work):
    """Runs `work` in a fork. Nothing of this process, buffers included, is repeated there."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001  # a fork must never return
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


# Random moments


def random_step(rng, state, version):
    """A random change: its name, what to do, and the state after it."""
    kind = rng.choice(["upsert"] * 5 + ["delete ids", "delete where", "compact"])
    after = dict(state)
    if kind == "upsert":
        names = rng.sample(NAMES, rng.randint(1, 6))
        for name in names:
            after[name] = version
        return kind, lambda engine: engine.upsert(versioned(name, version) for name in names), after
    if kind == "delete ids":
        names = rng.sample(NAMES, 3)
        for name in names:
            after.pop(name, None)
        return kind, lambda engine: engine.delete(ids=names), after
    if kind == "delete where":
        odd = rng.choice(NAMES)
        for name in [name for name in after if name <= odd and after[name] < version - 3]:
            del after[name]
        where = {"name": {"$lte": odd}, "version": {"$lt": version - 3}}
        return kind, lambda engine: engine.delete(where=where), after
    return kind, lambda engine: engine.compact(), after


def work_until_killed(root, log, seed, state, version):
    rng = random.Random(seed)
    if rng.random() < 0.5:  # all steps of compaction in the background
        maintenance._MAX_CALL_TOKENS = maintenance._MAX_CALL_FACTOR = 0
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with small_thresholds(*THRESHOLDS, fanout=4), LocalEngine.open(root) as engine:
        while True:
            version += 1
            kind, change, after = random_step(rng, state, version)
            os.write(descriptor, (json.dumps(["intent", kind, after]) + "\n").encode())
            change(engine)
            os.write(descriptor, b'["done"]\n')
            state = after


def read_all(root, log, stop):
    """Asks everything, again and again, until a file says to stop; writes down how often and what was wrong."""
    query = unit_vectors(99, 3)
    wrong, states = [], set()
    while not stop.exists() and not wrong:
        try:
            with LocalEngine.open(root, read_only=True) as engine:
                for _ in range(20):
                    with engine.one_state():
                        documents = list(engine.scan())
                        vectors = engine.vectors([document.id for document in documents])
                        scores = {match.id: match.score for match in engine.search(query, 100)}
                    for document in documents:
                        expected, rows = versioned(document.id, document.metadata["version"]), vectors[document.id]
                        if document != expected.document or not np.allclose(rows, expected.vectors, rtol=0, atol=0.03):
                            wrong.append(f"a reader found {document} with wrong text or vectors")
                        if abs(scores[document.id] - ((query @ rows.T).max(axis=1).sum() if len(rows) else 0)) > 1e-3:
                            wrong.append(f"a reader found {document} with a wrong score")
                    if len(scores) != len(documents):
                        wrong.append(f"a reader found {scores} in {documents}")
                    states.add(
                        json.dumps(sorted((document.id, document.metadata["version"]) for document in documents))
                    )
                    time.sleep(0.01)
        except IndexNotFoundError:
            pass
        except Exception:  # noqa: BLE001  # reported
            wrong.append(f"a reader met {traceback.format_exc()}")
    log.write_text(json.dumps({"states": len(states), "wrong": wrong}))


@contextlib.contextmanager
def reading(root, result):
    """A reader beside the writer; what it has seen is in the result afterwards."""
    log, stop = root.with_name("reader"), root.with_name("stop")
    for path in (log, stop):
        path.unlink(missing_ok=True)
    pid = fork(lambda: read_all(root, log, stop))
    try:
        yield
    finally:
        stop.touch()
        os.waitpid(pid, 0)
        if log.exists():
            seen = json.loads(log.read_text())
            result["states seen"] = seen["states"]
            result["wrong"] += seen["wrong"]
        else:
            result["wrong"].append("the reader ended by itself")


def moments(root, seed, rounds, progress=lambda number: None):
    LocalEngine.open(root, dim=DIM, bits=8).close()
    result = {"wrong": []}
    with reading(root, result):
        found = kill_again_and_again(root, seed, rounds, progress)
    return {**result, **found, "wrong": result["wrong"] + found["wrong"]}


def half_done(root):
    """Whether what a writer has left behind are compressed files."""
    return any(
        (path / "codes.npy").exists() or path.parent.name == "codebooks"
        for name in left_over(root)
        for path in (root / "segments" / name, root / "codebooks" / name)
        if path.exists()
    )


def wait_for_a_line(path):
    """Returns when a file has a line, but not much later than a busy machine needs to open an index."""
    end = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size) and time.monotonic() < end:
        time.sleep(0.001)


def kill_again_and_again(root, seed, rounds, progress):
    rng = random.Random(seed)
    log = root.with_name("log")
    state, version = {}, 0
    wrong, next_states, steps, dead_in, compressing = [], 0, 0, {}, 0
    for number in range(rounds):
        progress(number)
        log.unlink(missing_ok=True)
        pid = fork(lambda: work_until_killed(root, log, rng.random(), state, version))  # noqa: B023  # forks at once
        if rng.random() < _AFTER_OPENING:
            wait_for_a_line(log)
        time.sleep(rng.choice([0.01, 0.03, 0.1]) * (0.2 + rng.random()))
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if status != signal.SIGKILL:
            wrong.append(f"round {number}: the worker ended by itself: {status}")
        acknowledged = intended = state
        kind = "open"
        for line in log.read_text().splitlines() if log.exists() else ():
            entry = json.loads(line)
            if entry[0] == "intent":
                kind, intended = entry[1:]
            else:
                acknowledged, kind = intended, "between"
                steps += 1
            version += entry[0] == "intent"
        dead_in[kind] = dead_in.get(kind, 0) + 1
        compressing += half_done(root)
        try:
            problems, state = problems_of(root, [acknowledged, intended])
        except Exception as error:  # noqa: BLE001  # reported
            wrong.append(f"round {number}, killed in {kind}: {type(error).__name__}: {error}")
            break
        next_states += acknowledged != intended and state == intended
        wrong += [f"round {number}, killed in {kind}: {problem}" for problem in problems]
    counts = {"steps": steps, "next": next_states, "dead_in": dead_in, "dead while compressing": compressing}
    return {"deaths": number + 1, **counts, "wrong": wrong}


# Certain lines


def many_small_segments(root):
    with LocalEngine.open(root, dim=DIM) as engine:
        for version in range(1, 16):
            engine.upsert([versioned(NAMES[version % 5], version)])
        engine.delete(ids=[NAMES[0]])
    return {NAMES[n]: 10 + n for n in range(1, 5)}


def few_segments(root):
    with LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([versioned(name, 1) for name in NAMES[:4]])
        engine.upsert([versioned(name, 2) for name in NAMES[2:6]])
        engine.delete(ids=[NAMES[0]])
    return {NAMES[1]: 1, **dict.fromkeys(NAMES[2:6], 2)}


def nearly_enough(root):
    """Exact documents, a token short of being compressed."""
    with LocalEngine.open(root, dim=DIM, bits=8) as engine:
        engine.upsert([versioned(name, 5) for name in NAMES[:7]])
        engine.delete(ids=[NAMES[0]])
    return dict.fromkeys(NAMES[1:7], 5)


def compressed(root):
    """Compressed documents in two segments, and exact ones, a token short of being compressed."""
    with small_thresholds(*THRESHOLDS), LocalEngine.open(root, dim=DIM, bits=8) as engine:
        engine.upsert([versioned(name, 5) for name in NAMES[:7]])
        engine.upsert([versioned(name, 6) for name in NAMES[5:10]])
        engine.upsert([versioned(name, 1) for name in NAMES[:2]])
        engine.upsert([versioned(NAMES[11], 5)])
        assert engine.info()["exact_tokens"] == 7
    return {
        **dict.fromkeys(NAMES[2:5], 5),
        **dict.fromkeys(NAMES[5:10], 6),
        **dict.fromkeys(NAMES[:2], 1),
        NAMES[11]: 5,
    }


def compressed_before_format_5(root):
    """The same, as an older release has written it."""
    with as_before_format_5():
        return compressed(root)


def compressed_before_format_7(root):
    """The same, without posting lists, in one segment."""
    with as_before_format_7():
        state = compressed(root)
        compressing(lambda engine: engine.compact())(root)
        return state


def with_garbage(root):
    state = few_segments(root)
    for number in range(3):
        garbage = root / "segments" / spare_names(root)[number]
        shutil.copytree(next(path for path in (root / "segments").iterdir()), garbage)
    return state


def opened(change):
    def run(root):
        with LocalEngine.open(root, dim=DIM) as engine:
            change(engine)

    return run


def compressing(change):
    def run(root):
        with small_thresholds(*THRESHOLDS):
            opened(change)(root)

    return run


ACTIONS = {
    # name: (what is there before, what is done, the state after it)
    "create": (lambda root: {}, lambda root: LocalEngine.open(root, dim=DIM).close(), lambda state: state),
    "upsert": (
        few_segments,
        opened(lambda engine: engine.upsert([versioned(name, 3) for name in (NAMES[1], NAMES[5], NAMES[9])])),
        lambda state: {**state, NAMES[1]: 3, NAMES[5]: 3, NAMES[9]: 3},
    ),
    "upsert and merge": (
        many_small_segments,
        opened(lambda engine: engine.upsert([versioned(name, 30) for name in (NAMES[1], NAMES[9])])),
        lambda state: {**state, NAMES[1]: 30, NAMES[9]: 30},
    ),
    "delete": (
        few_segments,
        opened(lambda engine: engine.delete(ids=NAMES[:3])),
        lambda state: {name: version for name, version in state.items() if name not in NAMES[:3]},
    ),
    "delete where": (few_segments, opened(lambda engine: engine.delete(where={"version": 2})), lambda _: {NAMES[1]: 1}),
    "compact": (few_segments, opened(lambda engine: engine.compact()), lambda state: state),
    "compress": (
        nearly_enough,
        compressing(lambda engine: engine.upsert([versioned(NAMES[2], 8), versioned(NAMES[9], 9)])),
        lambda state: {**state, NAMES[2]: 8, NAMES[9]: 9},
    ),
    "extend the codebook": (
        compressed,
        compressing(lambda engine: engine.upsert([versioned(name, 6) for name in ("x", "y", "z", NAMES[3])])),
        lambda state: {**state, "x": 6, "y": 6, "z": 6, NAMES[3]: 6},
    ),
    "compact what is compressed": (compressed, compressing(lambda engine: engine.compact()), lambda state: state),
    "convert what is compressed": (
        compressed_before_format_5,
        compressing(lambda engine: engine.compact()),
        lambda state: state,
    ),
    "add posting lists": (
        compressed_before_format_7,
        compressing(lambda engine: engine.compact()),
        lambda state: state,
    ),
    "open": (with_garbage, opened(lambda engine: None), lambda state: state),
}


def die_at(count):
    """From now on, count the lines of the engine that are about to run, and die before this one. Returns the count."""
    seen = [0]

    def on_line(frame, event, argument):
        if event == "line":
            seen[0] += 1
            if seen[0] == count:
                os.kill(os.getpid(), signal.SIGKILL)
        return on_line

    def on_call(frame, event, argument):
        return on_line if frame.f_code.co_filename.startswith(CODE) else None

    sys.settrace(on_call)
    return seen


def lines(root, action, points):
    prepare, change, outcome = ACTIONS[action]
    base = root.with_name("base")
    before = prepare(base)
    after = outcome(before)

    def fresh():
        shutil.rmtree(root, ignore_errors=True)
        if base.exists():
            shutil.copytree(base, root)

    fresh()
    seen = die_at(-1)
    change(root)
    sys.settrace(None)
    total = seen[0]
    wrong, next_states, deaths = problems_of(root, [after])[0], 0, 0
    for count in sorted({1 + round(step * (total - 1) / (points - 1)) for step in range(points)}):
        fresh()
        pid = fork(lambda: (die_at(count), change(root)))  # noqa: B023  # forks at once
        status = os.waitpid(pid, 0)[1]
        deaths += status == signal.SIGKILL
        try:
            problems, state = problems_of(root, [before, after])
            next_states += before != after and state == after
        except Exception as error:  # noqa: BLE001  # reported
            problems = [f"{type(error).__name__}: {error}"]
        wrong += [f"killed before line {count} of {total}: {problem}" for problem in problems]
    return {"deaths": deaths, "lines": total, "next": next_states, "wrong": wrong}


if __name__ == "__main__":
    mode, path, what, number = sys.argv[1:]
    result = moments(Path(path), int(what), int(number)) if mode == "moments" else lines(Path(path), what, int(number))
    sys.stdout.write(json.dumps(result))
