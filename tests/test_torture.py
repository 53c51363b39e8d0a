"""A small part of `make torture`: whatever happens around the process, the promises of the index hold."""

from __future__ import annotations

import os

import pytest

from tests.torture.driver import run_kind

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals, forks and renames of open files are those of POSIX")
_MOST_FAULTS = 5  # enough to see what is wrong


@pytest.mark.parametrize(("kind", "trials"), [("flips", 100), ("interrupts", 300)])
def test_a_few_hundred_trials(kind, trials):
    report = run_kind(kind, seed=1, trials=trials, most_faults=_MOST_FAULTS)
    assert not report.faults, str(report)
    assert report.tried >= trials


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flips", "interrupts"])
def test_a_tenth_of_all(kind):
    from tests.torture.driver import kind_module

    report = run_kind(kind, seed=2, trials=kind_module(kind).TRIALS // 10, most_faults=_MOST_FAULTS)
    assert not report.faults, str(report)
