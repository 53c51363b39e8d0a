"""Control of a worker from the driver: start the process, send queries, and report each failure in one line."""

from __future__ import annotations

import json
import os
import shutil
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
        scratch: Folder for its index, its log, and what building it took.
        isolated: Whether it has its own environment, which must not inherit the driver's ``PYTHONPATH``.
        source: Folder that the package is imported from; None for the driver's.
        module: What the process runs: a module with a `PEER`; None for that of this package's folder with the name.
        all_cores: Let it use all cores, and as many threads as its libraries start.
    """

    name: str
    python: Path
    columns: Path
    scratch: Path
    isolated: bool = False
    source: Path | None = None
    module: str | None = None
    all_cores: bool = False
    _process: subprocess.Popen | None = field(default=None, init=False)

    def build(self) -> dict:
        """Build the index on all cores, and remember what that took: {"seconds", "cpu_seconds", "bytes"}."""
        self._built.unlink(missing_ok=True)
        shutil.rmtree(self._index, ignore_errors=True)
        self._launch("build")
        built = self._read()
        self.stop()
        self._built.write_text(json.dumps(built))
        return built

    def built(self) -> dict | None:
        """Return what `build` has returned for the index in this folder, or None if there is none."""
        return json.loads(self._built.read_text()) if self._built.exists() else None

    def start(self) -> dict:
        """Open the index and return {"versions", "settings"}."""
        if self.all_cores:
            self._launch("serve-all-cores")
        else:
            self._launch("serve", **{f"{library}_NUM_THREADS": "1" for library in THREADS})
        return self._read()

    def ask(self, query: int, setting: str) -> dict:
        """Return the ids of a search, and its milliseconds: {"ids", "ms", "cpu_ms"}."""
        try:
            self._process.stdin.write(json.dumps({"query": query, "setting": setting}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        return self._read()

    def memory(self) -> dict[str, int]:
        """Return the resident bytes of the process: its own, of mapped files, and the peak of all (Linux only)."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        names = {"own": "RssAnon", "mapped": "RssFile", "peak": "VmHWM"}
        return {name: int(fields[field].split()[0]) * 1024 for name, field in names.items()}

    def stop(self) -> None:
        """Close the input of the process, which ends it."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _launch(self, phase: str, **variables: str) -> None:
        environment = os.environ | variables
        environment["CUDA_VISIBLE_DEVICES"] = ""  # the comparison is on the CPU
        environment["PATH"] = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"  # has ninja
        if self.source:
            environment["PYTHONPATH"] = str(self.source)
        if self.isolated:
            environment.pop("PYTHONPATH", None)
            environment["TORCH_EXTENSIONS_DIR"] = str(self.python.parents[1] / "extensions")
        command = [
            self.python,
            "-m",
            "benchmarks.peers.worker",
            self.module or f"benchmarks.peers.{self.name}",
            phase,
            self.columns,
            self._index,
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
        ended = f"its process ended with status {status}"  # that of a signal is negative
        return PeerError(f"{ended}: {lines[-1]}" if lines else ended)

    @property
    def _index(self) -> Path:
        return self.scratch / self.name

    @property
    def _built(self) -> Path:
        return self.scratch / f"{self.name}.json"

    @property
    def _log(self) -> Path:
        return self.scratch / f"{self.name}.log"
