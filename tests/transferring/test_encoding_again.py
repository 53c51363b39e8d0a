"""A transfer that encodes the documents again."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine, transfer
from late_interaction.errors import TruncationWarning
from tests.conformance.helpers import DIM
from tests.conformance.weak_engines import WeakEngine
from tests.engines.helpers import small_thresholds
from tests.fakes import ShortEncoder, WordEncoder

TEXTS = [f"word{number} number{number} of group{number % 7}" for number in range(60)]
DOCUMENTS = [Document(text, id=f"d{number}") for number, text in enumerate(TEXTS)]


@pytest.fixture
def compressed(new_folder):
    """A source at one bit for each dimension."""
    with small_thresholds(40, 16), Index.open(new_folder(), encoder=WordEncoder(DIM), bits=1) as index:
        index.add(DOCUMENTS)
        index.compact()
        yield index


def test_vectors_are_exact(compressed, target):
    encoder = WordEncoder(DIM)
    report = transfer(compressed.engine, target, encoder=encoder)
    assert report.encoded_again
    assert report.added == 60
    assert encoder.documents_encoded == 60
    for document in DOCUMENTS:
        exact = encoder.encode_documents([document.text])[0].astype(np.float16)
        np.testing.assert_array_equal(target.vectors([document.id])[document.id], exact)
    assert report.queries == 60
    assert report.score_difference > 0.01  # from the compressed ones
    assert "encoded again" in str(report)
    assert not any("compressed" in note for note in report.notes)


def test_the_same_call_encodes_only_the_rest(compressed, target):
    encoder = WordEncoder(DIM)
    Index(engine=target, encoder=encoder).add(DOCUMENTS[:50])
    encoder.documents_encoded = 0
    report = transfer(compressed.engine, target, encoder=encoder)
    assert (report.added, report.unchanged, encoder.documents_encoded) == (10, 50, 10)
    assert any("50 unchanged documents not encoded again" in note for note in report.notes)


def test_from_a_source_without_vectors(target, new_folder):
    source = WeakEngine.open(new_folder(), dim=DIM)
    Index(engine=source, encoder=WordEncoder(DIM)).add(DOCUMENTS)
    report = transfer(source, target, encoder=WordEncoder(DIM))
    assert (report.added, report.queries, report.overlap) == (60, 60, 1)


def test_with_another_encoder(compressed, new_folder):
    """Another dimension, and nothing to compare with."""
    with LocalEngine.open(new_folder(), dim=8) as target:
        report = transfer(compressed.engine, target, encoder=WordEncoder(8, name="small"))
        assert (report.added, report.queries, report.overlap) == (60, 0, None)
        assert any("Not verified" in note for note in report.notes)
        assert target.encoder_record["fingerprint"]["model"] == "small"


def test_a_text_that_is_truncated(compressed, target):
    encoder = ShortEncoder(document_length=2, dim=DIM, name="short")
    with pytest.warns(TruncationWarning):
        transfer(compressed.engine, target, encoder=encoder)
    assert target.info()["truncated_documents"] == 60


def test_a_document_without_text(source, target):
    source.upsert([])
    Index(engine=source, encoder=WordEncoder(DIM))
    Index(engine=source, encoder=WordEncoder(DIM)).add([Document("", id="blank")], vectors=[np.ones((2, DIM))])
    report = transfer(source, target, encoder=WordEncoder(DIM))
    assert any("1 document without a text, and so without vectors" in note for note in report.notes)


class TestWhatIsSaid:
    def test_of_a_compressed_source(self, compressed, target):
        notes = transfer(compressed.engine, target).notes
        assert "1 bit per dimension" in notes[0]
        assert "0.89" in notes[0]
        assert "python -m benchmarks.recall" in notes[0]
        assert "encoder=" in notes[1]

    def test_of_an_exact_source(self, source, target):
        assert transfer(source, target).notes == ()

    def test_of_a_compressed_source_without_texts(self, new_folder, target):
        with small_thresholds(40, 16), LocalEngine.open(new_folder(), dim=DIM, bits=4) as source:
            index = Index(engine=source)
            index.add(
                [Document("", id=str(n)) for n in range(60)],
                vectors=[WordEncoder(DIM).encode_documents([t])[0] for t in TEXTS],
            )
            index.compact()
            notes = transfer(source, target).notes
        assert "0.978" in notes[0]
        assert len(notes) == 1

    def test_what_does_not_carry_over(self, source, new_folder):
        source.record_roots({"1": {"path": "/docs", "label": "", "beside": None}})
        source.set_root(["d1"], 1)
        weak = " ".join(transfer(source, WeakEngine.open(new_folder(), dim=DIM)).notes)
        for said in ("no lexical search", "cannot filter by $", "folders of files"):
            assert said in weak
        with LocalEngine.open(new_folder(), dim=DIM, language="german", bits=2) as target:
            notes = " ".join(transfer(source, target).notes)
        assert "'english', the target of 'german'" in notes
        assert "compresses vectors to 2 bits" in notes
