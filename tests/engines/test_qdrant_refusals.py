"""What a server refuses, and what is not one, in sentences that say what to do."""

from __future__ import annotations

import warnings
from contextlib import suppress

import httpx
import pytest
from qdrant_client.http.exceptions import UnexpectedResponse

from late_interaction import Index
from late_interaction.engines import QdrantEngine
from late_interaction.engines.qdrant.addresses import parse_location
from late_interaction.engines.qdrant.failures import translated
from late_interaction.errors import EngineRefusedError, EngineUnavailableError, IndexNotFoundError
from tests.engines.qdrant_engines import connect
from tests.fakes import WordEncoder
from tests.qdrant_edge import serve
from tests.qdrant_edge.conftest import edge_folder  # noqa: F401  # a fixture

KEY = "s3cret-k3y"


def test_a_url_below_which_there_is_no_server(edge_folder):  # noqa: F811
    with serve(edge_folder) as served, pytest.raises(EngineRefusedError, match="Check the address"):
        Index.open(f"qdrant+{served.url}/collections/x", dim=2)


def test_a_missing_collection_that_is_opened_to_read(edge_folder):  # noqa: F811
    with (
        serve(edge_folder) as served,
        connect(served, read_only=True) as engine,
        pytest.raises(IndexNotFoundError, match="no collection"),
    ):
        Index(engine=engine, encoder=WordEncoder(16))


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", 0), ("127.0.0.2", 1)])
def test_a_key_without_tls_is_warned_of_unless_the_host_is_this_machine(edge_folder, host, warned):  # noqa: F811
    with serve(edge_folder, api_key=KEY) as served, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with suppress(EngineUnavailableError):
            QdrantEngine(f"http://{host}:{served.http_port}", api_key=KEY, dim=2, timeout=1).close()
    assert len([one for one in caught if "insecure" in str(one.message)]) == warned


def test_a_filter_that_strict_mode_refuses():
    content = b'{"status":{"error":"Bad request: Index required but not found for \\"filter.values.n.numbers\\""}}'
    refusal = UnexpectedResponse(400, "Bad Request", content, httpx.Headers())
    error = translated(refusal, parse_location("qdrant+http://localhost:6333/x"))
    assert isinstance(error, EngineRefusedError)
    assert "filter.values.n.numbers" in str(error)
    assert "create_payload_index" in str(error)
