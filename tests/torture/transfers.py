"""SIGKILL at random instants of a transfer, which is run again and again until it is complete.

At the end every document is in the target once, with the vectors and the top ten of the source. What was acknowledged
before a kill is there after it.
"""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import time
import traceback
from importlib.util import find_spec

import numpy as np

from late_interaction import Document
from late_interaction.engines import LocalEngine, Record, transfer
from late_interaction.engines.registry import open_engine
from late_interaction.transferring import copying
from tests.engines import crash_child
from tests.engines.helpers import small_thresholds
from tests.torture.driver import Outcome

TRIALS = 3  # one for each kind of target
SECONDS = 3_600

TARGETS = ("local", "qdrant", "lancedb")
_PACKAGES = {"qdrant": "qdrant_client", "lancedb": "lancedb"}
_DOCUMENTS, _KILLS = 10_000, 100
_DIM, _TOKENS = 16, 5
_QUERIES = 50
_BATCH_DOCUMENTS = 250  # in one write, so that there are forty of them
_THRESHOLDS = 10_000, 10_000  # tokens: the source is compressed, and has centroids
_TOLERANCE = 0.02  # of a score: float16 in the target
_EXACT = ("local", "qdrant")  # Qdrant in its local mode


class Trials:
    """Each number is a target, whose transfer is killed a hundred times."""

    total = len(TARGETS)

    def __init__(self, folder, seed):
        self._folder, self._seed = folder, seed

    def run(self, number):
        target = TARGETS[number]
        if (package := _PACKAGES.get(target)) is not None and find_spec(package) is None:
            return Outcome(notes=[f"{target}: {package} is not installed"], tried=0)
        return killed_again_and_again(self._folder / target, target, f"{self._seed} {number}", _DOCUMENTS, _KILLS)


def killed_again_and_again(folder, target, seed, documents, kills):
    """Kill a transfer so many times, and begin anew with an empty target whenever it is complete; then let it end."""
    rng = random.Random(f"transfers {seed}")
    folder.mkdir(parents=True)
    source = folder / "source"
    _in_fork(_make_source, source, documents)
    faults, notes = [], []
    killed = completed = acknowledged = 0
    usual, opening = 0.1, 0.5  # seconds from one acknowledgement to the next, and until both engines are open
    place = folder / "target"
    while killed < kills or not completed:
        attempt = _Attempt(source, place, target)
        after = rng.choice(("start", "opened", "opened", "written")) if killed < kills else "end"
        attempt.wait(after, rng.random() * (opening if after == "start" else 2 * usual))
        attempt.end()
        usual, opening = attempt.usual or usual, attempt.opening or opening
        if attempt.held is not None and attempt.held < acknowledged:
            faults.append(f"{target}: {attempt.held} documents after {acknowledged} were acknowledged")
        if attempt.held is not None:
            acknowledged = attempt.held + attempt.written
        if attempt.error:
            return Outcome([*faults, f"{target}, after {killed} kills: {attempt.error}"], notes, max(1, killed))
        if attempt.report is None:
            killed += 1
            notes.append(f"{target}: killed {'before' if not attempt.written else 'after'} the first write")
            continue
        completed += 1
        notes.append(f"{target}: completed")
        faults += [f"{target}, after {killed} kills: {fault}" for fault in _in_fork(_faults, source, place, target)]
        if killed < kills:
            shutil.rmtree(place)
            acknowledged = completed = 0
    return Outcome(faults, notes, killed)


class _Attempt:
    """A process that transfers, and says what it does.

    Attributes:
        held: Documents in the target when it began; None if it did not come so far.
        written: Documents of acknowledged writes.
        usual: Seconds from one acknowledgement to the next; None if there were fewer than two.
        opening: Seconds until both engines were open; None if it did not come so far.
        report: What `transfer` returned; None if it was killed before.
        error: What it raised.
    """

    def __init__(self, source, place, target):
        said, says = os.pipe()
        self._pid = crash_child.fork(lambda: _transfer(source, place, target, says))
        os.close(says)
        self._said, self._rest = said, b""
        self._started, self._times = time.monotonic(), []
        self.held = self.opening = self.report = self.error = None
        self.written = 0

    def wait(self, after, seconds):
        """Wait until it starts, has opened both engines, or has written something, and then so many seconds."""
        reached = {
            "start": lambda: True,
            "opened": lambda: self.held is not None,
            "written": lambda: bool(self.written),
            "end": lambda: False,
        }
        if self._read(reached[after]):
            self._read(lambda: False, seconds)

    def end(self):
        """Kill the process, unless it has ended."""
        os.kill(self._pid, signal.SIGKILL)  # it is not waited for yet, so the number is its own
        os.waitpid(self._pid, 0)
        self._read(lambda: False)
        os.close(self._said)

    @property
    def usual(self):
        gaps = np.diff(self._times)
        return float(gaps.mean()) if len(gaps) else None

    def _read(self, is_enough, seconds=None):
        """Read what it says until it is enough, the seconds are over or it ends; return whether it goes on."""
        until = None if seconds is None else time.monotonic() + seconds
        while not is_enough():
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self._said], [], [], left)[0]:
                return True
            data = os.read(self._said, 65_536)
            if not data:
                return False
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._note(**json.loads(line))
        return True

    def _note(self, held=None, written=None, report=None, error=None):
        if held is not None:
            self.held, self.opening = held, time.monotonic() - self._started
        if written is not None:
            self._times.append(time.monotonic())
            self.written += written
        self.report, self.error = report or self.report, error or self.error


def _transfer(source, place, target, says):
    def say(**values):
        os.write(says, json.dumps(values).encode() + b"\n")

    try:
        with LocalEngine.open(source, read_only=True) as of:
            to = _opened(target, place)
            say(held=to.count())
            upsert = to.upsert

            def acknowledged(records):
                ids = upsert(records)
                say(written=len(ids))
                return ids

            to.upsert = acknowledged
            copying._BATCH_DOCUMENTS = _BATCH_DOCUMENTS
            report = transfer(of, to, verify=0)  # a search imports torch, and is checked at the end
            to.close()
        say(report=str(report))
    except Exception:  # noqa: BLE001  # reported
        error = traceback.format_exc()
        say(error=f"raised {error.strip().splitlines()[-1]}\n{error}")


def _opened(target, place):
    address = str(place) if target == "local" else f"{target}:{place}"
    return open_engine(address, dim=_DIM)


def _documents(count):
    return [
        Document(f"word number{n} group{n % 7}", id=f"d{n}", metadata={"group": n % 7, "n": n}) for n in range(count)
    ]


def _vectors(count):
    """Each token is one of a thousand words, a little changed, so that some documents are like others."""
    rng = np.random.default_rng(count)
    words = rng.normal(size=(1_000, _DIM))
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    vectors = words[rng.integers(len(words), size=(count, _TOKENS))] + 0.05 * rng.normal(size=(count, _TOKENS, _DIM))
    return (vectors / np.linalg.norm(vectors, axis=2, keepdims=True)).astype(np.float32)


def _make_source(source, count):
    with small_thresholds(*_THRESHOLDS), LocalEngine.open(source, dim=_DIM, bits=4) as engine:
        engine.upsert(map(Record, _documents(count), _vectors(count)))
        assert count * _TOKENS < _THRESHOLDS[0] or engine.centroids() is not None
    return []


def _faults(source, place, target):
    """What is wrong in a complete target, compared with the source by NumPy."""
    faults = []
    with LocalEngine.open(source, read_only=True) as of:
        expected = list(of.scan())
        vectors = of.vectors([document.id for document in expected])
        stacked = np.stack([vectors[document.id] for document in expected])
    to = _opened(target, place)
    found = list(to.scan())
    if len({document.id for document in found}) != len(found):
        faults.append("a document comes twice")
    if {document.id: document for document in found} != {document.id: document for document in expected}:
        faults.append(f"the documents differ: {len(found)} for {len(expected)}")
    elif target == "local" and found != expected:
        faults.append("the order differs")
    if to.count() != len(expected):
        faults.append(f"counts {to.count()} documents")
    lost = 0
    for query in stacked[:: max(1, len(stacked) // _QUERIES)]:
        scores = (query @ stacked.reshape(-1, _DIM).T).reshape(len(query), len(stacked), _TOKENS).max(2).sum(0)
        best = np.sort(scores)[::-1][:10]
        matches = to.search(query, 10)
        by_id = dict(zip((document.id for document in expected), scores.tolist(), strict=True))
        faults += [f"the score of {one.id}" for one in matches if abs(one.score - by_id[one.id]) > _TOLERANCE]
        lost += sum(by_id[match.id] < best[-1] - _TOLERANCE for match in matches) + 10 - len(matches)
    if lost > (0 if target in _EXACT else 0.02 * 10 * _QUERIES):
        faults.append(f"{lost} of the ten best of {_QUERIES} queries are lost")
    faults += [f"verify: {problem}" for problem in (to.verify().problems if to.capabilities.verify else ())]
    to.close()
    return faults


def _in_fork(work, *arguments):
    """Return what a function returns in a process of its own, as JSON; nothing here starts threads or opens files."""
    said, says = os.pipe()

    def run():
        try:
            result = work(*arguments)
        except Exception:  # noqa: BLE001  # reported
            result = [f"raised {traceback.format_exc()}"]
        os.write(says, json.dumps(result[:20]).encode()[:60_000])

    pid = crash_child.fork(run)
    os.close(says)
    with os.fdopen(said) as answers:
        answer = answers.read()
    os.waitpid(pid, 0)
    return json.loads(answer)
