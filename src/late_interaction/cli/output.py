"""What the commands print, and how errors, usage errors and log messages are shown: literally and printable."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from late_interaction.cli.printable import printable, to_json
from late_interaction.errors import LateInteractionError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Commands", "console", "from_here", "show", "show_json", "show_skipped"]

# Markup, emoji codes and highlighting are for strings of the program's own, and most that are shown are not.
console = Console(markup=False, emoji=False, highlight=False)
errors = Console(stderr=True, markup=False, emoji=False, highlight=False)

# typer brings a click of its own in some versions, and uses the one that is installed in others.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class Commands(TyperGroup):
    """The commands. Errors that are made for people are one line, and nothing controls the terminal."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # for terminals that are not Unicode
        with _log_shown():
            return super().main(*args, **options)

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Read the options before the command."""
        with _usage_errors_made_printable():
            return super().make_context(*args, **options)

    def invoke(self, *args: Any, **options: Any) -> Any:
        """Read the arguments of the command, and execute it."""
        with _usage_errors_made_printable(), _errors_shown():
            return super().invoke(*args, **options)


def show(line: str) -> None:
    """Print a line, which the terminal alone wraps."""
    console.print(Text(printable(line, one_line=True)), soft_wrap=True)


def show_skipped(path: Path, reason: str) -> None:
    """Report a file or folder that is skipped."""
    errors.print(Text(printable(f"Skipped {from_here(path)}: {reason}", one_line=True)), soft_wrap=True)


def show_json(values: Any) -> None:
    """Print JSON that reads back as exactly the values."""
    typer.echo(to_json(values, sys.stdout.encoding))


def from_here(path: Path) -> Path:
    """Return the path as it is from the current folder, if it is in it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@contextmanager
def _errors_shown() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # typer ends the program silently
        raise
    except (LateInteractionError, OSError) as error:
        message = Text.assemble(("Error: ", "bold red"), printable(str(error), one_line=True))
        errors.print(message, soft_wrap=True)
        raise typer.Exit(1) from None


@contextmanager
def _usage_errors_made_printable() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        error.message = printable(error.message, one_line=True)  # type: ignore[attr-defined]  # of click
        raise


@contextmanager
def _log_shown() -> Iterator[None]:
    """Show log messages and warnings, of libraries too, in the same way as errors."""
    root = logging.getLogger()
    handler = _Shown(logging.WARNING)
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)


class _Shown(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        errors.print(Text(printable(self.format(record))), soft_wrap=True)
