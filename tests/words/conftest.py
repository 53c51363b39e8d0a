"""The fixtures of tests of the local engine."""

from tests.engines.conftest import make_directory, root  # noqa: F401
