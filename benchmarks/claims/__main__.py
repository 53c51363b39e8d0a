"""Run the benchmarks that the stated figures come from, the most important first, and write the table of targets.

    python -m benchmarks.claims FOLDER --against SRC --texts DOCUMENTS.jsonl.gz QUERIES.jsonl.gz --kept DIR
        --environments DIR --into OUT [--only versions peers-30000] [--again]

FOLDER is the output of `python -m benchmarks.data` with 30,000 documents or more, SRC the folder `src` of the version
to compare with. Each step is a command of this folder, which is printed; it writes a JSON file to OUT and is skipped if
that exists, except with --again. So a run that was interrupted goes on where it was. Indexes stay in the folder --kept.
After each step, OUT/claims.md has every target with its figure.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.claims.targets import table

ANISOTROPY = ".91"


def steps(options: argparse.Namespace) -> dict[str, tuple[str, list]]:
    """Return the file that each step writes and its command, in order."""
    folder, into, kept, texts = options.folder, options.into, options.kept, options.texts
    against, plain = ["--against", options.against], kept / "plain"
    peers = ["benchmarks.peers", folder, "--environments", options.environments]
    peers += ["--keep", kept / "peers", "--into", into]
    commands: dict[str, tuple[str, list]] = {
        "versions": ("versions.json", ["benchmarks.versions", folder, *against, "--texts", *texts, "--keep", plain]),
        "scale": ("scale.json", ["benchmarks.scale", folder, *against, "--keep", kept / "scale", "--into", into]),
        "peers-30000": ("peers-30000-documents.json", [*peers, "--documents", 30_000]),
        "latency": (
            "latency.json",
            ["benchmarks.latency", folder, "--index", plain / "new" / "index", "--tokens", 32, 128, 256, 512],
        ),
        "throughput": ("throughput.json", ["benchmarks.throughput", folder, "--index", plain / "new" / "index"]),
        "starting": ("starting.json", ["benchmarks.starting", plain, *against, "--texts", texts[0]]),
        "operations": (
            "operations.json",
            ["benchmarks.operations", *against, "--kept", plain, "--only", "beside", "single", "--rounds", 2],
        ),
        "anisotropic": (
            "anisotropic.json",
            ["benchmarks.versions", folder, *against, "--anisotropy", ANISOTROPY, "--keep", kept / "anisotropic"],
        ),
        "peers-10000": ("peers-10000-documents.json", [*peers, "--documents", 10_000, "--anisotropy", ANISOTROPY]),
        "pages": ("pages.json", ["benchmarks.pages", folder, "--bits", 4, "--pooling", 1, "--queries", 100]),
        "build": ("build.json", ["benchmarks.updates", folder, "--only", "build", "filter", "open"]),
        "encoding": ("encoding.json", ["benchmarks.encoding", *texts]),
    }
    commands["anisotropic"][1].extend(["--only", "late", "late-32"])
    for file, command in commands.values():
        if "--into" not in command:
            command.extend(["--json", into / file])
    return commands


def main() -> None:
    """Run the steps that are left, and write the table after each."""
    options = _options()
    options.into.mkdir(parents=True, exist_ok=True)
    options.kept.mkdir(parents=True, exist_ok=True)
    commands = steps(options)
    for name in options.only or commands:
        file, command = commands[name]
        if (options.into / file).exists() and not options.again:
            continue
        line = shlex.join(["python", "-m", *map(str, command)])
        print(f"\n{time.strftime('%H:%M:%S')} {name}\n{line}\n", flush=True)
        start = time.perf_counter()
        ended = subprocess.run([sys.executable, "-m", *map(str, command)], check=False)
        print(f"\n{name}: {time.perf_counter() - start:.0f} s, status {ended.returncode}", flush=True)
        (options.into / "claims.md").write_text(table(options.into))
    (options.into / "claims.md").write_text(table(options.into))
    print(f"\n{table(options.into)}")


def _options() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description=__doc__, formatter_class=raw)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--against", type=Path, required=True, metavar="SRC", help="sources of the other version")
    parser.add_argument("--texts", type=Path, nargs=2, required=True, metavar="FILE", help="documents and queries")
    parser.add_argument("--kept", type=Path, required=True, metavar="DIR", help="folder for indexes")
    parser.add_argument("--environments", type=Path, required=True, metavar="DIR", help="those of `benchmarks.peers`")
    parser.add_argument("--into", type=Path, required=True, metavar="OUT", help="folder for JSON, plots and the table")
    parser.add_argument("--only", nargs="+", metavar="STEP", help="only these steps")
    parser.add_argument("--again", action="store_true", help="run steps again whose file exists")
    return parser.parse_args()


if __name__ == "__main__":
    main()
