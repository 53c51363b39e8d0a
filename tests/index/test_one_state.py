"""Reads of one snapshot: also in the threads of `search_many`, and when the caller's own code raises."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextvars import copy_context

import pytest

from late_interaction import Document, Index
from late_interaction.errors import InvalidRequestError, LateInteractionError
from tests.fakes import WordEncoder

COUNT = 20


def version(number):
    """A state: all documents again, with other words."""
    texts = [f"common word{number} item{item}" for item in range(COUNT)]
    return [Document(text, id=f"d{item}", metadata={"v": number}) for item, text in enumerate(texts)]


def versions(hits):
    return {hit.metadata["v"] for hit in hits}


def written_by_another_thread(write, *arguments):
    """Let a thread with a context of its own write, and wait until it has."""
    thread = threading.Thread(target=write, args=arguments)
    thread.start()
    thread.join()


@pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
def test_search_many_sees_the_state_of_its_block(index, mode):
    index.add(version(1))
    queries = [f"common item{item}" for item in range(8)]
    with index.engine.one_state():
        before = index.search_many(queries, k=COUNT, mode=mode)
        written_by_another_thread(index.add, version(2))
        assert index.search_many(queries, k=COUNT, mode=mode) == before
        assert versions(index.rerank("item3", ids=["d1", "d3"])) == {1}
    found = index.search_many(queries, k=COUNT, mode=mode)
    assert [versions(hits) for hits in found] == [{2}] * len(queries)


def test_a_reader_sees_one_state_beside_another_process_like_writer(index, path, word_encoder):
    index.add(version(1))
    with Index.open(path, encoder=word_encoder, read_only=True) as reader:
        with reader.engine.one_state():
            index.add(version(2))  # of another engine: this thread may write there
            assert [versions(hits) for hits in reader.search_many(["item1", "item2"], k=3)] == [{1}, {1}]
        assert versions(reader.search("item1", k=3)) == {2}


def test_many_searches_at_once_on_one_state_get_their_own_answers(index):
    """They share a connection: no search takes the parameters of another."""
    index.add(version(1))
    queries = [f"item{item % COUNT}" for item in range(200)]
    with index.engine.one_state():
        for _ in range(3):
            found = index.search_many(queries, k=1, where={"v": 1})
            assert [hits[0].id for hits in found] == [f"d{item % COUNT}" for item in range(200)]


def test_a_half_read_scan_lets_search_many_go_on(index):
    index.add(version(1))
    with index.engine.one_state():
        documents = index.scan()
        next(documents)
        assert len(index.search_many(["item1", "item2"], k=1)) == 2
        assert len(list(documents)) == COUNT - 1


def test_blocks_may_be_nested(index):
    index.add(version(1))
    with index.engine.one_state():
        with index.engine.one_state():
            written_by_another_thread(index.add, version(2))
            assert len(index.search_many(["item1", "item2"], k=1)) == 2
        assert versions(index.search("item1", k=1)) == {1}
        with pytest.raises(InvalidRequestError, match="one_state"):
            index.add(version(3))
    index.add(version(3))


def test_what_outlives_the_block_reads_the_last_commit(index):
    index.add(version(1))
    with index.engine.one_state():
        context = copy_context()
    index.add(version(2))
    assert versions(context.run(index.search, "item1", 1)) == {2}
    context.run(index.add, version(3))

    async def later():
        await asyncio.sleep(0)
        return await asyncio.to_thread(index.search, "item1", 1)

    async def started_inside():
        with index.engine.one_state():
            task = asyncio.create_task(later())
        return await task

    assert versions(asyncio.run(started_inside())) == {3}


ERRORS = [
    sqlite3.DatabaseError("of the caller"),
    sqlite3.OperationalError("of the caller"),
    OSError("of the caller"),
    KeyboardInterrupt("of the caller"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
class TestErrorsOfTheCaller:
    """They come out as they are, and nothing is changed or held."""

    def check(self, index, error, call):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error
        assert len(index) == COUNT
        index.add([Document("more", id="more")])
        index.delete(["more"])

    def test_in_a_block(self, index, error):
        def call():
            with index.engine.one_state():
                index.search("item1")
                raise error

        index.add(version(1))
        self.check(index, error, call)

    def test_in_a_loop_over_a_scan(self, index, error):
        def call():
            with index.engine.one_state():
                for _ in index.scan():
                    raise error

        index.add(version(1))
        self.check(index, error, call)

    @pytest.mark.parametrize("position", [0, 5, 200])
    def test_in_the_iterable_that_add_reads(self, index, error, position):
        def documents():
            for number in range(position):
                yield f"document {number}"
            raise error

        index.add(version(1))
        self.check(index, error, lambda: index.add(documents()))
        self.check(index, error, lambda: index.add(documents(), replacing={"v": 1}))

    @pytest.mark.parametrize("pooling", [None, 2])
    def test_in_the_encoder(self, path, error, pooling):
        class Failing(WordEncoder):
            fails = False

            def encode_documents(self, texts):
                if self.fails:
                    raise error
                return super().encode_documents(texts)

            encode_queries = encode_documents

        encoder = Failing()
        with Index.open(path, encoder=encoder, pooling=pooling) as index:
            index.add(version(1))

            def searched():
                with index.engine.one_state():
                    index.search("item1")

            for call in (
                lambda: index.add(["more"], replacing={"v": 1}),
                lambda: index.search("item1"),
                lambda: index.search_many(["item1", "item2"], mode="hybrid"),
                lambda: index.rerank("item1", documents=["new"]),
                searched,
            ):
                encoder.fails = True
                with pytest.raises(type(error)) as caught:
                    call()
                assert caught.value is error
                encoder.fails = False
            assert len(index) == COUNT
            index.add(version(2))


def test_damage_is_reported_in_a_block_too(index, path):
    index.add(version(1))
    with sqlite3.connect(path / "catalog.sqlite") as connection:
        connection.execute("DROP TABLE fields")
    connection.close()
    with index.engine.one_state(), pytest.raises(LateInteractionError):
        index.count(where={"v": 1})
