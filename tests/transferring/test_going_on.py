"""A transfer that is interrupted and called again: nothing twice, nothing lost, what has changed is replaced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from late_interaction.engines import Record, transfer
from late_interaction.errors import EngineUnavailableError
from late_interaction.transferring import copying
from tests.conformance.helpers import DIM, record
from tests.conformance.weak_engines import ServerEngine


@pytest.fixture
def small_batches(monkeypatch):
    """Five documents are compared at a time, and a write has at most seven and few bytes."""
    monkeypatch.setattr(copying, "_CHUNK_DOCUMENTS", 5)
    monkeypatch.setattr(copying, "_BATCH_DOCUMENTS", 7)
    monkeypatch.setattr(copying, "_BATCH_BYTES", 20 * DIM * 4)


def failing(engine, writes):
    """The engine, of which a write fails after so many."""
    upsert, left = engine.upsert, [writes]

    def upsert_some(records, **options):
        if not left[0]:
            raise EngineUnavailableError("The server is gone.")
        left[0] -= 1
        return upsert(records, **options)

    engine.upsert = upsert_some
    return engine


@pytest.mark.parametrize("writes", [0, 1, 3, 7])
def test_the_same_call_goes_on(source, target, small_batches, writes):
    with pytest.raises(EngineUnavailableError):
        transfer(source, failing(target, writes))
    del target.upsert
    kept = target.count()
    assert 0 < kept < 40 or writes == 0
    report = transfer(source, target)
    assert (report.added, report.unchanged) == (40 - kept, kept)
    assert list(target.scan()) == list(source.scan())


def test_writes_are_bounded(source, target, small_batches):
    sizes, upsert = [], target.upsert

    def recorded(records):
        records = list(records)
        sizes.append((len(records), sum(one.vectors.nbytes for one in records)))
        return upsert(records)

    target.upsert = recorded
    transfer(source, target, verify=0)
    assert sum(number for number, _ in sizes) == 40
    assert all(number <= 7 and (size <= 20 * DIM * 4 or number == 1) for number, size in sizes)


def test_only_what_has_changed_is_written_again(source, target):
    transfer(source, target, verify=0)
    source.upsert([record("d3", tokens=5, text="another text"), record("new")])
    source.update_metadata(["d4"], {"n": 4.0})  # equal to 4 in Python, another value in JSON
    report = transfer(source, target)
    assert (report.added, report.replaced, report.unchanged) == (1, 2, 38)
    assert {one.id: one for one in target.scan()} == {one.id: one for one in source.scan()}
    assert type(target.get(["d4"])[0].metadata["n"]) is float
    assert report.overlap == 1


def test_what_only_the_target_has_stays(source, target):
    target.upsert([record(f"own{number}") for number in range(5)])
    report = transfer(source, target)
    assert (report.added, report.only_in_target, report.overlap) == (40, 5, 1)  # the others are not counted as losses
    assert target.count() == 45
    assert "5 documents only in the target, not deleted." in str(report)
    source.delete(ids=["d0"])
    assert transfer(source, target).only_in_target == 6


def test_what_others_delete_meanwhile_is_left_out(new_folder, target, records):
    source = ServerEngine.open(new_folder(), dim=DIM)
    source.upsert(records)
    read = source.records

    def vanishing(ids):
        source.delete(ids=[ids[0]])
        return read(ids)

    source.records = vanishing
    report = transfer(source, target)
    assert report.vanished > 0
    assert report.added + report.vanished == 40
    assert list(target.scan()) == list(source.scan())
    assert "deleted from the source meanwhile" in str(report)


def test_a_local_source_is_read_in_one_state(source, target):
    upsert = target.upsert

    def written_meanwhile(records):
        with_own_context(lambda: source.upsert([record("later")]))
        with_own_context(lambda: source.delete(ids=["d39"]))
        return upsert(records)

    target.upsert = written_meanwhile
    report = transfer(source, target)
    assert (report.added, report.vanished) == (40, 0)
    assert {one.id for one in target.scan()} == {f"d{number}" for number in range(40)}


def with_own_context(work):
    """Do it as another thread would."""
    import threading

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_documents_that_are_lost_again_are_reported(source, target):
    upsert = target.upsert

    def losing(records):
        ids = upsert(records)
        target.delete(ids=["d1"])
        return ids

    target.upsert = losing
    report = transfer(source, target, verify=0)
    assert (report.missing, report.documents) == (1, 39)
    assert "1 document of these missing" in str(report)


def test_truncation_and_roots_are_kept(source, target, records):
    source.record_roots({"1": {"path": "/docs", "label": "", "beside": "docs"}})
    source.upsert([replace(records[0], truncated=True, root=1), replace(records[1], root=1)])
    report = transfer(source, target)
    assert report.added == 40
    assert target.roots_of(["d0", "d1", "d2"]) == {"d0": 1, "d1": 1, "d2": None}
    assert target.info()["truncated_documents"] == 1
    assert target.roots["1"]["path"] == "/docs"
    source.set_root(["d2", "d3"], 1)
    source.set_root(["d1"], None)
    again = transfer(source, target)
    assert (again.added, again.replaced, again.unchanged) == (0, 0, 40)
    assert target.roots_of(["d0", "d1", "d2", "d3"]) == {"d0": 1, "d1": None, "d2": 1, "d3": 1}


def test_a_page_keeps_its_reference_and_its_thumbnail(source, target, tmp_path):
    from PIL import Image

    from late_interaction import Document

    Image.new("RGB", (30, 20), "red").save(tmp_path / "page.png")
    with_file = Document(image=tmp_path / "page.png", id="file")
    pixels = Document(image=Image.new("RGB", (20, 20), "blue"), id="pixels")
    source.upsert([Record(one, record(one.id).vectors) for one in (with_file, pixels)])
    report = transfer(source, target)
    assert target.get(["file"])[0].image.path == str(tmp_path / "page.png")
    assert target.get(["pixels"])[0].image.thumbnail == source.get(["pixels"])[0].image.thumbnail
    assert any("1 document with an image file" in note for note in report.notes)
