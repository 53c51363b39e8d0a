"""`upsert_keeping`: stored vectors stay in place, unless others have changed the document before the commit."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from late_interaction.documents import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.errors import InvalidVectorsError
from tests.engines.helpers import DIM, records_on_disk, small_thresholds, unit_vectors

IDS = [f"d{number}" for number in range(12)]


def document(name, text=None, **metadata):
    return Document(f"text of {name}" if text is None else text, id=name, metadata=metadata)


def vectors_of(text):
    """What an encoder would give."""
    return unit_vectors(sum(text.encode()), 3)


def encode(documents):
    return [Record(one, vectors_of(one.text)) for one in documents]


def refuse(documents):
    raise AssertionError(documents)


@pytest.fixture(params=[None, 2])
def engine(request, tmp_path):
    with (
        small_thresholds(first=24, buffer=10),
        LocalEngine.open(tmp_path / "index", dim=DIM, bits=request.param) as made,
    ):
        made.upsert(encode(map(document, IDS)))
        yield made


def texts(engine):
    return {one.id: one.text for one in engine.scan()}


def check(engine, before, kept):
    """Those that were kept have the same vectors, bit by bit; all others those of their text."""
    after = engine.vectors(list(texts(engine)))
    for name, text in texts(engine).items():
        if name in kept:
            assert (after[name] == before[name]).all()
        else:
            assert np.abs(after[name] - vectors_of(text)).max() < 0.5
    assert engine.verify()


def test_nothing_but_rows_is_written(engine, tmp_path):
    before = engine.vectors(IDS)
    files = records_on_disk(tmp_path / "index")
    assert engine.upsert_keeping((document(name, n=1) for name in IDS), refuse) == IDS
    assert records_on_disk(tmp_path / "index") == files
    assert engine.count(where={"n": 1}) == len(IDS)
    assert engine.info()["deleted_documents"] == 0
    check(engine, before, IDS)


def test_between_others(engine):
    before = engine.vectors(IDS)
    given = [document("d3", n=1), *encode([document("new"), document("d5", "changed")]), document("d1", n=1)]
    assert engine.upsert_keeping(given, refuse) == ["d3", "new", "d5", "d1"]
    assert list(texts(engine))[-4:] == ["d3", "new", "d5", "d1"]
    check(engine, before, set(IDS) - {"d5"})
    engine.compact()
    assert engine.verify()


def test_what_replacing_deletes(engine):
    engine.upsert_keeping([document(name, old=True) for name in IDS[:6]], refuse)
    before = engine.vectors(IDS)
    given = [document("d2", n=1), *encode([document("d3", "changed")])]
    assert engine.upsert_keeping(given, refuse, replacing={"old": True}) == ["d2", "d3"]
    assert sorted(texts(engine)) == sorted([*IDS[6:], "d2", "d3"])
    check(engine, before, {*IDS[6:], "d2"})


def test_others_have_been_faster(engine):
    """Also while what was lost is encoded. Those that are gone or have another text are encoded, nothing else is."""
    before = engine.vectors(IDS)
    encoded = []

    def given():
        yield from (document(name, n=1) for name in IDS[:6])
        engine.delete(ids=["d0"])
        engine.upsert(encode([document("d1", "of another")]))
        engine.upsert_keeping([document("d5", n=7)], refuse)  # the same text: its vectors are still right
        engine.compact()

    def encode_and_disturb(documents):
        encoded.append([one.id for one in documents])
        if len(encoded) == 1:
            engine.upsert(encode([document("d2", "of a third"), document("d0", "of a fourth")]))
            engine.compact()
        return encode(documents)

    assert engine.upsert_keeping(given(), encode_and_disturb) == IDS[:6]
    assert encoded == [["d0", "d1"], ["d2"]]
    assert engine.count(where={"n": 1}) == 6
    assert texts(engine) == {name: f"text of {name}" for name in [*IDS[6:], *IDS[:6]]}
    check(engine, before, set(IDS) - {"d0", "d1", "d2"})


def test_an_error_while_encoding_changes_nothing(engine, tmp_path):
    def given():
        yield from encode([document("new")])
        yield document("d0", n=1)
        engine.delete(ids=["d0"])

    def fail(documents):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine.upsert_keeping(given(), fail)
    assert sorted(texts(engine)) == sorted(IDS[1:])
    assert len(list((tmp_path / "index" / "segments").iterdir())) == engine.info()["segments"]
    assert engine.verify()


def test_many_threads(engine):
    """Some change texts, some metadata, one compacts: at the end every document has the vectors of its text."""
    errors = []

    def keep(number):
        for turn in range(6):
            name = IDS[(number + turn) % 4]
            stored = engine.get([name])
            if stored:
                engine.upsert_keeping([document(name, stored[0].text, by=number)], encode)

    def change(number):
        for turn in range(6):
            engine.upsert(encode([document(IDS[(number + turn) % 4], f"text {number} {turn}")]))

    def run(work, number):
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001  # shown below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work, number)) for number in range(3) for work in (keep, change)]
    threads.append(threading.Thread(target=run, args=(lambda _: [engine.compact() for _ in range(3)], 0)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(texts(engine)) == len(IDS)
    check(engine, {}, ())


@pytest.mark.parametrize("answer", [lambda documents: [], lambda documents: encode(documents)[::-1], list])
def test_an_encoder_that_leaves_documents_out(engine, answer):
    before = texts(engine)
    with pytest.raises(InvalidVectorsError, match=r"each of 2 documents|has no vectors"):
        engine.upsert_keeping([document("gone"), document("d1", "another text")], answer)
    assert texts(engine) == before
    assert engine.verify()
