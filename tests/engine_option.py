"""The option ``--engine``: which engine a path opens in the tests of the frameworks."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from pathlib import Path

import pytest

import late_interaction.opening
from late_interaction.engines.registry import open_engine

ENGINES = ("local", "qdrant", "lancedb")


def add_option(parser):
    parser.addoption(
        "--engine",
        choices=ENGINES,
        default="local",
        help="what a path opens in the tests of LangChain and LlamaIndex: the local engine, Qdrant's own engine "
        "behind its client, or LanceDB",
    )


@contextmanager
def paths_open(engine, folder):
    """Open another engine wherever a path is given, so that every way of a framework to open an index leads to it.

    Every path is a collection of a server for Qdrant, and a directory for LanceDB.
    """
    if engine == "local":
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        if engine == "lancedb":
            patch.setattr(late_interaction.opening, "open_engine", _opener(lambda path: (f"lancedb:{path}", {})))
            yield
            return
        from tests.qdrant_edge import serve

        with serve(folder) as served:

            def place(path):
                collection = hashlib.sha256(path.encode()).hexdigest()[:16]
                return f"qdrant+{served.url}/{collection}", {"grpc_port": served.grpc_port}

            patch.setattr(late_interaction.opening, "open_engine", _opener(place))
            yield


def _opener(place):
    """What stands for `open_engine`, with the location and settings for each path."""

    def opened(location, **settings):
        if isinstance(location, str) and ":" in location:
            return open_engine(location, **settings)
        address, added = place(str(Path(location).absolute()))
        return open_engine(address, **settings, **added)

    return opened


@pytest.fixture(autouse=True, scope="module")
def _engine_of_paths(request, tmp_path_factory):
    """For the packages that import it."""
    with paths_open(request.config.getoption("--engine"), tmp_path_factory.mktemp("engine")):
        yield
