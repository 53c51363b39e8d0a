"""The same random calls to the engine, in process and over both wires, and to the client's own local mode."""

import pytest

from tests.qdrant_edge.comparing import comparable, prepare
from tests.qdrant_edge.random_calls import RandomCalls


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 40))])
def test_random_calls_have_the_results_of_local_mode(client, local, seed):
    calls = RandomCalls(seed)
    for each in (client, local):
        prepare(each)
    for _ in range(30):
        write, arguments = calls.write()
        getattr(local, write)("docs", **arguments)
        getattr(client, write)("docs", **arguments)
        for _ in range(5):
            read, arguments = calls.read()
            expected, found = (getattr(each, read)("docs", **arguments) for each in (local, client))
            if read == "retrieve":  # in no order
                expected, found = (sorted(each, key=lambda record: str(record.id)) for each in (expected, found))
            assert comparable(found) == comparable(expected), (read, arguments)
