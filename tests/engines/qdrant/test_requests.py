"""How many requests an operation is, and how large they are.

In a collection of fewer documents than the sample for relevance has, a search is two requests more.
"""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.engines import Record
from late_interaction.engines.qdrant import writing
from late_interaction.errors import EngineRefusedError, PartialWriteError
from tests.engines.helpers import unit_vectors
from tests.fakes import WordEncoder
from tests.qdrant_edge import http_server

LIMIT = 32 * 2**20  # bytes of a request over HTTP that a server takes


@pytest.fixture
def index(open_engine, faults):
    encoder = WordEncoder()
    index = Index(engine=open_engine(dim=encoder.dim, candidates=5), encoder=encoder)
    index.add([Document(f"word{number} of many", id=f"d{number}", metadata={"n": number}) for number in range(130)])
    for mode in ("late", "lexical"):
        index.search("word1 many", k=3, mode=mode)  # what is known for a minute, and a sample for relevance
    faults.clear()
    return index


def test_requests_of_each_operation(index, faults):
    def requests(call):
        faults.clear()
        call()
        return faults.operations()

    assert requests(lambda: index.search("word1 many", k=3)) == ["query_points", "retrieve"]
    assert requests(lambda: index.search("word1 many", k=3, where={"n": {"$gte": 1}})) == ["query_points", "retrieve"]
    lexical = requests(lambda: index.search("word1 many", k=3, mode="lexical"))
    assert lexical == ["query_points", "query_batch_points", "retrieve"]  # the second for relevance
    hybrid = requests(lambda: index.search("word1 many", k=3, mode="hybrid"))
    assert hybrid == ["query_points", "query_points", "retrieve"]
    assert requests(lambda: index.get(["d1", "d2"])) == ["retrieve"]
    assert requests(lambda: index.count(where={"n": 3})) == ["count"]
    assert requests(lambda: list(index.scan(where={"n": {"$lt": 50}}))) == ["scroll"]
    assert requests(lambda: index.explain("word1", "d1")) == ["retrieve"]
    assert requests(lambda: index.delete(ids=["d1"])) == ["count", "delete"]
    update = ["retrieve", "batch_update_points", "retrieve"]
    assert requests(lambda: index.update(["d2"], metadata={"n": 1})) == update
    new_field = requests(lambda: index.update(["d2"], metadata={"new": 1}))
    assert new_field == ["retrieve", "create_payload_index", "batch_update_points", "retrieve"]
    assert requests(lambda: index.update(["d3"], metadata={"new": 1})) == update
    fresh = [Document(f"fresh word{number}", id=f"f{number}") for number in range(100)]
    assert [one for one in requests(lambda: index.add(fresh)) if one != "retrieve"] == ["upsert"]
    faults.clear()
    index.add(fresh)
    assert len(faults.seen) <= 5, faults.operations()


@pytest.mark.slow
def test_pages_are_in_requests_below_the_limit(open_engine, faults):
    vectors = np.round(unit_vectors(1, 1030, 128), 7)
    pages = [Record(Document(f"page {number}", id=f"p{number}"), vectors) for number in range(14)]
    engine = open_engine(dim=128)
    faults.clear()
    assert len(engine.upsert(pages)) == 14
    sizes = [seen.size for seen in faults.seen if seen.operation == "upsert"]
    assert max(sizes) < LIMIT / 3
    assert 2 <= len(sizes) <= 4
    assert len(engine.vectors([f"p{number}" for number in range(14)])) == 14


@pytest.mark.parametrize("protocol", ["rest"])
def test_a_document_beyond_the_limit_is_refused(open_engine, stored, faults, monkeypatch):
    monkeypatch.setattr(http_server, "MAX_BODY_BYTES", 2**20)
    monkeypatch.setattr(writing, "_BATCH_BYTES", 2**18)
    engine = open_engine(dim=128)
    small = [Record(Document(name, id=name), unit_vectors(2, 2, 128)) for name in ("before", "after")]
    faults.clear()
    with pytest.raises(PartialWriteError, match="too large") as caught:
        engine.upsert([small[0], Record(Document("large", id="large"), unit_vectors(2, 1_100, 128)), small[1]])
    assert isinstance(caught.value.__cause__, EngineRefusedError)
    assert (caught.value.written, caught.value.not_written) == (("before",), ("large", "after"))
    assert faults.operations().count("upsert") == 2
    assert stored.documents().keys() == {"before"}
