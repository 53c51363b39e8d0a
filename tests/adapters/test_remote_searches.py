"""How many searches run at a time: over an engine on another machine as many as are asked, over others two."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time

import pytest

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine
from tests.adapters.conftest import TEXTS
from tests.fakes import WordEncoder

AT_ONCE, SECONDS = 32, 0.05


class Slow(LocalEngine):
    """Takes 50 ms a search, as over a network, and notes how many run at a time."""

    remote = False
    running = most = 0
    lock = threading.Lock()

    @property
    def capabilities(self):
        return dataclasses.replace(super().capabilities, remote=self.remote)

    def search(self, *args, **kwargs):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(SECONDS)
        with self.lock:
            self.running -= 1
        return super().search(*args, **kwargs)


class Remote(Slow):
    """The same on another machine."""

    remote = True


@pytest.fixture
def opened(tmp_path):
    def opened(kind):
        index = Index(engine=kind.open(tmp_path / kind.__name__, dim=16), encoder=WordEncoder())
        index.add(Document(text, id=name) for name, text in TEXTS.items())
        index.warm_up()
        index.engine.most = 0
        indexes.append(index)
        return index

    indexes = []
    yield opened
    for index in indexes:
        index.close()


async def timed(calls):
    start = time.perf_counter()
    found = await asyncio.gather(*calls)
    return time.perf_counter() - start, found


async def test_remote(framework, opened):
    index = opened(Remote)
    chain = framework(index)
    queries = [f"river {number}" for number in range(AT_ONCE)]
    await timed(map(chain.aretrieve, queries))  # threads are started, torch is imported
    seconds, found = await timed(map(chain.aretrieve, queries))
    assert seconds < 0.5
    assert index.engine.most > AT_ONCE / 2
    assert found == [chain.retrieve(query) for query in queries]


async def test_local(framework, opened):
    index = opened(Slow)
    await timed(map(framework(index).aretrieve, ["a", "b", "c", "d", "e"]))
    assert index.engine.most <= 2


async def test_remote_searches_do_not_wait_for_local_ones(framework, opened):
    local, remote = framework(opened(Slow)), framework(opened(Remote))
    waiting = [asyncio.create_task(local.aretrieve("nile")) for _ in range(12)]
    await asyncio.sleep(0)
    seconds, _ = await timed([remote.aretrieve("nile")])
    assert seconds < 0.25
    await asyncio.gather(*waiting)
