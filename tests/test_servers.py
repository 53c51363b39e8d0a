"""What docs/servers.md says about processes, threads and event loops."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from late_interaction import Document, Index
from late_interaction.errors import IndexLockedError, IndexReplacedError
from late_interaction.langchain import LateInteractionRetriever, LateInteractionVectorStore
from tests.engines.forked import Forked, in_child
from tests.fakes import PlainEncoder, WordEncoder

REQUESTS = 50

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def document(number):
    return Document(f"common number{number}", id=str(number))


@pytest.fixture
def path(tmp_path):
    """An index of 60 documents, closed."""
    with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
        index.add(map(document, range(60)))
        index.search("common")  # imports torch once for all processes
    return tmp_path / "index"


@pytest.fixture
def index(path):
    with Index.open(path, encoder=WordEncoder(), read_only=True) as index:
        yield index


def found(hits):
    return [hit.id for hit in hits]


@forks
def test_four_readers_and_one_writer(path):
    """Each reader sees every commit at its next search, in order, and never a part of one."""

    def read(say):
        with Index.open(path, encoder=WordEncoder(), read_only=True) as reader:
            reader.warm_up()
            say("ready")
            seen, end = [], time.monotonic() + 40
            while (not seen or seen[-1] != 5) and time.monotonic() < end:
                versions = {hit.metadata["version"] for hit in reader.search("changing", k=100, where={"kind": "new"})}
                assert len(versions) <= 1, versions
                seen += versions
                time.sleep(0.01)
            assert len(reader.search("changing", k=100, where={"kind": "new"})) == 20
            return seen

    def write(say):
        with Index.open(path, encoder=WordEncoder()) as writer:
            for version in range(1, 6):
                metadata = {"version": version, "kind": "new"}
                writer.add([Document(f"changing {version} {n}", id=f"n{n}", metadata=metadata) for n in range(20)])
            writer.compact()
            return bool(writer.verify())

    readers = [Forked(read) for _ in range(4)]
    assert [reader.line() for reader in readers] == ["ready"] * 4
    assert Forked(write).result() is True
    for reader in readers:
        seen = reader.result()
        assert seen == sorted(seen)
        assert seen[-1] == 5


@forks
def test_a_second_process_cannot_write_and_a_killed_writer_leaves_the_lock(path, index):
    def write(say):
        with Index.open(path, encoder=WordEncoder()) as writer:
            writer.add([document("acknowledged")])
            say("added")
            time.sleep(60)

    writer = Forked(write)
    assert writer.line() == "added"
    with pytest.raises(IndexLockedError, match=r"by another process.*read_only=True"):
        Index.open(path, encoder=WordEncoder())
    assert "acknowledged" in index
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    with Index.open(path, encoder=WordEncoder()) as other:
        other.add([document("later")])
    assert found(index.search("numberlater", k=1)) == ["later"]
    assert "acknowledged" in index


@forks
@pytest.mark.parametrize("read_only", [True, False])
def test_workers_that_were_forked_after_loading(path, read_only):
    index = Index.open(path, encoder=WordEncoder(), read_only=read_only)
    index.warm_up()

    def work():
        refused = None
        try:
            index.add(["text"])
        except Exception as error:  # noqa: BLE001
            refused = type(error).__name__
        return [found(index.search("number7", k=1)), refused]

    workers = [Forked(lambda _: work()) for _ in range(3)]
    assert found(index.search("number8", k=1)) == ["8"]  # meanwhile
    refused = "ReadOnlyIndexError" if read_only else "IndexLockedError"
    assert [worker.result() for worker in workers] == [[["7"], refused]] * 3
    if not read_only:
        assert index.add([document("parent")]) == ["parent"]
    index.close()
    with Index.open(path, encoder=WordEncoder()) as writer:
        assert writer.verify()


@forks
def test_workers_that_were_forked_before_loading(path):
    def work():
        with Index.open(path, encoder=WordEncoder(), read_only=True) as index:
            index.warm_up()
            return found(index.search("number7", k=1))

    workers = [Forked(lambda _: work()) for _ in range(3)]
    assert [worker.result() for worker in workers] == [["7"]] * 3


@forks
def test_children_write_one_after_the_other_if_the_parent_has_closed(path):
    with Index.open(path, encoder=WordEncoder()) as index:
        index.warm_up()

    def work(number):
        with Index.open(path, encoder=WordEncoder()) as writer:
            return writer.add([document(f"child{number}")])

    assert [in_child(lambda number=number: work(number)) for number in range(2)] == [["child0"], ["child1"]]


def test_fifty_requests_in_threads(index):
    with ThreadPoolExecutor(REQUESTS) as pool:
        hits = list(pool.map(lambda number: index.search(f"number{number}", k=1), range(REQUESTS)))
    assert [found(each) for each in hits] == [[str(number)] for number in range(REQUESTS)]


def test_fifty_requests_while_one_thread_writes(path):
    with Index.open(path, encoder=WordEncoder()) as index:
        done = threading.Event()

        def write():
            number = 100
            while not done.is_set():
                index.add([document(number)])
                index.delete([str(number)])
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            with ThreadPoolExecutor(REQUESTS) as pool:
                hits = list(pool.map(lambda number: index.search(f"number{number}", k=1), range(REQUESTS)))
        finally:
            done.set()
            writer.join()
        assert [found(each) for each in hits] == [[str(number)] for number in range(REQUESTS)]


def test_fifty_requests_of_an_event_loop(index):
    retriever = LateInteractionRetriever(index=index, k=1)
    store = LateInteractionVectorStore(index=index)
    ticks = []

    async def tick():
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.001)

    async def ask():
        ticking = asyncio.create_task(tick())
        calls = [
            *(retriever.ainvoke(f"number{number}") for number in range(REQUESTS)),
            *(store.asimilarity_search(f"number{number}", k=1) for number in range(REQUESTS)),
            *(asyncio.to_thread(index.search, f"number{number}", k=1) for number in range(REQUESTS)),
        ]
        answers = await asyncio.gather(*calls)
        ticking.cancel()
        return answers

    answers = asyncio.run(ask())
    assert [found(each) for each in answers] == [[str(number)] for number in range(REQUESTS)] * 3
    assert len(ticks) > 3  # the loop ran meanwhile


def test_an_index_that_is_opened_for_each_request(path, index):
    """It shares what is mapped, beside one that stays open; after it is closed, the other goes on."""

    def request(number):
        with Index.open(path, encoder=index.encoder, read_only=True) as opened:
            assert opened.engine._states.snapshots is index.engine._states.snapshots
            return found(opened.search(f"number{number}", k=1))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(request, range(REQUESTS))) == [[str(number)] for number in range(REQUESTS)]
    assert found(index.search("number1", k=1)) == ["1"]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a permission")
def test_a_link_that_is_replaced(path, tmp_path):
    live = tmp_path / "live"
    live.symlink_to("index")
    served = Index.open(live, encoder=WordEncoder(), read_only=True)
    assert len(served) == 60
    with Index.open(tmp_path / "index 2", encoder=PlainEncoder(), bits=2) as new:
        new.add(["new"])
    (tmp_path / "next").symlink_to("index 2")
    (tmp_path / "next").replace(live)
    for call in (lambda: served.search("common"), lambda: served.get(["1"]), lambda: len(served)):
        with pytest.raises(IndexReplacedError):
            call()
    with Index.open(live, encoder=WordEncoder(), read_only=True) as again:
        assert len(again) == 1
    with Index.open(path, encoder=WordEncoder()) as old:  # whose directory is as it was
        assert len(old) == 60
