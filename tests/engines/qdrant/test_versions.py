"""Servers of other versions."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Document
from late_interaction.engines import Record
from late_interaction.errors import EngineRefusedError, InvalidFilterError
from tests.engines.helpers import DIM
from tests.qdrant_edge.faults import answer


@pytest.fixture
def serve_version(monkeypatch):
    """Sets the version that the server says it has."""
    return lambda version: monkeypatch.setattr("tests.qdrant_edge.server.VERSION", version)


def test_a_server_without_conditional_updates_is_refused(serve_version, open_engine, served):
    serve_version("1.15.5")
    with pytest.raises(EngineRefusedError, match=r"has version 1\.15\.5\. QdrantEngine needs 1\.16 or later"):
        open_engine()
    assert not served.server.names().collections


def test_filters_that_a_server_does_not_know_say_the_version(serve_version, open_engine):
    serve_version("1.19.2")
    engine = open_engine()
    engine.upsert([Record(Document("Nile", id="a", metadata={"year": 2020, "tags": ["x"]}), np.ones((1, DIM)))])
    assert engine.count(where={"year": {"$gte": 2020}}) == 1
    for where in ({"tags": {"$contains": "x"}}, {"$not": {"tags": {"$contains": "x"}}}):
        for method in (engine.check_filter, lambda where: engine.count(where=where)):
            with pytest.raises(InvalidFilterError, match=r"\$contains needs a Qdrant server of version 1\.20"):
                method(where)


@pytest.mark.parametrize("version", ["1.16.0", "1.20.0-dev", "2.0", "unknown", ""])
def test_new_servers_and_unknown_ones_are_used(serve_version, open_engine, version):
    serve_version(version)
    assert open_engine().count() == 0


def test_a_server_that_does_not_say_its_version_is_used(faults, open_engine):
    faults.on("info", answer(503), times=9)
    engine = open_engine()
    assert engine.count(where={"tags": {"$contains": "x"}}) == 0
    assert faults.operations().count("info") == 1
