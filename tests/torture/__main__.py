"""Whatever happens around the process: ``python -m tests.torture [--seed N] [--only flips,kills] [--scale X]``.

Every kind of fault is tried thousands of times, and after each the promises of the index are looked at. Prints how many
were tried and survived, and a command that repeats each fault. The exit status is 1 if there is any.
"""

from __future__ import annotations

import argparse
import sys

from tests.torture.driver import KINDS, UnavailableError, kind_module, run_kind
from tests.torture.report import print_table


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="everything random follows from it")
    parser.add_argument("--only", default=",".join(KINDS), help="kinds of fault, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="how many trials, as a multiple of the usual number")
    parser.add_argument("--trial", type=int, action="append", help="run this trial alone; needs --only")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument("--most-faults", type=int, help="leave a kind after so many faults")
    arguments = parser.parse_args()
    kinds = arguments.only.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"unknown kinds: {', '.join(sorted(unknown))}. Allowed: {', '.join(KINDS)}.")
    reports = []
    for kind in kinds:
        try:
            report = run_kind(
                kind,
                seed=arguments.seed,
                trials=max(1, round(arguments.scale * kind_module(kind).TRIALS)),
                numbers=arguments.trial,
                jobs=1 if arguments.trial else arguments.jobs,
                most_faults=arguments.most_faults,
                progress=_progress if sys.stderr.isatty() else None,
            )
        except UnavailableError as error:
            sys.stderr.write(f"{kind} left out: {error}\n")
            continue
        reports.append(report)
        if sys.stderr.isatty():
            sys.stderr.write("\n")
    print_table(reports)
    return 1 if any(report.faults for report in reports) else 0


def _progress(report):
    sys.stderr.write(f"\r{report.kind}: {report.tried} tried, {len(report.faults)} faults, {report.seconds:.0f} s")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
