"""An engine in another process. Takes calls as lines of JSON and answers in kind; see `Child` in test_local_processes.

Run as ``python -m tests.engines.engine_child [USER]``; with a user id it first gives up root.
"""

from __future__ import annotations

import email.parser  # noqa: F401  # while the interpreter's own files may be read, as the next two
import importlib.metadata  # noqa: F401
import json
import mmap  # noqa: F401
import os
import sys

from late_interaction.engines import LocalEngine
from tests.engines.helpers import record, unit_vectors


def answer(engine, call, arguments):
    if call == "open":
        return LocalEngine.open(**arguments), None
    if call == "close":
        return engine.close(), None
    if call == "search":
        return engine, [[match.id, match.score] for match in engine.search(unit_vectors(12345, 4), 100)]
    if call == "scan":
        return engine, [document.id for document in engine.scan()]
    if call == "vectors":
        return engine, {name: rows.tolist() for name, rows in engine.vectors(**arguments).items()}
    if call == "upsert":
        return engine, engine.upsert([record(name) for name in arguments["names"]])
    if call == "verify":
        return engine, list(engine.verify().problems)
    if call == "delete":
        return engine, engine.delete(**arguments)
    return engine, engine.count()


def main():
    if len(sys.argv) > 1:
        user = int(sys.argv[1])
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    engine = None
    for line in sys.stdin:
        call, arguments = json.loads(line)
        try:
            engine, result = answer(engine, call, arguments)
            reply = {"result": result}
        except Exception as error:  # noqa: BLE001  # the other side looks at it
            reply = {"error": type(error).__name__, "message": str(error)}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
