"""System calls fail: a full disk, a broken one, too many open files.

A call returns, and then it is done, or raises an error of the package. When the disk is well again the same object goes
on, and the index opens with everything that was acknowledged.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

from late_interaction import Document, Index
from late_interaction.errors import IndexClosedError, LateInteractionError
from tests.engines.helpers import small_thresholds
from tests.fakes import WordEncoder
from tests.torture.driver import Outcome, UnavailableError

TRIALS = 2_400
SECONDS = 60

_ERRORS = (errno.ENOSPC, errno.EIO, errno.EMFILE)
_FIRST, _BUFFER = 50, 50
_QUERY = "word number7"


def prepare(folder):
    """Compile the layer between the process and the system."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        raise UnavailableError("failing system calls need Linux and a C compiler (gcc or cc), which is not there")
    library = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}


def _documents(numbers):
    return [
        Document(f"word of number{n} group{n % 4} again number{n}", id=f"d{n}", metadata={"g": n % 4}) for n in numbers
    ]


def _ids(numbers):
    return {f"d{n}" for n in numbers}


_HELD = _ids([*range(10), *range(40, 45)]) - {"d3", "d40"}
_LARGE = [Document("large " * 3 + f"number{n} " + "x" * 3000, id=f"d{n}") for n in range(70, 74)]


def _prepare_index(root):
    with Index.open(root, encoder=WordEncoder()) as index:
        index.add(_documents(range(10)))
        index.add(_documents(range(40, 45)))
        index.delete(["d3", "d40"])


def _search(mode):
    def search(index):
        hits = index.search(_QUERY, 100, mode=mode)
        assert hits[0].id == "d7"
        assert {hit.id for hit in hits} == _HELD

    return search


def _scan(index):
    assert {document.id for document in index.scan()} == _HELD


def _reopen(index):
    root = index.engine.path
    index.close()
    Index.open(root, encoder=WordEncoder()).close()


def _read_only(index):
    with Index.open(index.engine.path, read_only=True, encoder=WordEncoder()) as reader:
        _scan(reader)
        _search("late")(reader)


def _create(index):
    with Index.open(index.engine.path.with_name("new") / "index", encoder=WordEncoder()) as new:
        new.add(_documents([1]))


CALLS = {
    # name: (the call, the documents after it)
    "create": (_create, _HELD),
    "add": (lambda index: index.add(_documents([5, 50])), _HELD | {"d50"}),
    "add much": (lambda index: index.add(_LARGE), _HELD | _ids(range(70, 74))),
    "add and compress": (lambda index: index.add(_documents(range(60, 66))), _HELD | _ids(range(60, 66))),
    "delete": (lambda index: index.delete(["d1", "d42"]), _HELD - {"d1", "d42"}),
    "delete where": (lambda index: index.delete(where={"g": 2}), _HELD - _ids([2, 6, 42])),
    "compact": (lambda index: index.compact(), _HELD),
    "copy": (lambda index: index.copy(index.engine.path.with_name("copy")), _HELD),
    "close": (lambda index: index.close(), _HELD),
    "open": (_reopen, _HELD),
    "open read-only": (_read_only, _HELD),
    "late search": (_search("late"), _HELD),
    "lexical search": (_search("lexical"), _HELD),
    "hybrid search": (_search("hybrid"), _HELD),
    "scan": (_scan, _HELD),
    "verify": (lambda index: index.verify(), _HELD),
}


class Trials:
    """System calls of each call are counted once; numbers go through the calls, their system calls and both endings.

    The error of a number is one of `_ERRORS`, met once or from then on.
    """

    def __init__(self, folder, seed):
        self._seed = seed
        logging.disable(logging.WARNING)
        self._shim = ctypes.CDLL(None)
        self._shim.torture_disarm.restype = ctypes.c_long
        self._shim.torture_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int]
        self._shim.torture_failed.restype = ctypes.c_char_p
        self._base, self._place = folder / "base", folder / "trial"
        with small_thresholds(_FIRST, _BUFFER):
            _prepare_index(self._base)
            for _ in range(2):  # what is imported or compiled at first use is there when calls are counted
                self._counts = {name: self._try(name, -1, errno.EIO, lasting=False)[1] for name in CALLS}
        self.total = 2 * sum(self._counts.values())

    def run(self, number):
        at, lasting = divmod(number, 2)
        for name, count in self._counts.items():  # noqa: B007  # used below
            if at < count:
                break
            at -= count
        error = _ERRORS[(self._seed + number // 2) % len(_ERRORS)]
        with small_thresholds(_FIRST, _BUFFER):
            faults, _, failed, ending = self._try(name, at, error, lasting=bool(lasting))
        what = f"{name}: {errno.errorcode[error]} at call {at} ({failed}){' and from then on' if lasting else ''}"
        return Outcome([f"{what}: {fault}" for fault in faults], [f"{ending}" if failed else "nothing failed"])

    def _try(self, name, at, error, *, lasting):
        """Faults, the number of system calls, the one that failed, and how the call ended."""
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir()
        root = self._place / "index"
        shutil.copytree(self._base, root)
        index = Index.open(root, encoder=WordEncoder())
        faults, ending = [], "returned"
        self._shim.torture_arm(str(self._place).encode(), at, error, lasting)
        try:
            CALLS[name][0](index)
        except LateInteractionError:
            ending = "raised"
        except AssertionError:
            faults.append(_told("a wrong answer", traceback.format_exc()))
        except Exception:  # noqa: BLE001  # reported
            ending = "raised"
            faults.append(_told("raw error", traceback.format_exc()))
        finally:
            count = self._shim.torture_disarm()
        failed = self._shim.torture_failed().decode()
        sys.stderr.write(f"{name}: {failed}\n")  # for the driver, should it hang now
        allowed = [CALLS[name][1]] if ending == "returned" else [CALLS[name][1], _HELD]
        faults += _faults_afterwards(index, root, name, allowed, ending)
        return faults, count, failed, ending


def _told(what, error):
    return f"{what}: {error.strip().splitlines()[-1]}\n{error}"


def _faults_afterwards(index, root, name, allowed, ending):
    """What is wrong when the disk is well again."""
    faults, more = [], set()
    try:
        with contextlib.suppress(IndexClosedError) if name in ("close", "open") else contextlib.nullcontext():
            found = {document.id for document in index.scan()}
            if found not in allowed:
                faults.append(f"holds {sorted(found)}")
            index.add(_documents([90]))
            more = {"d90"}
    except Exception:  # noqa: BLE001  # reported
        faults.append(_told("the same object", traceback.format_exc()))
    try:
        index.close()
        with Index.open(root, encoder=WordEncoder()) as again:
            faults += [f"verify: {problem}" for problem in again.verify().problems]
            found = {document.id for document in again.scan()}
            if found - more not in allowed or not more <= found:
                faults.append(f"opened again it holds {sorted(found)}")
            again.add(_documents([91]))
            again.compact()
            faults += [f"verify at last: {problem}" for problem in again.verify().problems]
            if {document.id for document in again.scan()} != found | {"d91"}:
                faults.append("the next additions are lost")
    except Exception:  # noqa: BLE001  # reported
        faults.append(_told("opened again", traceback.format_exc()))
    if name == "copy":
        faults += _faults_of_another(root.with_name("copy"), _HELD, ending)
    if name == "create":
        faults += _faults_of_another(root.with_name("new") / "index", {"d1"}, ending)
    return faults


def _faults_of_another(path, expected, ending):
    """A copy is whole or cannot be opened; a new index has its documents, or can be made again."""
    try:
        with Index.open(path, read_only=True) as index:
            faults = [f"verify of {path.name}: {problem}" for problem in index.verify().problems]
            found = {document.id for document in index.scan()}
            if found != expected and (path.name == "copy" or ending == "returned" or found):
                faults.append(f"{path.name} holds {sorted(found)}")
    except LateInteractionError as error:
        faults = [f"{path.name} cannot be opened: {error}"] if ending == "returned" else []
    except Exception:  # noqa: BLE001  # reported
        faults = [_told(path.name, traceback.format_exc())]
    if path.name == "copy":
        return faults
    try:
        with Index.open(path, encoder=WordEncoder()) as index:
            index.add(_documents([1, 2]))
            if {document.id for document in index.scan()} != {"d1", "d2"} or not index.verify():
                faults.append("made again, it is not right")
    except Exception:  # noqa: BLE001  # reported
        faults.append(_told("made again", traceback.format_exc()))
    return faults
