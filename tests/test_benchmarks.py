"""The commands in `benchmarks/`: oracles of their parts, and runs on a few documents."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import late_interaction
from benchmarks.claims.targets import TARGETS, UNKNOWN, table
from benchmarks.peers.report import NAMES, PLACES
from benchmarks.scale.building import build
from benchmarks.scale.spans import Spans
from late_interaction import Document
from late_interaction.engines import LocalEngine, Record

ROOT = Path(__file__).parents[1]
SOURCE = str(Path(late_interaction.__file__).parents[1])


def _unit(rng, tokens, dim):
    vectors = rng.normal(size=(tokens, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_scores_of_spans_are_maxsim_of_their_tokens():
    rng = np.random.default_rng(0)
    tokens, query = _unit(rng, 500, 16), _unit(rng, 5, 16)
    spans = Spans.drawn(2_000, len(tokens))
    found = spans.scores(tokens @ query.T)
    lengths, rows = spans.rows(0, spans.documents)
    for at, part in enumerate(np.split(rows, np.cumsum(lengths)[:-1])):
        assert found[at] == pytest.approx((tokens[part].astype(np.float64) @ query.T).max(axis=0).sum(), rel=1e-5)
    assert spans.tokens == len(rows)


def test_rows_of_spans_do_not_depend_on_the_block():
    spans = Spans.drawn(2_000, 500)
    lengths, rows = spans.rows(0, spans.documents)
    first, second = spans.rows(0, 10), spans.rows(10, spans.documents)
    assert lengths == first[0] + second[0]
    assert np.array_equal(rows, np.concatenate([first[1], second[1]]))


@pytest.mark.slow
def test_a_recombined_index_has_the_vectors_of_its_spans(tmp_path):
    rng = np.random.default_rng(0)
    documents = [_unit(rng, 350, 16) for _ in range(200)]  # enough tokens to be compressed
    with LocalEngine.open(tmp_path / "real", dim=16) as engine:
        engine.upsert(Record(Document("", id=str(at)), vectors) for at, vectors in enumerate(documents))
        stored = np.concatenate([engine.vectors([str(at)])[str(at)] for at in range(200)])
    build(tmp_path / "real", tmp_path / "large", 20_000)
    spans = Spans.drawn(20_000, len(stored))
    with LocalEngine.open(tmp_path / "large", read_only=True) as engine:
        assert engine.count() == spans.documents
        assert not engine.verify().problems
        for at in (0, 7, spans.documents - 1):
            _, rows = spans.rows(at, at + 1)
            assert np.allclose(engine.vectors([str(200 + at)])[str(200 + at)], stored[rows], atol=1e-6)


def test_targets_without_figures_say_so(tmp_path):
    lines = table(tmp_path).splitlines()[2:]
    assert len(lines) == len(TARGETS)
    assert all(UNKNOWN in line for line in lines)


def test_a_target_is_met_by_its_figures(tmp_path):
    rates = [{"searches": "2 threads", "queries/s": 100.0}, {"searches": "8 threads", "queries/s": 101.0}]
    (tmp_path / "throughput.json").write_text(json.dumps({"threads": rates}))
    line = next(line for line in table(tmp_path).splitlines() if line.startswith("| 8 threads"))
    assert line.endswith("| yes |")
    rates[1]["queries/s"] = 60.0
    (tmp_path / "throughput.json").write_text(json.dumps({"threads": rates}))
    line = next(line for line in table(tmp_path).splitlines() if line.startswith("| 8 threads"))
    assert line.endswith("| **no** |")


def test_every_engine_has_a_place_in_plots():
    assert NAMES.keys() == PLACES.keys()


@pytest.fixture
def vectors(tmp_path):
    """A folder as `benchmarks.data` writes it, with random vectors."""
    folder = tmp_path / "vectors"
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "tokens.npy", _unit(rng, 70_000, 16).astype(np.float16))
    np.save(folder / "offsets.npy", np.arange(0, 70_001, 35))
    np.save(folder / "queries.npy", _unit(rng, 60, 16))
    np.save(folder / "query_offsets.npy", np.arange(0, 61, 6))
    (folder / "about.json").write_text('{"real": 2000}')
    return folder


@pytest.mark.slow
def test_versions_throughput_starting_and_operations_run_on_a_few_documents(vectors, tmp_path):
    kept, out = tmp_path / "kept", tmp_path / "out.json"
    few = ["--dim", "16", "--queries", "5", "--rounds", "1"]
    commands = [
        ["versions", vectors, "--against", SOURCE, "--keep", kept, *few],
        ["throughput", vectors, "--index", kept / "new" / "index", *few],
        ["starting", kept, "--against", SOURCE, "--processes", "1"],
        ["scale", vectors, "--against", SOURCE, "--keep", tmp_path / "scale", "--millions", "0.1", *few],
    ]
    for name, *arguments in commands:
        to = ["--into", tmp_path] if name == "scale" else ["--json", out]
        command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments), *map(str, to)]
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    rows = json.loads((tmp_path / "scale.json").read_text())
    assert [row["version"] for row in rows] == ["old", "new"] * 2
    assert all(row["recall@10"] > 0.5 for row in rows)
