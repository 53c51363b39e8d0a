"""Other engines for tests of what is made for the local one: Qdrant's own engine, and LanceDB."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

import late_interaction.opening
from late_interaction import Index
from late_interaction.engines import QdrantEngine
from late_interaction.engines.registry import open_engine
from tests.folders import FAST_DIRECTORY
from tests.qdrant_edge import EdgeClient, serve


@contextmanager
def opened_in_memory(engine, encoder):
    """An empty index of an engine, in memory where there is room for files."""
    with tempfile.TemporaryDirectory(dir=FAST_DIRECTORY) as folder, ExitStack() as stack:
        if engine == "lancedb":
            index = Index.open(f"lancedb:{folder}/index", encoder=encoder)
        else:
            client = stack.enter_context(closing(EdgeClient(folder)))
            index = Index(engine=QdrantEngine(client=client), encoder=encoder)
        yield stack.enter_context(index)


@contextmanager
def paths_open(engine):
    """Open another engine wherever a path is given, so that every way of a framework to open an index leads to it.

    Every path is a collection of a server of Qdrant, and a directory of LanceDB.
    """
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        if engine == "lancedb":
            patch.setattr(late_interaction.opening, "open_engine", _opener(lambda path: (f"lancedb:{path}", {})))
        else:
            served = stack.enter_context(serve(stack.enter_context(tempfile.TemporaryDirectory(dir=FAST_DIRECTORY))))

            def collection_of(path):
                name = hashlib.sha256(path.encode()).hexdigest()[:16]
                return f"qdrant+{served.url}/{name}", {"grpc_port": served.grpc_port}

            patch.setattr(late_interaction.opening, "open_engine", _opener(collection_of))
        yield


def _opener(place):
    """What stands for `open_engine`, with the location and settings for each path."""

    def opened(location, **settings):
        if isinstance(location, str) and ":" in location:
            return open_engine(location, **settings)
        address, added = place(str(Path(location).absolute()))
        return open_engine(address, **settings, **added)

    return opened
