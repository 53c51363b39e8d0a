"""`import_index`: what arrives, what is compared with the encoder, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.errors import (
    DuplicateIdError,
    IncompatibleEncoderError,
    InvalidDocumentError,
    InvalidRequestError,
)
from late_interaction.importers import import_index
from tests.anisotropic import Anisotropic, mix
from tests.engines.helpers import small_thresholds
from tests.fakes import WordEncoder
from tests.importers.plaid_source import write_plaid
from tests.importers.sources import ENCODER, documents, flat_folder, maxsim, texts, vectors

COUNT = 60


@pytest.fixture
def source(tmp_path):
    return flat_folder(tmp_path / "source", COUNT)


def stored(path):
    """The documents of an index with their vectors."""
    with Index.open(path, read_only=True) as index:
        found = list(index.scan())
        arrays = index.engine.vectors([one.id for one in found])
        return found, [arrays[one.id] for one in found]


def test_everything_arrives(source, tmp_path):
    report = import_index(source, tmp_path / "index", documents=documents(COUNT), verify=5)
    found, arrays = stored(tmp_path / "index")
    assert found == documents(COUNT)
    for got, expected in zip(arrays, vectors(COUNT), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-3)  # float16
    assert (report.documents, report.added, report.unchanged, report.only_in_index) == (COUNT, COUNT, 0, 0)
    assert (report.tokens, report.dim, report.format) == (sum(map(len, vectors(COUNT))), 16, "vectors")
    assert report.source_bytes == sum(path.stat().st_size for path in source.iterdir())
    assert report.recall == 1


def test_the_index_remembers_an_encoder_that_fits(source, tmp_path):
    report = import_index(source, tmp_path / "index", documents=documents(COUNT), encoder=ENCODER, verify=3)
    assert report.agreement == pytest.approx(1, abs=1e-3)
    assert "The encoder fits" in str(report)
    with Index.open(tmp_path / "index", encoder=ENCODER) as index:
        assert index.search("w49 w50", 1)[0].id == next(one.id for one in documents(COUNT) if "w49 w50" in one.text)
    with pytest.raises(IncompatibleEncoderError):
        Index.open(tmp_path / "index", encoder=WordEncoder(16, "another"))


def test_an_encoder_that_does_not_fit_is_not_remembered(source, tmp_path):
    with pytest.raises(IncompatibleEncoderError, match=r"cosine similarity .* is 0\.\d+, at least 0.95"):
        import_index(source, tmp_path / "index", documents=documents(COUNT), encoder=WordEncoder(16, "another"))
    with pytest.raises(InvalidRequestError, match="dim"):
        import_index(source, tmp_path / "index", documents=documents(COUNT), encoder=WordEncoder(8))
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("given", [documents(COUNT)[1:] + documents(1), documents(COUNT)], ids=["texts", "encoder"])
def test_a_common_direction_does_not_hide_what_differs(tmp_path, given):
    """The mean cosine similarity of any two token vectors is .95."""
    arrays = [mix(one, 0.95, 0) for one in vectors(COUNT)]
    source = tmp_path / "source"
    source.mkdir()
    np.savez(source / "all.npz", **{str(number): one for number, one in enumerate(arrays)})
    given = [Document(one.text) for one in given]
    right = Anisotropic(ENCODER, 0.95, 0)
    wrong = right if given[0].text != texts(1)[0] else Anisotropic(WordEncoder(16, "another"), 0.95, 0)
    with pytest.raises(IncompatibleEncoderError, match="at least"):
        import_index(source, tmp_path / "index", documents=given, encoder=wrong, verify=0)
    given = [Document(text) for text in texts(COUNT)]
    report = import_index(source, tmp_path / "index", documents=given, encoder=right, verify=0)
    assert report.agreement == pytest.approx(1, abs=1e-3)


def test_an_encoder_that_cannot_be_compared(source, tmp_path):
    report = import_index(source, tmp_path / "index", encoder=WordEncoder(16, "another"), verify=0)
    assert report.agreement is None
    assert any("was not compared" in note for note in report.notes)


def test_without_texts(source, tmp_path):
    report = import_index(source, tmp_path / "index", verify=0)
    assert [one.id for one in stored(tmp_path / "index")[0]] == [f"d{number}" for number in range(COUNT)]
    assert any("keeps no texts" in note for note in report.notes)
    assert any("does not say which model" in note and "Index.open(" in note for note in report.notes)
    assert (report.recall, report.cosine, report.queries) == (None, None, 0)


@pytest.mark.parametrize("kind", ["jsonl", "tsv", "strings", "iterator"])
def test_documents_in_every_form(tmp_path, kind):
    source = flat_folder(tmp_path / "source", 5)
    (source / "ids.json").unlink()
    given = texts(5)
    if kind == "jsonl":
        lines = [json.dumps({"id": f"d{number}", "text": text}) for number, text in enumerate(given)]
        (tmp_path / "x.jsonl").write_text("\n".join(lines))
        given = tmp_path / "x.jsonl"
    elif kind == "tsv":
        lines = [f"d{number}\t{text}" + ("\tTitle" if number == 1 else "") for number, text in enumerate(given)]
        (tmp_path / "x.tsv").write_text("\n".join(lines))
        given = str(tmp_path / "x.tsv")
    elif kind == "iterator":
        given = (Document(text, id=f"d{number}") for number, text in enumerate(given))
    import_index(source, tmp_path / "index", documents=given, verify=0)
    found, _ = stored(tmp_path / "index")
    assert [one.text for one in found] == texts(5)
    assert [one.id for one in found] == [str(n) if kind == "strings" else f"d{n}" for n in range(5)]
    assert found[1].text_to_encode == ("Title | " if kind == "tsv" else "") + texts(5)[1]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (documents(COUNT - 1), InvalidRequestError, "59 documents given, and the source has 60"),
        (documents(COUNT + 1), InvalidRequestError, "61 documents given, and the source has 60"),
        (documents(COUNT)[::-1], InvalidRequestError, "in the order of the vectors"),
        ([3] * COUNT, InvalidDocumentError, "not|got int"),
        ("missing.jsonl", InvalidRequestError, "must be an existing"),
        (Document("one"), InvalidRequestError, "a path or a list"),
        (7, InvalidRequestError, "a path or a list"),
    ],
)
def test_documents_that_do_not_fit(source, tmp_path, given, error, message):
    with pytest.raises(error, match=message):
        import_index(source, tmp_path / "index", documents=given)
    assert not (tmp_path / "index").exists()


def test_documents_of_one_id(source, tmp_path):
    (source / "ids.json").unlink()
    given = documents(COUNT)
    given[50] = given[3]
    with pytest.raises(DuplicateIdError, match="'d3'"):
        import_index(source, tmp_path / "index", documents=given, verify=0)


@pytest.mark.parametrize("content", [b"d0", b"d0\ttext\n\xff\ttext", b"\ttext"])
def test_a_damaged_collection(tmp_path, content):
    source = flat_folder(tmp_path / "source", 1)
    (tmp_path / "x.tsv").write_bytes(content)
    with pytest.raises(InvalidDocumentError, match=r"Line [12] of .*x\.tsv"):
        import_index(source, tmp_path / "index", documents=tmp_path / "x.tsv")


class TestLoss:
    def test_of_compressed_vectors(self, tmp_path):
        """Compared with what the definition gives."""
        source = flat_folder(tmp_path / "source", 100)
        with small_thresholds(100, 50):
            report = import_index(source, tmp_path / "index", bits=1, verify=10)
        _, arrays = stored(tmp_path / "index")
        given = vectors(100)
        sample = [place for block in range(10) for place in [block * 10]]
        cosines = [
            (a @ b) / np.linalg.norm(a) / np.linalg.norm(b)
            for n in sample
            for a, b in zip(given[n], arrays[n], strict=True)
        ]
        errors = [
            np.linalg.norm(a - b) / np.linalg.norm(a) for n in sample for a, b in zip(given[n], arrays[n], strict=True)
        ]
        assert report.cosine == pytest.approx(np.mean(cosines), abs=1e-5)
        assert report.error == pytest.approx(np.mean(errors), abs=1e-5)
        assert report.cosine < 0.999
        found = wanted = 0
        with Index.open(tmp_path / "index", read_only=True) as index:
            for n in sample:
                scores = {f"d{m}": maxsim(given[n], one) for m, one in enumerate(given)}
                least = sorted(scores.values())[-10] - 1e-4 * 8
                found += sum(scores[hit.id] >= least for hit in index.search(given[n], 10))
                wanted += 10
        assert report.recall == pytest.approx(found / wanted)
        assert f"{report.recall:.1%} of the ten best" in str(report)

    @pytest.mark.parametrize(("bits", "is_larger"), [("default", True), (2, False)])
    def test_bits_of_the_source_and_of_the_index(self, tmp_path, bits, is_larger):
        source = write_plaid(tmp_path / "source", lengths=((50, 50, 60, 40),)).folder
        with small_thresholds(100, 50):
            report = import_index(source, tmp_path / "index", bits=bits, verify=2)
        assert (report.source_bits, report.index_bits) == (2, 4 if is_larger else 2)
        assert f"at {report.index_bits} bits per dimension." in str(report)
        assert any("with bits=2 takes about as much" in note for note in report.notes) == is_larger

    def test_is_not_measured_beside_other_documents(self, source, tmp_path):
        import_index(source, tmp_path / "index", verify=0)
        with Index.open(tmp_path / "index") as index:
            index.add([Document("own", id="own")], vectors=[vectors(1)[0]])
        report = import_index(source, tmp_path / "index", verify=5)
        assert (report.only_in_index, report.recall, report.unchanged) == (1, None, COUNT)
        assert "1 document only in the index" in str(report)


class TestSources:
    def test_of_no_known_kind(self, tmp_path):
        folder = tmp_path / "some"
        folder.mkdir()
        (folder / "model.bin").write_bytes(b"")
        with pytest.raises(InvalidRequestError, match=r"It contains model.bin. Known are: .*vectors \("):
            import_index(folder, tmp_path / "index")

    def test_that_do_not_exist(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(InvalidRequestError, match="does not exist"):
            import_index(tmp_path / "none", tmp_path / "index")
        with pytest.raises(InvalidRequestError, match="is not a folder"):
            import_index(tmp_path / "file", tmp_path / "index")

    def test_an_index_of_ours(self, source, tmp_path):
        import_index(source, tmp_path / "index", verify=0)
        with pytest.raises(InvalidRequestError, match="late-interaction transfer"):
            import_index(tmp_path / "index", tmp_path / "other")

    def test_the_index_inside_of_the_source(self, source):
        with pytest.raises(InvalidRequestError, match="inside of the source"):
            import_index(source, source / "index")
