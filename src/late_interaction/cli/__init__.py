"""The command line ``late-interaction``."""

from late_interaction.cli.commands import app

__all__ = ["app"]
