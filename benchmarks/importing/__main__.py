"""Is an imported index what the source is? Build one with the other engine, import it, and compare.

    python -m benchmarks.importing FOLDER --environments DIR [--engine fast_plaid] [--documents 2500]
        [--queries 100] [--dim 128] [--bits 2 4] [--json OUT]

For each number of bits: the largest difference between the vectors that the reader yields and those that the engine
decompresses itself; and the overlap of ten best documents between the imported index, the engine's own answers, exact
MaxSim of its decompressed vectors, and exact MaxSim of the vectors that it was built from.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.data import load
from benchmarks.peers.environments import python_of
from benchmarks.peers.protocol import Columns, K
from late_interaction import Index
from late_interaction.importers import import_index
from late_interaction.importers.fast_plaid import FAST_PLAID
from late_interaction.importers.foreign import ForeignFormat, SourceOptions
from late_interaction.importers.stanford import STANFORD

ROOT = Path(__file__).parents[2]
ENGINES = {
    "colbert_plaid": ("benchmarks.importing.colbert_source", STANFORD, (1, 2, 4, 8)),
    "fast_plaid": ("benchmarks.importing.fast_plaid_source", FAST_PLAID, (2, 4)),
}
"""The module that builds an index, the reader of it, and the numbers of bits."""
OUR_BITS = (2, 4, None)


def main() -> None:
    """Print a table, one row for each number of bits of the source."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--engine", choices=ENGINES, default="colbert_plaid")
    parser.add_argument("--documents", type=int, default=2500)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--bits", type=int, nargs="+", help="of the source")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    vectors = load(options.folder).reduced(options.dim).first(options.documents)
    columns = Columns(vectors.tokens, vectors.offsets, vectors.queries[: options.queries])
    original = exact(columns.tokens, columns)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        columns.write(Path(scratch) / "columns")
        python = python_of(options.engine, options.environments)
        module, reader, source_bits = ENGINES[options.engine]
        for bits in options.bits or source_bits:
            folder = build(python, module, Path(scratch), bits, options.queries)
            rows.append(compare(folder, reader, columns, original, bits))
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


def build(python: Path, module: str, scratch: Path, bits: int, queries: int) -> Path:
    """Build the source in its own environment and return its folder."""
    folder = scratch / f"source-{bits}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment['PATH']}"  # has ninja
    command = [python, "-m", module, scratch / "columns", str(bits), folder, str(queries)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    return folder


def compare(folder: Path, reader: ForeignFormat, columns: Columns, original: list[set[int]], bits: int) -> dict:
    """Import the source with each number of bits of ours, and compare."""
    decompressed = np.load(folder / "decompressed.npy", mmap_mode="r")
    theirs = [set(ids) for ids in json.loads((folder / "answers.json").read_text())]
    stored = exact(decompressed, columns)
    vectors = [vectors for _, vectors in reader.open(folder / "index", SourceOptions()).read()]
    row = {
        "bits": bits,
        "documents": len(vectors),
        "tokens": len(decompressed),
        "largest difference": float(np.abs(np.concatenate(vectors) - decompressed).max()),
        "engine with exact": overlap(theirs, stored),
        "engine with original": overlap(theirs, original),
        "exact with original": overlap(stored, original),
        "source, bytes": sum(path.stat().st_size for path in (folder / "index").iterdir()),
    }
    for ours in OUR_BITS:
        report = import_index(folder / "index", folder / f"ours-{ours}", bits=ours, verify=0)
        with Index.open(folder / f"ours-{ours}", read_only=True) as index:
            found = [{int(hit.id) for hit in index.search(query, k=K)} for query in columns.queries]
        name = f"imported at {ours} bits" if ours else "imported uncompressed"
        row |= {
            f"{name} with engine": overlap(found, theirs),
            f"{name} with exact": overlap(found, stored),
            f"{name} with original": overlap(found, original),
            f"{name}, bytes": report.index_bytes,
        }
    return row


def exact(tokens: np.ndarray, columns: Columns) -> list[set[int]]:
    """Return the ten best documents of each query by MaxSim of these token vectors."""
    vectors, starts = np.asarray(tokens, np.float32), columns.offsets[:-1]
    scores = (np.maximum.reduceat(vectors @ query.T, starts).sum(axis=1) for query in columns.queries)
    return [set(np.argsort(-of_query)[:K].tolist()) for of_query in scores]


def overlap(found: list[set[int]], expected: list[set[int]]) -> float:
    """Return the mean share of the ten best that two rankings have in common."""
    return round(float(np.mean([len(one & other) / K for one, other in zip(found, expected, strict=True)])), 4)


if __name__ == "__main__":
    main()
