"""An index that RAGatouille and colbert-ai wrote (`fixtures/build_ragatouille.py`), with their own answers."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from late_interaction import Index
from late_interaction.importers import import_index
from late_interaction.importers.foreign import SourceOptions
from late_interaction.importers.ragatouille import RAGATOUILLE
from late_interaction.importers.stanford import STANFORD

ARCHIVE = Path(__file__).parent / "fixtures" / "ragatouille.zip"
ADDED = ("collection.json", "pid_docid_map.json", "docid_metadata_map.json")


@dataclass(frozen=True)
class Recorded:
    folder: Path
    decompressed: np.ndarray
    queries: np.ndarray
    passages: list[list]  # document, text, tokens
    answers: list[list]  # positions of passages, scores


@pytest.fixture
def recorded(tmp_path) -> Recorded:
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if name.startswith("index/")])
        arrays = [np.load(io.BytesIO(archive.read(f"{name}.npy"))) for name in ("decompressed", "queries")]
        return Recorded(tmp_path / "index", *arrays, **json.loads(archive.read("expected.json")))


def test_passages_after_two_deletions(recorded) -> None:
    index = RAGATOUILLE.open(recorded.folder, SourceOptions())
    found = list(index.read())
    assert [[document.metadata["document_id"], document.text, len(vectors)] for document, vectors in found] == (
        recorded.passages
    )
    assert [document.id for document, _ in found] == (
        ["a#0", "a#1", "c", "d", "f", "g", "h", "i#0", "i#1", "j#0", "k", "l#0", "l#1"]
    )
    assert found[-1][0].metadata["year"] == 2015
    listed = json.loads((recorded.folder / "collection.json").read_text())
    assert listed != [text for _, text, _ in recorded.passages]  # RAGatouille removed a wrong text
    assert index.encoder == "tiny-colbert"
    assert index.settings["bits"] == 4


def test_vectors_are_those_that_colbert_decompresses(recorded) -> None:
    found = [vectors for _, vectors in RAGATOUILLE.open(recorded.folder, SourceOptions()).read()]
    np.testing.assert_allclose(np.concatenate(found), recorded.decompressed, atol=1e-6)


def test_scores_are_those_of_colbert(recorded, tmp_path) -> None:
    report = import_index(recorded.folder, tmp_path / "ours")
    assert report.documents == len(recorded.passages)
    with Index.open(tmp_path / "ours", read_only=True) as index:
        for query, (positions, scores) in zip(recorded.queries, recorded.answers, strict=True):
            hits = index.search(query, k=len(positions))
            np.testing.assert_allclose([hit.score for hit in hits], scores, atol=0.02)  # ours are of float16
            expected = dict(zip([recorded.passages[at][1] for at in positions], scores, strict=True))
            assert [expected[hit.text] for hit in hits] == pytest.approx(scores, abs=0.02)


def test_without_the_files_of_ragatouille(recorded) -> None:
    for name in ADDED:
        (recorded.folder / name).unlink()
    assert STANFORD.matches(recorded.folder)
    found = [
        [document.text, len(vectors)] for document, vectors in STANFORD.open(recorded.folder, SourceOptions()).read()
    ]
    assert found == [passage[1:] for passage in recorded.passages]
