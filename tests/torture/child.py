"""The process that `driver` gives trials to: ``python -m tests.torture.child KIND SEED FOLDER``.

Reads numbers of trials, one a line, and answers each with a line of JSON.
"""

from __future__ import annotations

import dataclasses
import faulthandler
import json
import os
import sys
import traceback
from pathlib import Path

from tests.torture.driver import BEGINS, Outcome, kind_module


def main():
    faulthandler.enable()
    kind, seed, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that prints gets between the answers

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    trials = kind_module(kind).Trials(Path(folder), int(seed))
    answer({"total": trials.total})
    for line in sys.stdin:
        sys.stderr.write(f"{BEGINS}\n")
        sys.stderr.flush()
        try:
            outcome = trials.run(int(line))
        except Exception:  # noqa: BLE001  # a raw error where none was foreseen is a fault as well
            error = traceback.format_exc()
            outcome = Outcome([f"raised {error.strip().splitlines()[-1]}\n{error}"])
        answer(dataclasses.asdict(outcome))


if __name__ == "__main__":
    main()
