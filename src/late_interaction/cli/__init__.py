"""The command line ``late-interaction``."""

from late_interaction.cli.app import app
from late_interaction.cli.commands import COMMANDS

__all__ = ["app"]

for name, command in COMMANDS.items():
    app.command(name)(command)
