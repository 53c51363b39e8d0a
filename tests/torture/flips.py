"""One bit of one file is another: answers are right, or an error, or `verify` says that something is wrong."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import subprocess
import sys
import traceback
from collections import Counter

from late_interaction import Document, Index
from late_interaction.errors import LateInteractionError
from tests.engines.helpers import CHILD_ENVIRONMENT
from tests.torture.answers import ERROR, ask, ask_more, raw_error, wrong
from tests.torture.driver import Outcome
from tests.torture.samples import encoder

TRIALS = 6_000
SECONDS = 30

_KINDS = ("closed", "killed")
_WAYS = ("read", "read", "read", "open for writing", "add", "compact")


class Trials:
    """Each number chooses an index, a file, a bit of it and what is then done."""

    total = None

    def __init__(self, folder, seed):
        self._folder, self._seed, self._root = folder, seed, folder / "index"
        done = subprocess.run([sys.executable, "-m", "tests.torture.samples", str(folder)], env=CHILD_ENVIRONMENT)
        assert done.returncode == -signal.SIGKILL, "the samples could not be made"
        self._files = {kind: _files_by_content(folder / kind) for kind in _KINDS}
        self._expected = {kind: {way: self._right_answers(kind, way) for way in set(_WAYS)} for kind in _KINDS}

    def run(self, number):
        rng = random.Random(f"flips {self._seed} {number}")
        kind, way = rng.choice(_KINDS), rng.choice(_WAYS)
        files = self._files[kind]
        if rng.random() < 0.5:
            name, size = rng.choice(files)
        else:
            name, size = rng.choices(files, [size for _, size in files])[0]
        offset, bit = rng.randrange(size), rng.randrange(8)
        root = self._fresh(kind)
        _flip(root / name, offset, bit)
        where = f"{kind}: bit {bit} of byte {offset} of {name}, {way}"
        sys.stderr.write(f"{where}\n")  # for the driver, should it hang or die now
        trial = _Trial(root, list(self._expected[kind].values()))
        try:
            trial.go(way)
        except LateInteractionError:
            trial.noted.add("error")
        except Exception:  # noqa: BLE001  # reported
            trial.faults.append(raw_error("open or close", traceback.format_exc()))
        return Outcome([f"{where}: {fault}" for fault in trial.faults], [trial.summary(name)])

    def _fresh(self, kind):
        shutil.rmtree(self._root, ignore_errors=True)
        shutil.copytree(self._folder / kind, self._root)
        return self._root

    def _right_answers(self, kind, way):
        trial = _Trial(self._fresh(kind), [])
        answers = trial.go(way)
        assert not trial.faults, trial.faults
        assert ERROR not in answers.values()
        return answers


def _files_by_content(root):
    """Names and sizes of all files, in an order that does not depend on the names that segments were given."""
    files = [path for path in root.rglob("*") if path.is_file() and path.stat().st_size]
    files.sort(key=lambda path: (path.name, path.stat().st_size, path.read_bytes()))
    return [(str(path.relative_to(root)), path.stat().st_size) for path in files]


def _flip(path, offset, bit):
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def _columns(root):
    """What the column files hold, wherever they are, and how often."""
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*.npy"))


class _Trial:
    """What happens with an index of which a bit may be wrong."""

    def __init__(self, root, expected):
        self.faults = []
        self.noted = set()
        self._root = root
        self._expected = expected
        self._columns = _columns(root)

    def go(self, way):
        """Use the index in some way and look at all answers; the last ones."""
        if way == "read":
            with Index.open(self._root, encoder=encoder(), read_only=True) as index:
                answers = self._look_at(index)
                if not self.noted:  # then all the more
                    answers |= self._look_at(index, ask_more)
                return answers
        try:
            index = Index.open(self._root, encoder=encoder())
        finally:
            self._check_columns("opening it for writing")
        with index:
            answers = self._look_at(index)
            if way != "open for writing":
                self._change(lambda: index.add([Document("a later passage", id="later", metadata={"n": -1})]))
                self._change(lambda: index.delete(["d50"]))
                self._check_columns("a write")
            if way == "compact":
                self._change(index.compact)
            if way != "open for writing":
                answers = self._look_at(index)
        if way != "open for writing":
            with Index.open(self._root, encoder=encoder(), read_only=True) as index:
                answers = self._look_at(index)
        return answers

    def summary(self, name):
        """One word for what became of the flip, and the kind of file it was in."""
        for word in ("unnoticed", "wrong", "error", "verify"):
            if word in self.noted:
                break
        else:
            word = "harmless"
        file = name.rpartition("/")[2]
        return f"{file} {word}"

    def _change(self, call):
        try:
            call()
        except LateInteractionError:
            self.noted.add("error")
        except Exception:  # noqa: BLE001  # reported
            self.faults.append(raw_error("a write", traceback.format_exc()))

    def _look_at(self, index, ask=ask):
        """Ask everything; what is wrong must be known to `verify`."""
        answers = ask(index, self.faults)
        mistakes = min((wrong(answers, expected) for expected in self._expected), key=len, default=[])
        if ERROR in answers.values():
            self.noted.add("error")
        try:
            is_sound = bool(index.verify())
        except LateInteractionError:
            is_sound = False
        except Exception:  # noqa: BLE001  # reported
            is_sound = False
            self.faults.append(raw_error("verify", traceback.format_exc()))
        if not is_sound:
            self.noted.add("verify")
        if mistakes:
            self.noted.add("wrong")
        if mistakes and is_sound and "unnoticed" not in self.noted:
            self.noted.add("unnoticed")
            self.faults.append(f"unnoticed by verify, {len(mistakes)} answers are wrong, as that of {mistakes[0]!r}")
        return answers

    def _check_columns(self, what):
        if missing := self._columns - _columns(self._root):
            self.faults.append(f"{what} has deleted {missing.total()} files of segments or codebooks")
