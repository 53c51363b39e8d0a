"""The directory of an open index is renamed, replaced, deleted, or its lock is removed.

An index of alphas is open, an index of betas with as many commits may take its place. What a writer acknowledges is in
the index that is then at its path; an answer is of alphas or of betas; and neither index loses anything.
"""

from __future__ import annotations

import random
import shutil
import sys
import threading
import traceback
from contextlib import suppress

import numpy as np

from late_interaction import Document, Index, errors
from late_interaction.engines import LocalEngine
from late_interaction.errors import IndexLockedError, LateInteractionError
from tests.engines.test_local_processes import Child, ChildError
from tests.fakes import WordEncoder
from tests.torture.driver import Outcome

TRIALS = 400
SECONDS = 60

_ENCODER = WordEncoder(dim=8)
_COUNT = 20
_QUERY = "alpha beta number3 number11"
_CHANGES = {
    # name: what then is at the path
    "renamed away": None,
    "renamed and back": "alpha",
    "deleted": None,
    "replaced": "beta",
    "link switched": "beta",
    "made anew": "beta",
    "lock removed": "alpha",
    "lock replaced": "alpha",
}


def _document(kind, n):
    return Document(f"{kind} word number{n} {kind}{n % 7}", id=f"d{n}", metadata={"kind": kind, "n": n})


def _fill(path, kind):
    """As many commits for each kind, so that the numbers of their states are equal."""
    with Index.open(path, encoder=_ENCODER) as index:
        index.add([_document(kind, n) for n in range(_COUNT - 5)])
        index.add([_document(kind, n) for n in range(_COUNT - 5, _COUNT)])


class Trials:
    """Each number chooses what changes, who has the index open, and what they do then."""

    total = None

    def __init__(self, folder, seed):
        self._folder, self._seed = folder, seed
        self._child = Child()
        for kind in ("alpha", "beta"):
            _fill(folder / "bases" / kind, kind)

    def run(self, number):
        rng = random.Random(f"renames {self._seed} {number}")
        place = self._folder / "trial"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self._folder / "bases", place)
        change = rng.choice(list(_CHANGES))
        trial = _Trial(place, change, rng, self._child)
        sys.stderr.write(f"{change}\n")  # for the driver, should it hang now
        try:
            trial.go()
        except Exception:  # noqa: BLE001  # reported
            trial.faults.append(_told("raw error", traceback.format_exc()))
        finally:
            trial.end()
        return Outcome([f"{change}: {fault}" for fault in trial.faults], [f"{change} {note}" for note in trial.notes])


class _Elsewhere:
    """A writer in another process."""

    def __init__(self, child, path):
        self._child = child
        self._call("open", path=str(path))

    def add(self, documents):
        return self._call("upsert", names=[document.id for document in documents])

    def delete(self, ids):
        return self._call("delete", ids=ids)

    def compact(self):
        """The other process does not know how."""

    def close(self):
        self._call("close")

    def _call(self, call, **arguments):
        try:
            return self._child(call, **arguments)
        except ChildError as error:
            name, message = error.args
            raise getattr(errors, name, ChildError)(message) from None


class _Trial:
    def __init__(self, place, change, rng, child):
        self._child = child
        self.faults, self.notes = [], set()
        self._place, self._change, self._rng = place, change, rng
        self._alphas, self._betas = place / "alpha", place / "beta"
        self._path = self._alphas
        if change == "link switched":
            self._path = place / "link"
            self._path.symlink_to(self._alphas, target_is_directory=True)
        self._opened = []
        self._expected = {kind: {f"d{n}": kind for n in range(_COUNT)} for kind in ("alpha", "beta")}
        self._stop = threading.Event()

    def go(self):
        rng = self._rng
        writer = self._open() if rng.random() < 0.8 else None
        readers = [self._open(read_only=True) for _ in range(rng.randint(0 if writer else 1, 2))]
        for reader in readers:
            if rng.random() < 0.7:
                self._read(reader)  # it knows the files of the old index now
        if writer is not None and rng.random() < 0.5:
            writer.add([_document("alpha", 100)])
            self._expected["alpha"]["d100"] = "alpha"
        busy = [threading.Thread(target=self._read_on, args=(reader,)) for reader in readers if rng.random() < 0.4]
        for thread in busy:
            thread.start()
        second = self._make_the_change()
        self._use(writer, second, readers)
        self._stop.set()
        for thread in busy:
            thread.join()
        if writer is not None and second is not None:
            self._close(writer)
            try:
                LocalEngine.open(self._path).close()  # Index.open would share the second
                self.faults.append("when the first writer had been closed, a third could open beside the second")
            except IndexLockedError:
                pass
        for index in (second, *readers, writer):
            if index is not None:
                self._close(index)
        self._look_at_both()

    def end(self):
        self._stop.set()
        for index in self._opened:
            with suppress(Exception):
                index.close()

    def _open(self, **options):
        index = Index.open(self._path, encoder=_ENCODER, **options)
        self._opened.append(index)
        return index

    def _make_the_change(self):
        """Change what is at the path; a second writer, if one can be had and is wanted."""
        old, change = self._place / "old", self._change
        if change in ("renamed away", "replaced"):
            self._alphas.rename(old)
        if change == "renamed and back":
            self._alphas.rename(old)
            self._use_while_away()
            old.rename(self._alphas)
        if change == "replaced":
            self._betas.rename(self._path)
        if change == "link switched":
            (self._place / "next").symlink_to(self._betas, target_is_directory=True)
            (self._place / "next").replace(self._path)
        if change in ("deleted", "made anew"):
            shutil.rmtree(self._path)
        if change == "made anew":
            _fill(self._path, "beta")
        lock = self._path / "writer.lock"
        if change in ("lock removed", "lock replaced"):
            lock.unlink(missing_ok=True)
        if change == "lock replaced":
            lock.touch()
        if _CHANGES[change] is None or self._rng.random() < 0.4:
            return None
        try:
            if self._rng.random() < 0.5:
                return self._open()
            self._opened.append(_Elsewhere(self._child, self._path))
            return self._opened[-1]
        except LateInteractionError as error:
            self.notes.add(f"second writer: {type(error).__name__}")
            return None

    def _use_while_away(self):
        """Nothing may be written where the index was."""
        for index in self._opened:
            with suppress(LateInteractionError):
                index.count()
        if self._path.exists():
            self.faults.append(f"reading has made {sorted(self._path.rglob('*'))}")

    def _use(self, writer, second, readers):
        """Everybody does something; nobody but one writer may get acknowledgements."""
        kind = _CHANGES[self._change]
        acknowledged = {"first": 0, "second": 0}
        for step in range(self._rng.randint(3, 8)):
            for reader in readers:
                self._read(reader)
            for name, index in (("first", writer), ("second", second)):
                if index is not None and self._rng.random() < 0.7:
                    acknowledged[name] += self._write(index, kind, 200 + 2 * step + (name == "second"), name)
        if all(acknowledged.values()):
            self.faults.append(f"two writers were given acknowledgements: {acknowledged}")
        if acknowledged["first"] and kind is None:
            self.faults.append("a writer was given an acknowledgement, and nothing is at the path")

    def _write(self, index, kind, n, name):
        """Whether a write was acknowledged; then it must be seen at the path."""
        task = self._rng.choice(("add", "add", "add", "delete", "compact"))
        expected = self._expected.get(kind, {})
        try:
            if task == "add":
                index.add([_document("alpha", n)])
                expected[f"d{n}"] = None if isinstance(index, _Elsewhere) else "alpha"
                return True
            if task == "delete":
                victim = f"d{n % _COUNT}"
                was_there = victim in expected
                deleted = index.delete([victim])
                if kind is None:
                    return deleted > 0
                if deleted != was_there:
                    self.faults.append(f"delete of {victim} by the {name} writer did not tell the truth")
                expected.pop(victim, None)
                return was_there
            index.compact()
        except LateInteractionError as error:
            self.notes.add(f"{name} writer: {type(error).__name__}")
        except Exception:  # noqa: BLE001  # reported
            self.faults.append(_told(f"{task} by the {name} writer", traceback.format_exc()))
        return False

    def _read_on(self, index):
        while not self._stop.wait(0.001):
            self._read(index)

    def _read(self, index):
        """An answer is an error, or wholly of one index and right."""
        for what, ask in _QUESTIONS:
            try:
                found = ask(index)
            except LateInteractionError as error:
                self.notes.add(f"reader: {type(error).__name__}")
                continue
            except Exception:  # noqa: BLE001  # reported
                self.faults.append(_told(what, traceback.format_exc()))
                continue
            found = [(document, score) for document, score in found if document.metadata]  # not the other process's
            documents = [document for document, _ in found]
            kinds = {document.metadata["kind"] for document in documents if document.metadata["n"] < _COUNT}
            if len(kinds) > 1:
                self.faults.append(f"{what} mixes {kinds}")
            wrong = [one for one in documents if one != _document(one.metadata["kind"], one.metadata["n"])]
            if wrong:
                self.faults.append(f"{what} gives {wrong[0]}")
            for document, score in found:
                if score is not None and abs(score - _max_sim(document)) > 0.01:
                    self.faults.append(f"{what} gives {document.text!r} the score of another: {score}")
                    break

    def _close(self, index):
        try:
            index.close()
        except LateInteractionError:
            pass
        except Exception:  # noqa: BLE001  # reported
            self.faults.append(_told("close", traceback.format_exc()))

    def _look_at_both(self):
        """Each index, wherever it is now, holds what it should."""
        places = {
            "renamed away": {"alpha": self._place / "old", "beta": self._betas},
            "deleted": {"beta": self._betas},
            "replaced": {"alpha": self._place / "old", "beta": self._path},
            "made anew": {"beta": self._path},
        }.get(self._change, {"alpha": self._alphas, "beta": self._betas})
        for kind, path in places.items():
            try:
                with Index.open(path, encoder=_ENCODER) as index:
                    self.faults += [f"verify of the {kind}s: {problem}" for problem in index.verify().problems]
                    found = {document.id: document.metadata.get("kind") for document in index.scan()}
                    hits = index.search(_QUERY, 100)
            except Exception:  # noqa: BLE001  # reported
                self.faults.append(_told(f"the {kind}s at last", traceback.format_exc()))
                continue
            if found != self._expected[kind]:
                self.faults.append(f"the {kind}s {_difference(found, self._expected[kind])}")
            if {hit.id for hit in hits} != set(found):
                self.faults.append(f"the {kind}s are {len(found)}, and search finds {len(hits)}")


def _difference(found, expected):
    lost, more = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    other = sorted(name for name in set(found) & set(expected) if found[name] != expected[name])
    return f"lost {lost}, have {more} too many, and {other} are others"


def _max_sim(document):
    query, vectors = _ENCODER.encode_queries([_QUERY])[0], _ENCODER.encode_documents([document.text])[0]
    return float((query @ np.float32(np.float16(vectors)).T).max(axis=1).sum())


_QUESTIONS = [
    # name, and what gives documents with their scores, where those are MaxSim
    ("late search", lambda index: [(hit.document, hit.score) for hit in index.search(_QUERY, 100)]),
    ("hybrid search", lambda index: [(hit.document, None) for hit in index.search(_QUERY, 100, mode="hybrid")]),
    ("scan", lambda index: [(document, None) for document in index.scan()]),
    ("get", lambda index: [(document, None) for document in index.get([f"d{n}" for n in range(_COUNT)])]),
]


def _told(what, error):
    return f"{what}: {error.strip().splitlines()[-1]}\n{error}"
