"""Paths that the operating system or the encoding of names refuses: errors of this package, from `copy` too."""

from __future__ import annotations

import os

import pytest

from late_interaction import Index
from late_interaction.engines import LocalEngine
from late_interaction.errors import LateInteractionError
from tests.engines.forked import tree
from tests.engines.helpers import DIM
from tests.engines.test_local_foreign_files import PLACES, place, refused  # noqa: F401  # a fixture
from tests.fakes import WordEncoder

pytestmark = pytest.mark.skipif(os.name == "nt", reason="symlinks and names of POSIX")

CHANGING = {"source/catalog.sqlite-wal", "source/catalog.sqlite-shm"}


@pytest.mark.parametrize("place", [*PLACES, "a\ud800b"], indirect=True)
def test_a_copy_to_a_path_where_no_index_can_be(tmp_path, place):  # noqa: F811
    with LocalEngine.open(tmp_path / "source", dim=DIM) as engine:
        before = set(tree(tmp_path)) - CHANGING
        with pytest.raises(LateInteractionError):
            engine.copy(place)
        assert set(tree(tmp_path)) - CHANGING == before


@pytest.mark.parametrize("place", ["a\ud800b", "\udfff/index"], indirect=True)
def test_a_path_that_is_not_of_the_file_system(tmp_path, place):  # noqa: F811
    """A lone surrogate cannot be encoded."""
    refused(place, tmp_path)
    with pytest.raises(LateInteractionError):
        Index.open(place, encoder=WordEncoder(), read_only=True)
