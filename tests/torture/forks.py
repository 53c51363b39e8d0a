"""A process forks while it has an index open for writing, and while its threads add and search.

The child reads what the parent would read, is refused every write, never hangs, and however it ends takes nothing from
the parent: no other process may write as long as the parent lives, and what was acknowledged is there in the end.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress

from late_interaction import Document, Index
from late_interaction.errors import IndexClosedError, IndexLockedError
from tests.engines.test_local_processes import Child, ChildError
from tests.fakes import WordEncoder
from tests.torture.driver import Outcome

TRIALS = 300
SECONDS = 200
ENVIRONMENT = {"OMP_NUM_THREADS": "2"}  # so that there are threads, which a fork loses

_CHILD_SECONDS = 40  # also where the machine is busy
_COUNT, _WORDS = 1000, 40  # below what is compressed, and enough for torch to use its threads
_READS = ("count", "get", "scan", "late", "lexical", "hybrid", "verify", "open read-only")
_WRITES = ("add", "delete ids", "delete where", "compact", "open for writing")
_ENDS = ("os._exit", "sys.exit", "close", "close and sys.exit", "gc", "exception", "close in a thread")


class _Words(WordEncoder):
    """Without a mutex of its own, which another thread might hold when the process forks."""

    def encode_queries(self, texts):
        return [self._encode(text) for text in texts]

    encode_documents = encode_queries


class _UnforeseenError(BaseException):
    """An error of a child that nobody catches."""


def _document(n):
    words = " ".join(f"w{n * j % 977}" for j in range(1, _WORDS - 1))
    return Document(f"number{n} {words}", id=f"d{n}", metadata={"n": n})


class Trials:
    """Each number chooses what the parent's threads do, how it forks, what the child does and how that ends."""

    total = None

    def __init__(self, folder, seed):
        self._base, self._root, self._seed = folder / "base", folder / "index", seed
        self._parent = os.getpid()
        self._other = Child()  # a process that would write too
        with Index.open(self._base, encoder=_Words()) as index:
            index.add([_document(n) for n in range(_COUNT)])

    def run(self, number):
        rng = random.Random(f"forks {self._seed} {number}")
        shutil.rmtree(self._root, ignore_errors=True)
        shutil.copytree(self._base, self._root)
        index = Index.open(self._root, encoder=_Words())
        index.search("number7 w7 w14")
        threads = _Threads(index, rng.sample(("add", "add", "search", "count", "compact"), rng.randint(0, 4)))
        faults, scripts = [], []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            actions = [rng.choice(_READS), *rng.sample(_READS + _WRITES, rng.randint(2, 7))]
            rng.shuffle(actions)
            how = rng.choice(("os.fork", "os.fork", "os.fork twice", "multiprocessing"))
            scripts.append((how, actions, rng.choice(_ENDS)))
        children = []
        for how, actions, end in scripts:
            time.sleep(rng.random() * 0.02)
            children.append(_Forked(index, self._root, how, actions, end, set(threads.acknowledged)))
        faults += self._faults_of_lock("while the child lives")
        for child in children:
            faults += child.faults()
        faults += self._faults_of_lock(f"after the child has ended by {' and '.join(end for _, _, end in scripts)}")
        faults += threads.stop()
        try:
            index.add([_document(5000)])
            threads.acknowledged.append(5000)
            index.close()
            faults += self._faults_at_last(set(threads.acknowledged))
        except Exception:  # noqa: BLE001  # reported
            faults.append(_told("the parent later", traceback.format_exc()))
        return Outcome([_with(fault, f"{scripts}, threads: {threads.tasks}") for fault in faults])

    def _faults_of_lock(self, when):
        try:
            self._other("open", path=str(self._root))
        except ChildError as error:
            return [] if error.args[0] == "IndexLockedError" else [f"another process {when}: {error.args}"]
        self._other("close")
        return [f"another process could open the index for writing {when}"]

    def _faults_at_last(self, acknowledged):
        expected = {f"d{n}" for n in range(_COUNT)} | {f"d{n}" for n in acknowledged}
        self._other("open", path=str(self._root))
        found = self._other("scan")
        problems = self._other("verify")
        self._other("close")
        faults = [f"verify: {problem}" for problem in problems]
        if set(found) != expected or len(found) != len(expected):
            faults.append(f"lost: {sorted(expected - set(found))}, too many: {sorted(set(found) - expected)}")
        return faults


def _with(fault, script):
    first, _, rest = fault.partition("\n")
    return f"{first}; {script}\n{rest}"


def _told(what, error):
    return f"{what}: {error.strip().splitlines()[-1]}\n{error}"


class _Threads:
    """What the parent does meanwhile."""

    def __init__(self, index, tasks):
        self.tasks = tasks
        self.acknowledged = []
        self._index = index
        self._stop = threading.Event()
        self._faults = []
        self._threads = [
            threading.Thread(target=self._work, args=(task, number), daemon=True) for number, task in enumerate(tasks)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        if any(thread.is_alive() for thread in self._threads):
            self._faults.append("a thread of the parent hangs")
        return self._faults

    def _work(self, task, number):
        calls = {
            "search": lambda: self._index.search("number7 w7 w14", 3),
            "count": lambda: self._index.count(where={"n": {"$lt": 10}}),
            "compact": lambda: self._index.compact(),
        }
        next_document = 2000 + 1000 * number
        try:
            while not self._stop.wait(0.002):
                if task == "add":
                    self._index.add([_document(next_document)])
                    self.acknowledged.append(next_document)
                    next_document += 1
                else:
                    calls[task]()
        except Exception:  # noqa: BLE001  # reported
            self._faults.append(_told(f"{task} in a thread of the parent", traceback.format_exc()))


class _Forked:
    """A child, and what it says by a pipe: each action before it begins, and each fault."""

    def __init__(self, index, root, how, actions, end, acknowledged):
        self._said, said = os.pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed when the child has ended
        sys.stderr.flush()
        if how == "multiprocessing":
            process = multiprocessing.get_context("fork").Process(
                target=_child, args=(index, root, actions, end, acknowledged, said, self._errors)
            )
            process.start()
            self._pid = process.pid
        else:
            self._pid = os.fork()
            if self._pid == 0:
                if how == "os.fork twice" and (grandchild := os.fork()):
                    os._exit(os.waitpid(grandchild, 0)[1] != 0)
                _child(index, root, actions, end, acknowledged, said, self._errors)
                os._exit(0)
        os.close(said)

    def faults(self):
        """Wait for the end of the child."""
        text, deadline = b"", time.monotonic() + _CHILD_SECONDS
        hangs = False
        while True:
            ready, _, _ = select.select([self._said], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                hangs = True
                break
            if not (part := os.read(self._said, 1 << 16)):
                break
            text += part
        os.close(self._said)
        while not hangs and os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            hangs = time.monotonic() > deadline
            time.sleep(0.001)
        said = [json.loads(line) for line in text.decode().splitlines()]
        if hangs:
            for pid in [entry["pid"] for entry in said if "pid" in entry]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGABRT)  # faulthandler writes where its threads are
                    time.sleep(0.3)
                    os.kill(pid, signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            status = os.waitpid(self._pid, 0)[1]
        last = [entry["begins"] for entry in said if "begins" in entry][-1:]
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace").partition("\nExtension modules")[0]
        self._errors.close()
        if hangs:
            return [f"the child hangs in {last}\n{errors}"]
        if os.WIFSIGNALED(status):
            return [f"the child died of signal {os.WTERMSIG(status)} in {last}"]
        return [entry["fault"] for entry in said if "fault" in entry]


def _child(index, root, actions, end, acknowledged, said, errors):
    """What a forked process does."""
    os.dup2(errors.fileno(), 2)

    def say(**entry):
        os.write(said, (json.dumps(entry) + "\n").encode())

    say(pid=os.getpid())
    for action in actions:
        say(begins=action)
        try:
            fault = _FAULT_OF[action](index, root, acknowledged)
        except IndexLockedError:
            fault = f"{action} is refused as a write" if action in _READS else None
        except BaseException:  # noqa: BLE001  # reported
            fault = _told(f"{action} in the child", traceback.format_exc())
        if fault:
            say(fault=fault)
    say(begins=end)
    if end in ("close", "close and sys.exit"):
        index.close()
        with suppress(IndexClosedError):
            index.count()
            say(fault="a closed index answers")
    if end == "close in a thread":
        thread = threading.Thread(target=index.close)
        thread.start()
        thread.join()
    if end == "gc":
        index.__dict__.clear()  # nothing refers to the engine any more but the frames of the parent's copy
        gc.collect()
    if end == "exception":
        raise _UnforeseenError
    if end in ("sys.exit", "close and sys.exit"):
        sys.exit(0)
    os._exit(0)


def _count(index, root, acknowledged):
    if not _COUNT + len(acknowledged) <= index.count() < _COUNT + 10_000:
        return f"count() is {index.count()}"
    return None


def _get(index, root, acknowledged):
    names = [7, 500, *sorted(acknowledged)[-3:]]
    found = index.get([f"d{n}" for n in names])
    return None if found == [_document(n) for n in names] else f"get gives {found}"


def _scan(index, root, acknowledged):
    found = list(index.scan())
    missing = {f"d{n}" for n in [*range(_COUNT), *acknowledged]} - {document.id for document in found}
    wrong = [document for document in found if document != _document(document.metadata["n"])]
    return f"scan lacks {missing} and has {wrong}" if missing or wrong else None


def _search(mode):
    def search(index, root, acknowledged):
        del root, acknowledged
        hits = index.search("number321", 3, mode=mode)
        if not hits or hits[0].document != _document(321) or (mode == "late" and abs(hits[0].score - 1) > 0.01):
            return f"{mode} search finds {hits}"
        return None

    return search


def _verify(index, root, acknowledged):
    problems = index.verify().problems
    return f"verify: {problems}" if problems else None


def _open(index, root, acknowledged):
    with Index.open(root, encoder=_Words(), read_only=True) as again:
        return _count(again, root, acknowledged) or _search("late")(again, root, acknowledged)


def _write(call):
    def write(index, root, acknowledged):
        del acknowledged
        call(index, root)
        return "a write in the child was not refused"

    return write


_FAULT_OF = {
    "count": _count,
    "get": _get,
    "scan": _scan,
    "late": _search("late"),
    "lexical": _search("lexical"),
    "hybrid": _search("hybrid"),
    "verify": _verify,
    "open read-only": _open,
    "add": _write(lambda index, root: index.add([_document(9000)])),
    "delete ids": _write(lambda index, root: index.delete(["d7"])),
    "delete where": _write(lambda index, root: index.delete(where={"n": {"$gte": 990, "$lt": 1000}})),
    "compact": _write(lambda index, root: index.compact()),
    "open for writing": _write(lambda index, root: Index.open(root).close()),
}
