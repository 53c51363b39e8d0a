"""The console script ``late-interaction``. Outside the package, whose import takes a while and can be interrupted."""

from __future__ import annotations

import sys

__all__ = ["main"]

_INTERRUPTED = 130  # the exit status of a program that SIGINT ended, as shells report it


def main() -> None:
    """Run the command line. An interrupt ends it without a traceback, also while modules are imported."""
    try:
        from late_interaction.cli import app

        app()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
