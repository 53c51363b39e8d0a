"""A folder in memory: a collection takes 10 MB there, which is given back after the test."""

import tempfile

import pytest

from tests.engines.helpers import FAST_DIRECTORY


@pytest.fixture
def edge_folder():
    with tempfile.TemporaryDirectory(dir=FAST_DIRECTORY) as folder:
        yield folder
