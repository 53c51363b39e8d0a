"""What a run of one kind of fault has shown, and how it is printed."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

_FAULTS_PRINTED_IN_FULL = 10


@dataclass(frozen=True)
class Fault:
    """A broken promise: the trial in which it showed, and a description whose first line says what is wrong."""

    number: int
    text: str


@dataclass
class Report:
    """The trials of one kind.

    Attributes:
        kind: Name of the kind.
        seed: What the trials were drawn from.
        tried: Number of trials that ran (of kills: of processes killed).
        failed: Number of those with a fault.
        faults: What was wrong, at most a few a trial.
        notes: What else happened, counted.
        seconds: How long it took.
    """

    kind: str
    seed: int
    tried: int = 0
    failed: int = 0
    faults: list[Fault] = field(default_factory=list)
    notes: Counter = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, number, faults, notes, tried=1):
        """Count a trial."""
        self.tried += tried
        self.failed += bool(faults)
        self.faults += [Fault(number, text) for text in faults]
        self.notes.update(notes)

    def __str__(self):
        lines = [f"{fault.number}: {fault.text}" for fault in self.faults[:_FAULTS_PRINTED_IN_FULL]]
        return f"{self.failed} of {self.tried} {self.kind} (seed {self.seed}) show faults\n" + "\n".join(lines)


def print_table(reports, write=sys.stdout.write):
    """Print one line a kind, then each fault with the command that repeats it."""
    write(f"{'kind':12}{'tried':>8}{'survived':>10}{'faults':>8}{'seconds':>9}\n")
    for report in reports:
        write(
            f"{report.kind:12}{report.tried:>8}{report.tried - report.failed:>10}{len(report.faults):>8}"
            f"{report.seconds:>9.0f}\n"
        )
    for report in reports:
        if report.notes:
            counted = ", ".join(f"{name}: {count}" for name, count in sorted(report.notes.items()))
            write(f"\n{report.kind}: {counted}\n")
        for place, fault in enumerate(report.faults):
            text = fault.text.rstrip()
            if place >= _FAULTS_PRINTED_IN_FULL:
                text = text.partition("\n")[0]
            write(
                f"\n{text}\n  again: python -m tests.torture --only {report.kind} --seed {report.seed} "
                f"--trial {fault.number}\n"
            )
