"""Ctrl-C at every point where it can arrive: the call happened or did not, and the same object goes on.

A trial is a call, a delivery point of it, and whether the exception is kept alive afterwards, with all the frames it
holds, as an interactive session does with ``sys.last_value``.
"""

from __future__ import annotations

import shutil
import sys
import traceback

from late_interaction import Document, Index
from late_interaction.errors import IndexClosedError, LateInteractionError
from tests.engines.helpers import small_thresholds
from tests.fakes import WordEncoder
from tests.torture.delivery import Delivery
from tests.torture.driver import Outcome

TRIALS = 100_000  # more than there are: every point
SECONDS = 10

_FIRST, _BUFFER = 50, 50
_QUERY = "common number7"


def _text(number):
    return f"common words of number{number} group{number % 4} again number{number}"


def _documents(numbers):
    return [Document(_text(n), id=f"d{n}", metadata={"group": n % 4, "deep": {"list": [n, f"v{n}"]}}) for n in numbers]


_OLD = range(8)
_ALL = {f"d{n}": _text(n) for n in _OLD} | {f"d{n}": _text(n) for n in range(40, 45)}
_HELD = {name: text for name, text in _ALL.items() if name not in ("d3", "d40")}
_COMPRESSED_BY = range(60, 64)  # enough tokens with what is exact already


def _prepare(root):
    """Compressed and exact documents, and deleted ones among both."""
    with Index.open(root, encoder=WordEncoder()) as index:
        index.add(_documents(_OLD))
        index.add(_documents(range(40, 45)))
        index.delete(["d3", "d40"])
        assert index.info()["centroids"], "nothing is compressed"
        assert index.info()["exact_tokens"], "nothing is exact"


def _without(*names):
    return {name: text for name, text in _HELD.items() if name not in names}


def _copy(index):
    index.copy(index.engine.path.with_name("copy"))


CALLS = {
    # name: (the call, the documents after it)
    "search late": (lambda index: index.search(_QUERY, 3), _HELD),
    "search where": (lambda index: index.search(_QUERY, 3, where={"deep.list": "v7"}), _HELD),
    "search lexical": (lambda index: index.search(_QUERY, 3, mode="lexical"), _HELD),
    "search hybrid": (lambda index: index.search(_QUERY, 3, mode="hybrid"), _HELD),
    "count": (lambda index: index.count(where={"group": 1}), _HELD),
    "get": (lambda index: index.get(["d1", "d41", "nothing"]), _HELD),
    "scan": (lambda index: list(index.scan(where={"group": {"$lt": 3}})), _HELD),
    "add": (lambda index: index.add(_documents([5, 50])), {**_HELD, "d5": _text(5), "d50": _text(50)}),
    "add and compress": (
        lambda index: index.add(_documents(_COMPRESSED_BY)),
        {**_HELD, **{f"d{n}": _text(n) for n in _COMPRESSED_BY}},
    ),
    "delete": (lambda index: index.delete(["d1", "d41"]), _without("d1", "d41")),
    "delete where": (
        lambda index: index.delete(where={"group": {"$gte": 2}}),
        {name: text for name, text in _HELD.items() if int(name[1:]) % 4 < 2},
    ),
    "compact": (lambda index: index.compact(), _HELD),
    "verify": (lambda index: index.verify(), _HELD),
    "copy": (_copy, _HELD),
    "close": (lambda index: index.close(), _HELD),
}


class Trials:
    """Delivery points of each call are counted once; numbers go through the calls, their points and both endings."""

    def __init__(self, folder, seed):
        del seed  # every point is tried, or evenly chosen ones
        sys.unraisablehook = lambda _: None  # an interrupt in a finalizer goes there, as it does without us
        self._base, self._root = folder / "base", folder / "index"
        with small_thresholds(_FIRST, _BUFFER):
            _prepare(self._base)
            for _ in range(2):  # what is imported or compiled at first use is there when points are counted
                self._points = {name: self._count(name) for name in CALLS}
        self.total = 2 * sum(self._points.values())

    def run(self, number):
        point, is_kept = divmod(number, 2)
        for name, points in self._points.items():  # noqa: B007  # used below
            if point < points:
                break
            point -= points
        with small_thresholds(_FIRST, _BUFFER):
            index, delivery = self._open(), Delivery(point, outside=[__file__])
            error = _interrupted(CALLS[name][0], index, delivery)
            has_interrupted = error is not None
            where = f"{name}, point {point} ({delivery.place}), exception {'kept' if is_kept else 'dropped'}"
            sys.stderr.write(f"{where}\n")  # for the driver, should it hang now
            other = "" if isinstance(error, KeyboardInterrupt | None) else type(error).__name__
            if not is_kept:
                del error  # and with it every frame that it holds
            faults = _faults_afterwards(index, self._root, name, has_interrupted=has_interrupted)
        notes = [] if delivery.place else ["not interrupted"]
        if other:
            notes.append(f"{other} in place of KeyboardInterrupt")
        if delivery.place and not has_interrupted:
            notes.append("interrupt ignored by a finalizer")
        return Outcome([f"{where}: {fault}" for fault in faults], notes)

    def _open(self):
        for path in (self._root, *self._root.parent.glob("copy*")):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self._base, self._root)
        return Index.open(self._root, encoder=WordEncoder())

    def _count(self, name):
        index, delivery = self._open(), Delivery(outside=[__file__])
        _interrupted(CALLS[name][0], index, delivery)
        faults = _faults_afterwards(index, self._root, name, has_interrupted=False)
        assert not faults, faults
        return delivery.count


def _interrupted(call, index, delivery):
    """What came out of an interrupted call, with the frames below this one, or None.

    It is another error where the standard library's cleaning up fails after an interrupt, as that of `shutil.rmtree`.
    """
    try:
        with delivery:
            call(index)
    except BaseException as error:  # looked at by the caller
        if delivery.place is None:
            raise
        return error.with_traceback(error.__traceback__.tb_next)
    return None


def _told(what, error):
    return f"{what} {error.strip().splitlines()[-1]}\n{error}"


def _faults_afterwards(index, root, name, *, has_interrupted):
    """What is wrong with the object, and with the index when it is opened again."""
    allowed = [CALLS[name][1], _HELD] if has_interrupted else [CALLS[name][1]]
    faults, state = [], None
    try:
        state = _state(index)
        if state not in allowed:
            faults.append(f"holds {sorted(state)}, neither the state before nor that after the call")
        faults += _goes_on(index, state)
        state = {**_without_new(state), "later": "later words"}
    except IndexClosedError:
        if name != "close":
            faults.append(_told("is closed, which nobody asked for:", traceback.format_exc()))
    except Exception:  # noqa: BLE001  # reported
        faults.append(_told("later", traceback.format_exc()))
    try:
        index.close()
        with Index.open(root) as again:
            faults += [f"verify: {problem}" for problem in again.verify().problems]
            found = _state(again)
            if found not in ([state] if state is not None else allowed):
                faults.append(f"opened again it holds {sorted(found)}")
    except Exception:  # noqa: BLE001  # reported
        faults.append(_told("opened again:", traceback.format_exc()))
    if name == "copy":
        faults += _faults_of_copy(root.with_name("copy"), must_be_whole=not has_interrupted)
    return faults


def _state(index):
    documents = list(index.scan())
    state = {document.id: document.text for document in documents}
    if len(documents) != len(state) or index.count() != len(state):
        raise AssertionError(f"count() is {index.count()}, and scan() gives {[found.id for found in documents]}")
    return state


def _without_new(state):
    return {name: text for name, text in state.items() if name != "d2"}


def _goes_on(index, state):
    """Use the object as if nothing had happened; what is wrong with its answers."""
    faults = []
    for mode in ("late", "lexical", "hybrid"):
        hits = index.search(_QUERY, 100, mode=mode)
        if {hit.id for hit in hits} != set(state):
            faults.append(f"{mode} search finds {sorted(hit.id for hit in hits)} of {sorted(state)}")
        if "d7" in state and hits and hits[0].id != "d7":
            faults.append(f"{mode} search finds {hits[0].id} first, not d7")
    if index.add([Document("later words", id="later")]) != ["later"]:
        faults.append("add returned something else")
    if index.delete(["d2"]) != ("d2" in state):
        faults.append("delete returned something else")
    index.compact()
    faults += [f"verify: {problem}" for problem in index.verify().problems]
    expected = {**_without_new(state), "later": "later words"}
    if (found := _state(index)) != expected:
        faults.append(f"after other calls it holds {sorted(found)}, not {sorted(expected)}")
    index.copy(index.engine.path.with_name("copy of it"))
    return faults


def _faults_of_copy(path, *, must_be_whole):
    """A copy is whole, or cannot be opened."""
    try:
        with Index.open(path) as copy:
            faults = [f"verify of the copy: {problem}" for problem in copy.verify().problems]
            return faults if _state(copy) == _HELD else [*faults, "a copy that opens lacks documents"]
    except LateInteractionError:
        return ["there is no copy"] if must_be_whole else []
    except Exception:  # noqa: BLE001  # reported
        return [_told("the copy:", traceback.format_exc())]
