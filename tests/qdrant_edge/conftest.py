"""Clients to compare, and a folder in memory: a collection is given back after the test."""

import tempfile
import warnings

import pytest
from qdrant_client import QdrantClient

from tests.folders import FAST_DIRECTORY
from tests.qdrant_edge import EdgeClient, serve


@pytest.fixture
def edge_folder():
    with tempfile.TemporaryDirectory(dir=FAST_DIRECTORY) as folder:
        yield folder


@pytest.fixture(params=["in process", "http", "grpc"])
def client(request, edge_folder):
    if request.param == "in process":
        client = EdgeClient(edge_folder)
        yield client
        client.close()
        return
    with serve(edge_folder) as served:
        client = served.client(prefer_grpc=request.param == "grpc")
        yield client
        client.close()


@pytest.fixture
def local():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it ignores payload indexes
        client = QdrantClient(":memory:")
        yield client
        client.close()
