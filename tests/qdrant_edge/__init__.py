"""Qdrant's real Rust engine (qdrant-edge-py) behind the interface of the real client, for tests and benchmarks.

`EdgeClient(folder)` answers in this process, without JSON. `serve(folder)` answers through sockets, for a real client.
"""

from .client import EdgeClient
from .serving import Served, serve, shared_server

__all__ = ["EdgeClient", "Served", "serve", "shared_server"]
