"""Runs trials in child processes: one that hangs or dies is a fault of its trial, and the next child goes on.

A kind of fault is a module with

    TRIALS          how many trials there are at scale 1,
    SECONDS         how long one may take before it counts as hanging,
    ENVIRONMENT     environment variables of its processes, if it needs any,
    prepare         a function of a folder, if it needs one: makes something there and returns further variables,
    Trials          a class: ``Trials(folder, seed)`` prepares, ``total`` is the number of different trials or None if
                    each number gives another one, and ``run(number)`` gives an `Outcome`.

A trial follows from (kind, seed, number) alone, except for when exactly a process is killed.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines.helpers import CHILD_ENVIRONMENT
from tests.folders import FAST_DIRECTORY
from tests.torture.report import Report

KINDS = ("kills", "syscalls", "interrupts", "flips", "forks", "renames", "transfers")
_START_SECONDS = 300
_CHARACTERS_OF_STDERR = 8_000
BEGINS = "--- a trial begins ---"


class UnavailableError(Exception):
    """A kind cannot be tried on this machine; the message says why."""


@dataclass
class Outcome:
    """What a trial has shown.

    Attributes:
        faults: One text for each promise that was broken, in the first line of it what is wrong.
        notes: Names of what else happened, which are counted.
        tried: How many were tried in this trial.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tried: int = 1


def kind_module(kind):
    """The module of a kind of fault."""
    return importlib.import_module(f"tests.torture.{kind}")


class _Child:
    """A process that runs trials, one after the other."""

    def __init__(self, kind, seed, folder):
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self._errors = (self.folder / "stderr").open("w+")
        module = kind_module(kind)
        self._seconds = module.SECONDS
        environment = {
            **CHILD_ENVIRONMENT,
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            **getattr(module, "ENVIRONMENT", {}),
            **(module.prepare(self.folder) if hasattr(module, "prepare") else {}),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.child", kind, str(seed), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.total = self._reply(_START_SECONDS)["total"]

    def run(self, number):
        """The outcome of a trial, and whether the child can go on."""
        try:
            with suppress(BrokenPipeError):
                self._process.stdin.write(f"{number}\n")
                self._process.stdin.flush()
            return Outcome(**self._reply(self._seconds)), True
        except _LostError as lost:
            return Outcome([str(lost)]), False

    def close(self):
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        with suppress(ProcessLookupError):  # also what it has forked
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _read(self):
        with suppress(ValueError):  # closed meanwhile
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _reply(self, seconds):
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            self._process.send_signal(signal.SIGABRT)  # faulthandler writes where every thread is
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            raise _LostError(f"hangs for {seconds} seconds: {self._stderr()}") from None
        if line is None:
            status = self._process.wait()
            raise _LostError(f"the process ended with status {status}: {self._stderr()}")
        return json.loads(line)

    def _stderr(self):
        """What the trial has written there: what it was about, and where its threads are."""
        self._errors.seek(0)
        text = self._errors.read().rpartition(f"{BEGINS}\n")[2]
        return text.partition("\nExtension modules")[0][:_CHARACTERS_OF_STDERR]


class _LostError(Exception):
    """A child hangs or has died."""


def run_kind(kind, *, seed, trials=None, numbers=None, jobs=2, most_faults=None, progress=None):
    """Run trials of a kind.

    Args:
        kind: One of `KINDS`.
        seed: What everything random follows from.
        trials: How many, spread evenly over all there are; None for those of scale 1.
        numbers: These trials instead.
        jobs: Number of processes.
        most_faults: Stop after so many faults.
        progress: Called with the report after each trial.
    """
    report, mutex = Report(kind, seed), threading.Lock()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-", dir=FAST_DIRECTORY, ignore_cleanup_errors=True) as folder:
        first = _Child(kind, seed, folder)
        remaining = deque(_chosen(trials or kind_module(kind).TRIALS, first.total) if numbers is None else numbers)
        errors = []

        def work(child):
            try:
                while True:
                    with mutex:
                        if not remaining or (most_faults is not None and len(report.faults) >= most_faults):
                            break
                        number = remaining.popleft()
                    child = child or _Child(kind, seed, folder)
                    outcome, goes_on = child.run(number)
                    with mutex:
                        report.add(number, outcome.faults, outcome.notes, outcome.tried)
                        report.seconds = time.monotonic() - started
                        if progress is not None:
                            progress(report)
                    if not goes_on:
                        child.close()
                        child = None
            except BaseException as error:  # noqa: BLE001  # raised again by the thread that waits
                errors.append(error)
            finally:
                if child is not None:
                    child.close()

        workers = [threading.Thread(target=work, args=(child,)) for child in (first, *[None] * (jobs - 1))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if errors:
            raise errors[0]
    report.seconds = time.monotonic() - started
    return report


def _chosen(trials, total):
    """Numbers of so many trials, evenly out of all there are."""
    if total is None:
        return list(range(trials))
    if trials >= total:
        return list(range(total))
    return [(2 * place + 1) * total // (2 * trials) for place in range(trials)]
