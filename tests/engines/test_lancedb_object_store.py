"""The engine over LanceDB in an object store: options and credentials, failures, several writers."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress

import pytest

from late_interaction import Index
from late_interaction.engines import LanceDBEngine
from late_interaction.errors import EngineRefusedError, EngineUnavailableError, IndexNotFoundError
from tests.engines.lancedb_engines import DIM, document, document_ids, record, vectors_of
from tests.s3_server import ACCESS_KEY, BUCKET, SECRET_KEY, served

URI = f"s3://{BUCKET}/some/path"


@pytest.fixture(autouse=True)
def _no_credentials_of_the_machine(monkeypatch):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture
def bucket():
    with served() as (store, options):
        yield store, options


@pytest.fixture
def engine(bucket):
    with LanceDBEngine(URI, dim=DIM, storage_options=bucket[1]) as made:
        made.upsert([record(name, kind="x") for name in "abc"])
        yield made


def test_documents_are_in_the_bucket(bucket, engine):
    store, options = bucket
    assert {key.split("/")[0] for key in store.objects} == {"some"}
    assert engine.path is None
    assert engine.capabilities.remote
    assert engine.info()["uri"] == URI
    engine.upsert([record("b", "another"), record("d")])
    engine.delete(ids=["a"])
    assert document_ids(engine) == ["c", "b", "d"]
    assert engine.search(vectors_of("another"), 1)[0].id == "b"
    assert [match.id for match in engine.search_lexical("another", 3)] == ["b"]
    engine.compact()
    assert engine.verify().problems == ()
    with LanceDBEngine(URI, storage_options=options, read_only=True) as other:
        assert list(other.scan()) == list(engine.scan())


def test_credentials_of_the_environment(bucket, monkeypatch):
    store, options = bucket
    for name, value in options.items():
        monkeypatch.setenv(name.upper() if name.startswith("aws") else f"AWS_{name.upper()}", value)
    with Index.open(f"lancedb+{URI}", dim=DIM) as index:
        index.add([document("a")], vectors=[vectors_of("a")])
    assert store.objects
    with Index.open(f"lancedb+{URI}") as index:
        assert "a" in index
        assert index.engine.reopening == (f"lancedb+{URI}", {})


def test_another_writer_is_seen(bucket, engine):
    with LanceDBEngine(URI, storage_options=bucket[1]) as other:
        other.upsert([record("d")])
        engine.upsert([record("e")])
        assert document_ids(engine) == ["a", "b", "c", "d", "e"]
        other.upsert([record("e", "of the other")])
        engine.update_metadata(["e"], {"n": 1})
        (found,) = engine.get(["e"])
        assert (found.text, found.metadata) == ("of the other", {"n": 1})


def shown(error):
    """All that a user may see of an error."""
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize(
    "options", [{"aws_access_key_id": "AKIAWRONG"}, {"aws_endpoint": "http://127.0.0.1:9"}], ids=repr
)
def test_credentials_are_not_shown(bucket, options):
    settings = bucket[1] | {"aws_session_token": "a-session-token"} | options
    with pytest.raises((EngineRefusedError, EngineUnavailableError)) as caught:
        LanceDBEngine(URI, dim=DIM, storage_options=settings)
    assert isinstance(caught.value, EngineRefusedError if "aws_access_key_id" in options else EngineUnavailableError)
    engine = LanceDBEngine(f"s3://{BUCKET}/none", storage_options=bucket[1])
    for text in (shown(caught.value), repr(engine), str(vars(engine).get("reopening"))):
        assert not any(secret in text for secret in (SECRET_KEY, ACCESS_KEY, "AKIAWRONG", "a-session-token"))


def test_a_bucket_that_is_not_there(bucket):
    with pytest.raises((EngineRefusedError, IndexNotFoundError)):
        _ = LanceDBEngine("s3://another/path", storage_options=bucket[1]).dim


@pytest.mark.parametrize("status", [503, 429])
def test_a_store_that_is_overloaded(bucket, engine, status):
    store, _ = bucket
    store.fail = lambda method, path: status if method == "PUT" else None
    with pytest.raises(EngineUnavailableError):
        engine.upsert([record("d")])
    store.fail = lambda method, path: None
    assert document_ids(engine) == ["a", "b", "c"]
    engine.upsert([record("d")])
    assert document_ids(engine) == ["a", "b", "c", "d"]
    assert engine.verify().problems == ()


def test_a_store_that_fails_while_reading(bucket, engine):
    store, options = bucket
    other = LanceDBEngine(URI, storage_options=options)
    store.fail = lambda method, path: 503 if method == "GET" else None
    for call in (lambda: other.search(vectors_of("a")), lambda: other.get(["a"]), lambda: list(other.scan())):
        with pytest.raises(EngineUnavailableError):
            call()
    store.fail = lambda method, path: None
    assert document_ids(other) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "request_number", [1, 2, 4, 5, 6, *(pytest.param(number, marks=pytest.mark.slow) for number in (3, 7, 8, 9, 10))]
)
def test_a_store_that_fails_once_for_all(bucket, engine, request_number):
    """From some request of a write on. Written is all or nothing, and the same call completes it."""
    store, _ = bucket
    count = 0

    def fail(method, path):
        nonlocal count
        count += method == "PUT"
        return 503 if count >= request_number else None

    store.fail = fail
    with suppress(EngineUnavailableError):
        engine.upsert([record("new", kind="y")], replacing={"kind": "x"})
    store.fail = lambda method, path: None
    assert document_ids(engine) in (["a", "b", "c"], ["new"])
    engine.upsert([record("new", kind="y")], replacing={"kind": "x"})
    assert document_ids(engine) == ["new"]
    assert engine.verify().problems == ()
