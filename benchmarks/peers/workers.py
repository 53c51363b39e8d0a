"""Control of a worker from the driver: start the process, send queries, and report each failure in one line."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
THREADS = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA", "RAYON")


class PeerError(Exception):
    """An engine has failed. The message is one line."""


@dataclass
class Worker:
    """The process of one engine: `build` once, `start`, then `ask` until `stop`.

    Attributes:
        name: Module of the engine.
        python: The Python of its environment.
        columns: Folder of the documents and queries.
        scratch: Folder for its index and its log.
        isolated: Whether it has its own environment, which must not inherit the driver's ``PYTHONPATH``.
    """

    name: str
    python: Path
    columns: Path
    scratch: Path
    isolated: bool
    _process: subprocess.Popen | None = field(default=None, init=False)

    def build(self) -> dict:
        """Build the index on all cores and return {"seconds", "bytes"}."""
        self._launch("build")
        built = self._read()
        self.stop()
        return built

    def start(self) -> dict:
        """Open the index on one thread and return {"versions", "settings"}."""
        self._launch("serve", **{f"{library}_NUM_THREADS": "1" for library in THREADS})
        return self._read()

    def ask(self, query: int, setting: str) -> tuple[list[int], float]:
        """Return the ids of a search and its milliseconds."""
        try:
            self._process.stdin.write(json.dumps({"query": query, "setting": setting}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        answer = self._read()
        return answer["ids"], answer["ms"]

    def stop(self) -> None:
        """Close the input of the process, which ends it."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _launch(self, phase: str, **variables: str) -> None:
        environment = os.environ | variables
        environment["CUDA_VISIBLE_DEVICES"] = ""  # the comparison is on the CPU
        environment["PATH"] = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"  # has ninja
        if self.isolated:
            environment.pop("PYTHONPATH", None)
            environment["TORCH_EXTENSIONS_DIR"] = str(self.python.parents[1] / "extensions")
        command = [
            self.python,
            "-m",
            "benchmarks.peers.worker",
            self.name,
            phase,
            self.columns,
            self.scratch / self.name,
        ]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                list(map(str, command)),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        return json.loads(line)

    def _failure(self) -> PeerError:
        status = self._process.wait()
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return PeerError(lines[-1] if lines else f"its process ended with status {status}")

    @property
    def _log(self) -> Path:
        return self.scratch / f"{self.name}.log"
