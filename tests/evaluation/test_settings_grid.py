"""Every setting of bits, pooling and dim equals an index that was built with it, and documents are encoded once."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.evaluation import evaluate
from late_interaction.evaluation.settings import Setting, grid
from tests.evaluation.collections import random_documents, random_queries
from tests.fakes import WordEncoder


@pytest.fixture(scope="module")
def documents():
    return random_documents(700, words=100, size=3000)  # 70,000 tokens, from 65,536 on vectors are compressed


@pytest.fixture(scope="module")
def queries(documents):
    return random_queries(documents, 10)


def built(path, documents, queries, settings):
    """The rankings and bytes per document of an index that is built with the settings of a system."""
    settings = {key: settings[key] for key in ("bits", "pooling", "dim")}
    with Index.open(path, encoder=WordEncoder(dim=8), **settings) as index:
        index.add(documents)
        index.compact()
        rankings = {one["id"]: [hit.id for hit in index.search(one["query"], 100)] for one in queries}
        return rankings, index.info()["vector_bytes"] / len(documents)


def test_bits_equal_indexes_built_with_them(documents, queries, tmp_path):
    encoder = WordEncoder(dim=8)
    report = evaluate(documents, queries, encoder=encoder, systems=["late"], bits=[2, 3, 0])
    assert encoder.documents_encoded <= len(documents) + 20  # the texts of fingerprints
    found = {system.name: system.result for system in report.systems}
    assert list(found) == ["late, 4 bits", "late, 2 bits", "late, 3 bits", "late, codes alone"]
    for name, result in found.items():
        rankings, size = built(tmp_path / name, documents, queries, result.settings)
        found_ids = {key: list(ids[:10]) for key, ids in result.rankings.items()}
        expected_ids = {key: ids[:10] for key, ids in rankings.items()}
        # Vectors are rounded to float16 once more, so other centroids may be trained, and near documents change places.
        shared = np.mean([len(set(found_ids[key]) & set(expected_ids[key])) / 10 for key in expected_ids])
        assert shared > {4: 0.999, 3: 0.9, 2: 0.9, 0: 0.8}[result.settings["bits"]]
        assert result.bytes_per_document == pytest.approx(size)
    assert found["late, 2 bits"].bytes_per_document < 0.9 * found["late, 4 bits"].bytes_per_document
    assert found["late, codes alone"].bytes_per_document < 0.6 * found["late, 2 bits"].bytes_per_document


def test_pooling_and_dim_equal_indexes_built_with_them(documents, queries, tmp_path):
    documents = [Document(" ".join(one.text.split()[:20]), id=one.id) for one in documents[:200]]
    report = evaluate(
        documents, queries, encoder=WordEncoder(dim=8), systems=["late"], bits=[None], pooling=[1, 2], dim=[8, 4]
    )
    found = {system.name: system.result for system in report.systems}
    assert list(found) == [
        "late, 4 bits",
        "late, float16",
        "late, float16, dim 4",
        "late, float16, pooling 2",
        "late, float16, pooling 2, dim 4",
    ]
    assert any("too small to be compressed" in note for note in report.notes)
    for name, result in found.items():
        rankings, size = built(tmp_path / name, documents, queries, result.settings)
        common = [len(set(ids[:20]) & set(rankings[key][:20])) / 20 for key, ids in result.rankings.items()]
        assert sum(common) / len(common) > 0.97, name  # rounded to float16 before pooling, not after it
        assert result.bytes_per_document == pytest.approx(size), name


def test_settings_of_a_compressed_index_are_made_of_documents_encoded_again(documents, queries, tmp_path):
    encoder = WordEncoder(dim=8)
    with Index.open(tmp_path / "index", encoder=encoder, bits=1) as index:
        index.add(documents[:200])
        before = encoder.documents_encoded
        report = evaluate(index, queries, systems=["late"], bits=[1, None])
        assert encoder.documents_encoded - before == 200
    assert [system.name for system in report.systems] == ["late, 1 bit", "late, float16"]
    assert any("encoded again" in note for note in report.notes)


def test_an_uncompressed_index_gives_its_vectors(documents, queries, tmp_path):
    encoder = WordEncoder(dim=8)
    with Index.open(tmp_path / "index", encoder=encoder, bits=None) as index:
        index.add(documents[:200])
        before = encoder.documents_encoded
        report = evaluate(index, queries, systems=["late", "pooled"], bits=[4], baseline="late")
        assert encoder.documents_encoded == before
    assert [system.name for system in report.systems] == ["late, float16", "late, 4 bits", "pooled"]
    assert report.baseline == "late, float16"
    assert any("too small to be compressed" in note for note in report.notes)


def test_a_pooled_index_is_evaluated_as_it_is(documents, queries, tmp_path):
    with Index.open(tmp_path / "index", encoder=WordEncoder(dim=8), pooling=2) as index:
        index.add(documents[:100])
        report = evaluate(index, queries, systems=["late"])
        expected = {one["id"]: [hit.id for hit in index.search(one["query"], 100)] for one in queries}
    assert report.systems[0].result.settings["pooling"] == 2
    assert {key: list(ids) for key, ids in report.systems[0].result.rankings.items()} == expected


def test_grid_leaves_out_what_is_there():
    base = Setting(4, 1, 128)
    assert grid(base, [], [], []) == []
    assert grid(base, [4], [1], [128]) == []
    assert grid(base, [4, 4, 2], [], [64, 128]) == [
        Setting(4, 1, 64),
        Setting(2, 1, 64),
        Setting(2, 1, 128),
    ]
