"""Kills writers in the middle of what they do, and says what is left. Run by test_local_crash, as a process of its own.

The process that checks forks the process that writes, so that a hundred deaths cost one start of Python. Nothing here
imports torch, and no thread runs, so forking is safe.

``python -m tests.engines.crash_child moments ROOT SEED ROUNDS``
    A worker does random things, writing down each intent before and each acknowledgement after, until it is killed at
    a random moment. What the index then holds must be the last acknowledged state, or the one intended after it.

``python -m tests.engines.crash_child lines ROOT ACTION POINTS``
    A worker does one thing and is killed before a certain line of the engine's code, for many lines in turn.

Prints one JSON object: how many deaths, how many left the next state, and a list of what went wrong.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

import late_interaction.engines.local
from late_interaction.engines import LocalEngine
from tests.engines.helpers import DIM, record, state_on_disk, stored, unit_vectors

CODE = str(Path(late_interaction.engines.local.__file__).parent)
NAMES = [f"d{number}" for number in range(12)]


def versioned(name, version):
    """The one record of this id and version."""
    vectors = unit_vectors(version, tokens=version % 5)
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
        vectors = engine.vectors(list(found))
        for document in documents:
            expected = versioned(document.id, document.metadata["version"])
            if document != expected.document:
                problems.append(f"{document} is not {expected.document}")
            if not np.array_equal(vectors[document.id], stored(expected.vectors)):
                problems.append(f"wrong vectors of {document.id}")
        for version in set(found.values()):
            names = {name for name in found if found[name] == version}
            if {document.id for document in engine.scan(where={"version": version})} != names:
                problems.append(f"wrong filter rows of version {version}")
            if {match.id for match in engine.search_lexical(f"version{version}", 100)} != names:
                problems.append(f"wrong words of version {version}")
        if len(engine.search_lexical("text", 100)) != len(found):
            problems.append("words of documents that are not there")
        _, tables, _, _, directories = state_on_disk(root)
        if sorted(row[1] for row in tables["segments"]) != directories:
            problems.append(f"left behind: {directories} of which {tables['segments']} live")
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
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with LocalEngine.open(root, dim=DIM) as engine:
        while True:
            version += 1
            kind, change, after = random_step(rng, state, version)
            os.write(descriptor, (json.dumps(["intent", kind, after]) + "\n").encode())
            change(engine)
            os.write(descriptor, b'["done"]\n')
            state = after


def moments(root, seed, rounds):
    rng = random.Random(seed)
    log = root.with_name("log")
    state, version = {}, 0
    wrong, next_states, steps, dead_in = [], 0, 0, {}
    for number in range(rounds):
        log.unlink(missing_ok=True)
        pid = fork(lambda: work_until_killed(root, log, rng.random(), state, version))  # noqa: B023  # forks at once
        time.sleep(rng.choice([0.01, 0.05, 0.2]) * (0.2 + rng.random()))
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
        try:
            problems, state = problems_of(root, [acknowledged, intended])
        except Exception as error:  # noqa: BLE001  # reported
            wrong.append(f"round {number}, killed in {kind}: {type(error).__name__}: {error}")
            break
        next_states += acknowledged != intended and state == intended
        wrong += [f"round {number}, killed in {kind}: {problem}" for problem in problems]
    return {"deaths": number + 1, "steps": steps, "next": next_states, "dead_in": dead_in, "wrong": wrong}


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


def with_garbage(root):
    state = few_segments(root)
    for number in range(3):
        shutil.copytree(next(path for path in (root / "segments").iterdir()), root / "segments" / f"garbage{number}")
    return state


def opened(change):
    def run(root):
        with LocalEngine.open(root, dim=DIM) as engine:
            change(engine)

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
