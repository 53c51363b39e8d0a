"""Any thread may call: what many threads get is what one gets."""

from __future__ import annotations

import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from late_interaction import load_encoder
from tests.encoders.conftest import encode
from tests.encoders.texts import TEXTS

JOBS = 300
THREADS = 8


@pytest.fixture
def hasty_switches():
    """Threads take turns often, so that shared state shows."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("kind", ["stanford", "modernbert"])
def test_concurrent_calls_give_what_sequential_calls_give(kind, request, hasty_switches):
    encoder = load_encoder(request.getfixturevalue(f"{kind}_checkpoint"))
    drawn = random.Random(11)
    # Long texts, because how much of them is read is state that queries and documents change in turn.
    texts = [*TEXTS.values(), *(f"word {number} " * 8 * number for number in range(12))]
    jobs = [
        (
            drawn.choice(["encode", "spans"]),
            drawn.choice(["query", "document"]),
            drawn.choices(texts, k=drawn.randint(1, 3)),
        )
        for _ in range(JOBS)
    ]

    def run(job):
        kind, task, some = job
        return encode(encoder, some, task) if kind == "encode" else [encoder.token_spans(text, task) for text in some]

    expected = [run(job) for job in jobs]
    start = threading.Barrier(THREADS)

    def worker(first):
        start.wait()
        return [(at, run(jobs[at])) for at in range(first, JOBS, THREADS)]

    with ThreadPoolExecutor(THREADS) as pool:
        results = dict(pair for pairs in pool.map(worker, range(THREADS)) for pair in pairs)
    assert sorted(results) == list(range(JOBS))
    for at, (what, _, _) in enumerate(jobs):
        if what == "spans":
            assert results[at] == expected[at]
            continue
        assert [vectors.shape for vectors in results[at]] == [vectors.shape for vectors in expected[at]]
        for one, other in zip(results[at], expected[at], strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_a_query_does_not_wait_for_a_long_indexing_run(stanford_checkpoint):
    """The lock is given up between batches: a query gets its turn while documents are still being encoded."""
    from late_interaction.encoders import TextEncoder

    encoder = load_encoder(stanford_checkpoint)
    small = TextEncoder(encoder._model, batch_tokens=200)
    finished = []
    started = threading.Event()
    handle = encoder._model[0].register_forward_pre_hook(lambda module, inputs: started.set())

    def index():
        small.encode_documents(["a passage of quite some words " * 30] * 150)
        finished.append("documents")

    indexing = threading.Thread(target=index)
    try:
        indexing.start()
        assert started.wait(30)
        small.encode_queries(["quick"])
        finished.append("query")
        indexing.join()
    finally:
        handle.remove()
    assert finished == ["query", "documents"]
