"""Running a part of a test in a forked process, with an end to its patience; and what a directory holds."""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import stat
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path

SECONDS = 60
"""How long a child may take. None needs more than a few, but the machine may be busy."""


class ChildFailed(AssertionError):
    """A child hangs, died, or raised an error, which is in the message."""


class Forked:
    """A forked process that calls a function and sends back what that returns, as JSON.

    Args:
        work: The function. It may send more by `say`, its only argument.
        leave: Ends the process after that; None for ``os._exit``.
    """

    def __init__(self, work, leave=None):
        self._said, said = os.pipe()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `result`
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._said)
            _run(work, leave, said, self._errors)
        os.close(said)
        self._text = b""

    def line(self, seconds=SECONDS):
        """Return what the child says next."""
        end = time.monotonic() + seconds
        while b"\n" not in self._text:
            if not select.select([self._said], [], [], max(0.0, end - time.monotonic()))[0]:
                self._fail("hangs")
            part = os.read(self._said, 1 << 16)
            if not part:
                self._fail("ended without a word")
            self._text += part
        line, _, self._text = self._text.partition(b"\n")
        kind, value = json.loads(line)
        if kind == "error":
            self._fail(f"raised\n{value}")
        return value

    def result(self, seconds=SECONDS):
        """Wait for the end, and return what the function has returned, or said last."""
        value = self.line(seconds)
        self.wait(seconds)
        return value

    def wait(self, seconds=SECONDS):
        """Wait for the end of the process and return its status, or the negative number of its signal."""
        end = time.monotonic() + seconds
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > end:
                self._fail("does not end")
            time.sleep(0.001)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._said)
        self._errors.close()
        return os.waitstatus_to_exitcode(status)

    def kill(self):
        """End the process by SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def _fail(self, what):
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGABRT)  # faulthandler writes where its threads are
            time.sleep(0.3)
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._said)
        self._errors.seek(0)
        errors = self._errors.read().decode(errors="replace").partition("\nExtension modules")[0]
        self._errors.close()
        raise ChildFailed(f"The child {what}\n{errors}")


def _run(work, leave, said, errors):
    def say(value=None, kind="value"):
        os.write(said, (json.dumps([kind, value]) + "\n").encode())

    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(3 * SECONDS)  # should the test have ended before
        os.dup2(errors.fileno(), 2)
        faulthandler.enable(errors)
        value = work(say)
        say(value)
        if leave is not None:
            leave()
    except BaseException:  # noqa: BLE001  # reported to the parent
        if leave is not None:
            os._exit(7)
        say(traceback.format_exc(), "error")
    finally:
        os._exit(0)


def in_child(work, seconds=SECONDS):
    """Call a function without arguments in a forked process and return what it returns, as JSON."""
    return Forked(lambda _: work()).result(seconds)


def tree(path):
    """Everything below a directory, links not followed: the kind, and the bytes or target, by relative path."""
    path = Path(path)
    found = {}
    for entry in sorted(path.rglob("*")) if path.is_dir() else ():
        mode = os.lstat(entry).st_mode
        name = str(entry.relative_to(path))
        if stat.S_ISLNK(mode):
            found[name] = ("link", os.readlink(entry))  # noqa: PTH115
        elif stat.S_ISDIR(mode):
            found[name] = ("directory", None)
        else:
            found[name] = ("file", entry.read_bytes())
    return found


def descriptors():
    """The open descriptors of this process."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with suppress(OSError):  # that of the list itself
            os.fstat(int(name))
            found.add(int(name))
    return found


@contextmanager
def few_descriptors(more):
    """Let this process open no more than so many descriptors beside those that it has."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    try:
        highest = max(descriptors())
        while fillers[-1] < highest:
            fillers.append(os.dup(fillers[0]))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(fillers) + 1 + more, before[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for filler in fillers:
            os.close(filler)
