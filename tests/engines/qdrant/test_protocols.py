"""gRPC where it answers, else REST; what is asked for by name is never replaced."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from late_interaction.engines import QdrantEngine
from late_interaction.engines.qdrant import addresses, client
from late_interaction.errors import EngineRefusedError, EngineUnavailableError, LateInteractionError
from tests.engines.helpers import DIM
from tests.qdrant_edge import serve


@contextmanager
def other_server(status, body):
    """A server of HTTP that is not Qdrant."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_POST = do_GET

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def served(edge_folder):
    with serve(edge_folder) as served:
        yield served


def protocol_of(served, **settings):
    with QdrantEngine(served.url, dim=DIM, **settings) as engine:
        assert engine.count() == 0
        return engine.info()["protocol"]


@pytest.mark.usefixtures("clock")
def test_which_is_used(served, free_tcp_port):
    assert protocol_of(served, grpc_port=served.grpc_port) == "grpc"
    assert protocol_of(served, grpc_port=served.grpc_port, prefer_grpc=False) == "rest"
    assert protocol_of(served, grpc_port=free_tcp_port) == "rest"
    assert protocol_of(served, grpc_port=served.http_port) == "rest"  # it answers, but not by gRPC
    assert protocol_of(served) == "rest"  # of another server, perhaps: Qdrant's own port of gRPC is not tried
    with pytest.raises(EngineUnavailableError, match="cannot be reached"):
        protocol_of(served, grpc_port=free_tcp_port, prefer_grpc=True)


@pytest.mark.usefixtures("clock")
def test_the_usual_ports(served, monkeypatch):
    monkeypatch.setattr(addresses, "REST_PORT", served.http_port)
    monkeypatch.setattr(client, "REST_PORT", served.http_port)
    monkeypatch.setattr(client, "GRPC_PORT", served.grpc_port)
    assert protocol_of(served, grpc_port=served.grpc_port) == "grpc"
    with QdrantEngine(f"http://127.0.0.1:{served.http_port}/", dim=DIM, grpc_port=served.grpc_port) as engine:
        assert engine.info()["protocol"] == "grpc"


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>hello</html>"),
        (200, b"{}"),
        (200, b'{"result": 3}'),
        (404, b"not here"),
        (302, b""),
        (500, b"<html>"),
    ],
    ids=["html", "object", "number", "404", "redirect", "500"],
)
def test_what_is_no_qdrant_server(status, body):
    with other_server(status, body) as url, pytest.raises(LateInteractionError) as caught:
        QdrantEngine(url, dim=DIM)
    assert isinstance(caught.value, EngineUnavailableError if status == 500 else EngineRefusedError)
    assert "\n" not in str(caught.value)
