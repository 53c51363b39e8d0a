"""`verify` finds whatever changes an answer: documents, settings, the words of lexical search, what filters see."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from late_interaction.documents import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.errors import CorruptIndexError, LateInteractionError
from tests.engines.catalogs import catalog_of, change, document_checksum, read_setting, set_setting
from tests.engines.helpers import DIM, documents_of, record, small_thresholds, unit_vectors

QUERY = unit_vectors(12345, 4)
WORDS = ["alpha", "beta", "gamma", "delta", "five", "5", "mg", "running", "runs", "café", "title"]
ENCODER = {"name": "an encoder", "fingerprint": "abc", "options": {"pooling": 2}}
FILTERS = [{"n": {"$gte": 20}}, {"lang": "en"}, {"tags": "mg"}, {"a.b": 7}, {"list": list(range(20))}, {"x": None}]


@pytest.fixture(scope="module")
def sound(make_directory):
    """A closed index with compressed and exact segments, pages, tombstones, roots, long values and an encoder."""
    root = make_directory("sound") / "index"
    words = random.Random(1)
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=4) as engine:
        engine.record_encoder(ENCODER)
        engine.record_roots({"0": "/a"})
        records = []
        for number in range(40):
            text = " ".join(words.choices(WORDS, k=12))
            metadata = {"n": number, "lang": "de" if number % 2 else "en", "tags": words.sample(WORDS, 2)}
            metadata |= {"a": {"b": number}, "list": list(range(20 + number % 2)), "x": None}
            document = Document(
                text, id=f"d{number}", metadata=metadata, encoded_text=f"title {text}" if number % 3 else None
            )
            records.append(Record(document, unit_vectors(number, number % 4), root=number if number % 5 else None))
        engine.upsert(records)
        pages = [Document("five", image=Image.new("RGB", (40, 20), (50 * n, 0, 0)), id=f"p{n}") for n in range(2)]
        engine.upsert([Record(page, unit_vectors(n, 2)) for n, page in enumerate(pages)])
        engine.delete(ids=["d1"])
        assert engine.verify().problems == ()
    return root


@pytest.fixture
def index(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "index"))


def answers(engine):
    def whole(document):
        page = document.image
        image = None if page is None else (page.to_json(), page.thumbnail)
        return document.id, document.text, document.encoded_text, json.dumps(document.metadata), image

    ids = [f"d{n}" for n in range(40)] + ["p0", "p1"]
    return {
        "get": [whole(document) for document in engine.get(ids)],
        "scan": [whole(document) for document in engine.scan()],
        "late": [(match.score, match.id) for match in engine.search(QUERY, 100)],
        "late documents": [whole(document) for document in documents_of(engine, engine.search(QUERY, 100))],
        "lexical": [[(m.id, m.score) for m in engine.search_lexical(word, 100)] for word in [*WORDS, "five run"]],
        "filters": [
            ([d.id for d in engine.scan(where=f)], engine.count(where=f), [m.id for m in engine.search(QUERY, where=f)])
            for f in FILTERS
        ],
        "vectors": {name: vectors.tobytes() for name, vectors in engine.vectors(ids).items()},
        "roots": (engine.roots, engine.roots_of(ids), [document.id for document in engine.scan(root=7)]),
        "count": engine.count(),
        "info": {key: value for key, value in engine.info().items() if key not in ("catalog_bytes", "path")},
        "encoder": engine.encoder_record,
    }


def flipped_bits(index, seed, count):
    """Flip bits of the catalog, one at a time; those that change an answer while `verify` finds nothing."""
    path = index / "catalog.sqlite"
    data = path.read_bytes()
    with LocalEngine.open(index) as engine:
        expected = answers(engine)
    rng = random.Random(seed)
    used = [at for at, byte in enumerate(data) if byte]  # half of the file is empty room, where nothing can change
    unnoticed, found = [], 0
    for _ in range(count):
        at, bit = rng.choice(used), rng.randrange(8)
        damaged = bytearray(data)
        damaged[at] ^= 1 << bit
        for suffix in ("-wal", "-shm"):
            (index / f"catalog.sqlite{suffix}").unlink(missing_ok=True)
        path.write_bytes(damaged)
        try:
            with LocalEngine.open(index, read_only=True) as engine:
                if not engine.verify():
                    found += 1
                elif answers(engine) != expected:
                    unnoticed.append((at, bit))
        except CorruptIndexError:
            found += 1
    assert unnoticed == []
    return found


def test_flipped_bits_of_the_catalog(index):
    assert flipped_bits(index, 0, 80) > 40


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_many_flipped_bits_of_the_catalog(index, seed):
    assert flipped_bits(index, seed, 500) > 300


# Documents


def test_the_checksum_is_what_the_format_says(index):
    with catalog_of(index) as connection:
        rows = connection.execute(
            "SELECT checksum, id, text, encoded_text, metadata, root, image, thumbnail "
            "FROM documents LEFT JOIN images ON document = row"
        ).fetchall()
    assert len(rows) == 41
    assert all(checksum == document_checksum(*columns) for checksum, *columns in rows)


OF_P1 = "document = (SELECT row FROM documents WHERE id = 'p1')"
DOCUMENTS = {
    "text": "UPDATE documents SET text = replace(text, '5', '1') WHERE id = 'd4'",
    "encoded_text": "UPDATE documents SET encoded_text = 'other' WHERE id = 'd4'",
    "no encoded_text": "UPDATE documents SET encoded_text = NULL WHERE id = 'd4'",
    "metadata": "UPDATE documents SET metadata = replace(metadata, '4', '5') WHERE id = 'd4'",
    "root": "UPDATE documents SET root = 5 WHERE id = 'd4'",
    "no root": "UPDATE documents SET root = NULL WHERE id = 'd4'",
    "checksum": "UPDATE documents SET checksum = checksum + 1 WHERE id = 'd4'",
    "id": "UPDATE documents SET id = 'd4x' WHERE id = 'd4'",
    "image": f"UPDATE images SET image = replace(image, '40', '41') WHERE {OF_P1}",
    "thumbnail": f"UPDATE images SET thumbnail = x'00' WHERE {OF_P1}",
    "no image": f"DELETE FROM images WHERE {OF_P1}",
    "the image of another document": f"UPDATE images SET document = 1 WHERE {OF_P1}",
}


@pytest.mark.parametrize("what", DOCUMENTS)
def test_a_document_that_is_not_what_was_stored(index, what):
    assert change(index, DOCUMENTS[what]) == 1
    name = {"id": "d4x"}.get(what, "p1" if "image" in what or what == "thumbnail" else "d4")
    with LocalEngine.open(index) as engine:
        problems = engine.verify().problems
        assert any(name in problem for problem in problems), problems
        for read in (
            lambda: engine.get([name]),
            lambda: list(engine.scan()),
            lambda: engine.fetch(engine.search(QUERY, 100)),
        ):
            with pytest.raises(CorruptIndexError, match="Restore the index from a copy"):
                read()
        assert engine.get(["d9"])[0].id == "d9"


def test_set_root_keeps_the_checksum_right(index):
    with LocalEngine.open(index) as engine:
        engine.set_root(["d4", "p1", "unknown"], 77)
        engine.set_root(["d6"], None)
        assert engine.verify().problems == ()
        assert engine.roots_of(["d4", "p1", "d6"]) == {"d4": 77, "p1": 77, "d6": None}
        assert {document.id for document in engine.scan(root=77)} == {"d4", "p1"}


def test_set_root_does_not_conceal_damage(index):
    change(index, DOCUMENTS["text"])
    with LocalEngine.open(index) as engine:
        with pytest.raises(CorruptIndexError, match="d4"):
            engine.set_root(["d4"], 3)
        assert not engine.verify()


# Settings


@pytest.mark.parametrize("key", ["encoder", "roots", "bits", "dim", "generation", "codebook", "checksum"])
def test_a_setting_that_is_not_what_was_stored(index, key):
    other = {"encoder": json.dumps({**ENCODER, "fingerprint": "abd"}), "bits": "2", "dim": "9", "generation": "77"}
    other["checksum"] = "12345"
    value = other.get(key, read_setting(index, key).replace("0", "1"))
    assert value != read_setting(index, key)
    set_setting(index, key, value, sealed=False)
    with pytest.raises(CorruptIndexError, match=r"settings|dim"):
        LocalEngine.open(index)


def test_a_setting_that_changes_while_the_index_is_open(index):
    with LocalEngine.open(index) as engine:
        set_setting(index, "encoder", "{}", sealed=False)
        assert any("checksum" in problem for problem in engine.verify().problems)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO settings VALUES ('other', '1')",
        "DELETE FROM settings WHERE key = 'roots'",
        "DELETE FROM settings WHERE key = 'checksum'",
    ],
)
def test_more_or_fewer_settings(index, statement):
    change(index, statement, sealed=False)
    with pytest.raises(CorruptIndexError, match="settings"):
        LocalEngine.open(index)


# The words of lexical search, and what filters see

WORDS_DAMAGE = {
    "another document": "INSERT INTO words (rowid, exact) VALUES (3, 'more words')",
    "an unknown document": "INSERT INTO words (rowid, exact) VALUES (999, 'more words')",
    "no words": "INSERT INTO words (words) VALUES ('delete-all')",
    "no structure": "DELETE FROM words_data WHERE id = 10",
    "another average length": "UPDATE words_data SET block = x'2A8F01' WHERE id = 1",
    "another length": "UPDATE words_docsize SET sz = x'7F' WHERE id = 3",
    "no length": "DELETE FROM words_docsize WHERE id = 3",
    "one length more": "INSERT INTO words_docsize VALUES (999, x'05')",
    "another configuration": "INSERT INTO words_config VALUES ('rank', 'bm25(5.0)')",
    "a form of no word": "INSERT INTO words (rowid, forms) VALUES (3, 'more')",
    "another word stored": "UPDATE document_words SET words = x'00' WHERE document = 3",
    "no word stored": "DELETE FROM document_words WHERE document = 3",
    "words of no document": "INSERT INTO document_words VALUES (999, x'00')",
    "the words of another document": "UPDATE document_words SET words = "
    "(SELECT words FROM document_words WHERE document = 5) WHERE document = 3",
    "another place of terms": "UPDATE words_idx SET pgno = pgno + 2",
}


@pytest.mark.parametrize("what", WORDS_DAMAGE)
def test_words_that_are_not_those_of_the_documents(index, what):
    change(index, WORDS_DAMAGE[what])
    with LocalEngine.open(index, read_only=True) as engine:
        assert any("words" in problem.lower() for problem in engine.verify().problems), engine.verify().problems
        with suppress(LateInteractionError):
            engine.search_lexical("five", 10)


@pytest.fixture(scope="module")
def wordy(make_directory):
    """An index with so many words that they take several pages."""
    root = make_directory("wordy") / "index"
    words = random.Random(2)
    with LocalEngine.open(root, dim=DIM) as engine:
        for batch in range(2):
            texts = [" ".join(f"{words.randrange(10**6):x}q" for _ in range(40)) for _ in range(60)]
            engine.upsert([record(f"{batch}-{n}", text=text) for n, text in enumerate(texts)])
        assert engine.verify().problems == ()
    return root


def test_terms_and_their_places_on_many_pages(wordy, tmp_path):
    """FTS5's own check misses places of terms that are gone, and bits that cancel in its checksum."""
    rng = random.Random(3)
    with catalog_of(wordy) as connection:
        places = connection.execute("SELECT segid, term, pgno FROM words_idx").fetchall()
        blocks = connection.execute("SELECT id, block FROM words_data WHERE id > 10").fetchall()
    assert len(places) > 4
    changes = []
    for segment, term, _ in rng.sample(places, 4):
        changes.append(("DELETE FROM words_idx WHERE segid = ? AND term = ?", (segment, term)))
        if term:
            lower = bytes(term[:-1]) + bytes([term[-1] - 1])
            changes.append(("UPDATE words_idx SET term = ? WHERE segid = ? AND term = ?", (lower, segment, term)))
    for number, block in rng.choices(blocks, k=12):
        damaged = bytearray(block)
        damaged[rng.randrange(len(block))] ^= 1 << rng.randrange(8)
        changes.append(("UPDATE words_data SET block = ? WHERE id = ?", (bytes(damaged), number)))
    with LocalEngine.open(wordy) as engine:
        words = sorted({word for document in engine.scan() for word in document.text.split()})[::7]
        expected = [[(match.id, match.score) for match in engine.search_lexical(word)] for word in words]
    for number, (statement, parameters) in enumerate(changes):
        root = Path(shutil.copytree(wordy, tmp_path / str(number)))
        assert change(root, statement, *parameters) == 1
        with LocalEngine.open(root, read_only=True) as engine:
            if engine.verify():
                found = [[(match.id, match.score) for match in engine.search_lexical(word)] for word in words]
                assert found == expected, (statement, parameters)


FIELDS_DAMAGE = {
    "one more": "INSERT INTO fields VALUES ('extra', 2, 1, 0, 3)",
    "one of no document": "INSERT INTO fields VALUES ('n', 2, 1, 0, 999)",
    "one less": "DELETE FROM fields WHERE path = 'a.b' AND value = 7",
    "another path": "UPDATE fields SET path = 'm' WHERE path = 'a.b' AND value = 7",
    "another value": "UPDATE fields SET value = 8.5 WHERE path = 'a.b' AND value = 7",
    "another kind": "UPDATE fields SET kind = 1 WHERE path = 'a.b' AND value = 7",
    "another type": "UPDATE fields SET value = '7' WHERE path = 'a.b' AND value = 7",
    "an element": "UPDATE fields SET is_element = 1 WHERE path = 'a.b' AND value = 7",
    "another document": "UPDATE fields SET document = 12 WHERE path = 'a.b' AND value = 7",
    "a digest": "UPDATE fields SET value = x'00112233445566778899aabbccddeeff' WHERE typeof(value) = 'blob'",
}


@pytest.mark.parametrize("what", FIELDS_DAMAGE)
def test_filter_rows_that_are_not_the_metadata(index, what):
    assert change(index, FIELDS_DAMAGE[what]) >= 1
    with LocalEngine.open(index, read_only=True) as engine:
        assert any("ilters find" in problem or "fields" in problem for problem in engine.verify().problems)


ROWS_DAMAGE = {
    "a spare name": "INSERT INTO spare_names VALUES ('../../outside', 0)",
    "a spare name that is neither": "INSERT INTO spare_names VALUES ('0123456789abcdef', 7)",
    "a text for a number": "UPDATE tombstones SET position = 'first'",
    "an image of no document": "INSERT INTO images VALUES (999, '{}', NULL)",
    "a tombstone of no segment": "INSERT INTO tombstones VALUES (999, 1)",
    "a tombstone of a document": "INSERT INTO tombstones SELECT segment, position FROM documents WHERE id = 'd4'",
    "a document less": "DELETE FROM documents WHERE id = 'd4'",
}


@pytest.mark.parametrize("what", ROWS_DAMAGE)
def test_rows_that_contradict_each_other(index, what):
    with catalog_of(index) as connection:
        connection.execute(ROWS_DAMAGE[what])
    try:
        with LocalEngine.open(index, read_only=True) as engine:
            assert not engine.verify()
    except CorruptIndexError:
        pass


def test_problems_are_counted_only_so_far(root):
    with LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([record(f"d{n}") for n in range(1500)])
    change(root, "UPDATE documents SET text = 'another'")
    with LocalEngine.open(root) as engine:
        problems = engine.verify().problems
    assert len(problems) == 1001
    assert problems[-1] == "There are more problems, which are not listed."


def test_verify_leaves_nothing_behind(index):
    """It works on a reader's connection, inside `one_state` too, and the next call finds that connection as it was."""
    with LocalEngine.open(index, read_only=True) as engine, engine.one_state():
        expected = answers(engine)
        for _ in range(2):
            assert engine.verify().problems == ()
            assert answers(engine) == expected
    with LocalEngine.open(index) as engine:
        assert engine.verify().problems == ()
        engine.upsert([record("new", n=1)])
        assert engine.verify().problems == ()
        with sqlite3.connect(index / "catalog.sqlite") as connection:
            assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name LIKE 'checked%'").fetchall()
