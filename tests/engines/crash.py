"""Kills writers at random moments for as long as one likes: ``python -m tests.engines.crash --kills 10000``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.engines.crash_child import moments
from tests.engines.helpers import FAST_DIRECTORY

_KILLS_OF_AN_INDEX = 500


def main():
    parser = argparse.ArgumentParser(description="Kill writers at random moments and look at what is left.")
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", default=FAST_DIRECTORY, help="where; by default in memory, if there is room")
    arguments = parser.parse_args()
    started = time.monotonic()
    killed = steps = compressing = states = 0

    def progress(number):
        seconds = time.monotonic() - started
        sys.stderr.write(f"\r{killed + number} of {arguments.kills} killed, {seconds:.0f} s")
        sys.stderr.flush()

    wrong = []
    while killed < arguments.kills and not wrong:
        rounds = min(_KILLS_OF_AN_INDEX, arguments.kills - killed)
        with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
            result = moments(Path(folder) / "index", arguments.seed + killed, rounds, progress)
        killed += result["deaths"]
        steps += result["steps"]
        compressing += result["dead while compressing"]
        states += result["states seen"]
        wrong += result["wrong"]
    progress(0)
    sys.stderr.write("\n")
    sys.stdout.write(
        f"{killed} writers killed after {steps} commits, {compressing} of them while compressing; "
        f"a reader beside them saw {states} states; {len(wrong)} faults\n"
    )
    sys.stdout.writelines(f"{problem}\n" for problem in wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
