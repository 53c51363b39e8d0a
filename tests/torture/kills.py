"""SIGKILL at random instants: of a writer, while an index is made, and while one is copied.

What was acknowledged is there, what was going on happened whole or not at all, and the next process goes on.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
import traceback

from late_interaction import Document, Index
from late_interaction.errors import LateInteractionError
from tests.engines import crash_child
from tests.engines.helpers import small_thresholds
from tests.fakes import WordEncoder
from tests.torture.driver import Outcome

TRIALS = 240  # of some dozen kills each
SECONDS = 60

_ROUNDS = {"writer": 20, "writer beside a reader": 20, "creation": 10, "copy": 10}
_WEIGHTS = (4, 1, 5, 5)


def _documents(numbers):
    return [Document(f"word number{n} group{n % 4}", id=f"d{n}", metadata={"group": n % 4}) for n in numbers]


class Trials:
    """Each number kills processes of one kind, one after the other."""

    total = None

    def __init__(self, folder, seed):
        self._folder, self._seed = folder, seed
        self._base = folder / "base"
        with small_thresholds(50, 50), Index.open(self._base, encoder=WordEncoder()) as index:
            index.add(_documents(range(30)))
            index.add(_documents(range(30, 35)))
            index.delete(["d3", "d31"])
        with Index.open(self._base, read_only=True) as index:
            self._held = _state(index)
        self._seconds = {"creation": self._seconds_of(_create), "copy": self._seconds_of(_copy)}

    def run(self, number):
        rng = random.Random(f"kills {self._seed} {number}")
        kind = rng.choices(list(_ROUNDS), _WEIGHTS)[0]
        rounds = _ROUNDS[kind]
        place = self._fresh()
        if kind == "writer":
            crash_child.LocalEngine.open(place / "index", dim=crash_child.DIM, bits=8).close()
            result = crash_child.kill_again_and_again(place / "index", rng.random(), rounds, lambda _: None)
        elif kind == "writer beside a reader":
            result = crash_child.moments(place / "index", rng.random(), rounds)
        else:
            return self._kill(kind, rng, rounds)
        notes = [f"killed in {name}" for name, count in result["dead_in"].items() for _ in range(count)]
        notes += ["commits before kills"] * result["steps"]
        return Outcome([f"{kind}: {fault}" for fault in result["wrong"]], notes, result["deaths"])

    def _kill(self, kind, rng, rounds):
        work, check = (_create, self._faults_of_creation) if kind == "creation" else (_copy, self._faults_of_copy)
        faults, notes = [], []
        for _ in range(rounds):
            place = self._fresh()
            delay = rng.random() * 1.2 * self._seconds[kind]
            said, pid = _fork(work, place)
            time.sleep(delay)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            acknowledged = os.read(said, 100).decode().split()
            os.close(said)
            notes.append(f"{kind}: killed after {len(acknowledged)} acknowledgements")
            try:
                faults += [f"{kind}, after {acknowledged}: {fault}" for fault in check(place, acknowledged)]
            except Exception:  # noqa: BLE001  # reported
                error = traceback.format_exc()
                faults.append(f"{kind}, after {acknowledged}: {error.strip().splitlines()[-1]}\n{error}")
        return Outcome(faults, notes, rounds)

    def _fresh(self):
        place = self._folder / "trial"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        shutil.copytree(self._base, place / "source")
        return place

    def _seconds_of(self, work):
        """How long the work takes in a fork, as the shortest of a few runs."""
        taken = []
        for _ in range(5):
            place = self._fresh()
            started = time.monotonic()
            said, pid = _fork(work, place)
            status = os.waitpid(pid, 0)[1]
            os.close(said)
            assert status == 0, status
            taken.append(time.monotonic() - started)
        return min(taken)

    def _faults_of_creation(self, place, acknowledged):
        """There is no index or an empty one, until the first addition; the next process makes or opens it."""
        path, faults = place / "new" / "index", []
        allowed = ([set()], [set(), {"d1"}], [{"d1"}])[len(acknowledged)]
        with contextlib.suppress(LateInteractionError), Index.open(path, read_only=True) as index:
            if set(_state(index)) not in allowed:
                faults.append(f"a reader finds {_state(index)}")
        with Index.open(path, encoder=WordEncoder()) as index:
            faults += [f"verify: {problem}" for problem in index.verify().problems]
            if set(_state(index)) not in allowed:
                faults.append(f"holds {_state(index)}")
            index.add(_documents([5]))
            if "d5" not in _state(index):
                faults.append("the next addition is lost")
        return faults

    def _faults_of_copy(self, place, acknowledged):
        """A whole copy, or nothing that opens; what was copied is what it was, and can be copied again."""
        faults = []
        try:
            with Index.open(place / "copy") as copy:
                faults += [f"verify of the copy: {problem}" for problem in copy.verify().problems]
                if _state(copy) != self._held:
                    faults.append(f"the copy holds {_state(copy)}")
        except LateInteractionError as error:
            if acknowledged:
                faults.append(f"the copy, which was acknowledged, cannot be opened: {error}")
        with Index.open(place / "source") as index:
            faults += [f"verify: {problem}" for problem in index.verify().problems]
            if _state(index) != self._held:
                faults.append(f"the source holds {_state(index)}")
            index.copy(place / "another copy")
        with Index.open(place / "another copy") as copy:
            if _state(copy) != self._held or not copy.verify():
                faults.append("the next copy is not whole")
        return faults


def _state(index):
    return {document.id: document.text for document in index.scan()}


def _create(place, say):
    index = Index.open(place / "new" / "index", encoder=WordEncoder())
    say("opened")
    index.add(_documents([1]))
    say("added")


def _copy(place, say):
    index = Index.open(place / "source", encoder=WordEncoder())
    index.copy(place / "copy")
    say("copied")


def _fork(work, place):
    """Do some work in a fork: the pipe where it writes each acknowledgement, and its process."""
    said, says = os.pipe()
    pid = crash_child.fork(lambda: work(place, lambda word: os.write(says, f"{word} ".encode())))
    os.close(says)
    return said, pid
