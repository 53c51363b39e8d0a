"""The table of sizes in the README."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from late_interaction import Document
from late_interaction.cli.demo import language_reference
from late_interaction.engines import LocalEngine, Record
from tests.engines.helpers import small_thresholds

SIZE = (Path(__file__).parents[1] / "README.md").read_text("utf-8").split("\n## Size\n")[1].split("\n## ")[0]
BITS = (1, 2, 3, 4, 8, None)
TOKENS = 150  # of a passage
TABLE = {
    (int(dim), bits): float(megabytes)
    for dim, *cells in re.findall(r"^\| (\d+) \|" + r" ([\d.]+) \|" * len(BITS), SIZE, re.MULTILINE)
    for bits, megabytes in zip(BITS, cells, strict=True)
}


def test_the_table_is_the_formula():
    assert "`dim · bits / 8 + 7` bytes per token" in SIZE
    assert len(TABLE) == 4 * len(BITS)
    for (dim, bits), megabytes in TABLE.items():
        token = 2 * dim if bits is None else dim * bits / 8 + 7
        assert megabytes == pytest.approx(token * TOKENS * 1000 / 1e6, abs=0.051)


@pytest.mark.parametrize(
    ("dim", "bits"),
    [(128, 1), (128, None), *(pytest.param(*case, marks=pytest.mark.slow) for case in [(48, 4), (128, 8), (384, 2)])],
)
def test_a_real_index_has_that_size(tmp_path, dim, bits):
    passages = 20
    drawn = np.random.default_rng(0).standard_normal((passages, TOKENS, dim)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=2, keepdims=True)
    with small_thresholds(first=1000, buffer=1000):
        engine = LocalEngine.open(tmp_path / "index", dim=dim, bits=bits)
        engine.upsert(Record(Document("x", id=str(number)), vectors) for number, vectors in enumerate(drawn))
        engine.compact()
    info = engine.info()
    engine.close()
    assert info["exact_tokens"] == (passages * TOKENS if bits is None else 0)
    assert info["vector_bytes"] / passages / 1000 == pytest.approx(TABLE[dim, bits], rel=0.06)


@pytest.mark.slow
def test_the_catalog(tmp_path):
    engine = LocalEngine.open(tmp_path / "index", dim=4, bits=4)
    documents = language_reference()
    engine.upsert(Record(document, np.full((1, 4), 0.5, np.float32)) for document in documents)
    engine.close()  # with everything in the main file of the catalog
    size = (tmp_path / "index" / "catalog.sqlite").stat().st_size / len(documents)
    characters = sum(len(document.text) for document in documents) / len(documents)
    claimed = re.search(r"about (\d+) kB per passage of (\d+) characters", " ".join(SIZE.split()))
    assert characters == pytest.approx(float(claimed[2]), rel=0.2)  # Python's reference changes with its versions
    assert size / 1000 == pytest.approx(float(claimed[1]), rel=0.25)
