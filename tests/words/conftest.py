"""Directories in memory, as for the tests of engines."""

from tests.engines.conftest import make_directory, root, tmp_path  # noqa: F401
