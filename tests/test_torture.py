"""A small part of `make torture`: whatever happens around the process, the promises of the index hold."""

from __future__ import annotations

import os

import pytest

from tests.torture.driver import UnavailableError, kind_module, run_kind

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals, forks and renames of open files are those of POSIX")

_TRIALS = {"kills": 3, "syscalls": 40, "interrupts": 60, "flips": 20, "forks": 3, "renames": 15}
"""By kind. Transfers take minutes: tests/transferring/test_killed.py has short ones."""

_MOST_FAULTS = 5  # enough to see what is wrong


def _survives(kind, seed, trials):
    try:
        report = run_kind(kind, seed=seed, trials=trials, most_faults=_MOST_FAULTS)
    except UnavailableError as error:
        pytest.skip(str(error))
    if report.faults:
        pytest.fail(str(report), pytrace=False)
    assert report.tried >= trials


@pytest.mark.parametrize("kind", _TRIALS)
def test_some_trials(kind):
    _survives(kind, seed=1, trials=_TRIALS[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", _TRIALS)
def test_more_trials(kind):
    _survives(kind, seed=2, trials=kind_module(kind).TRIALS // 20)
