"""Output of the commands: results, errors, usage errors and log messages, without markup or control characters.

Results go to standard output and everything else to standard error.
"""

from __future__ import annotations

import io
import logging
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text
from tqdm import tqdm
from typer.core import TyperGroup

from late_interaction.cli.printable import printable, to_json
from late_interaction.errors import LateInteractionError, TruncationWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Commands",
    "console",
    "describe",
    "from_here",
    "is_watched",
    "note",
    "show",
    "show_json",
    "show_json_line",
    "show_skipped",
]

# Most strings shown come from documents or users, so rich must not interpret markup, emoji codes or highlighting.
console = Console(markup=False, emoji=False, highlight=False)
errors = Console(stderr=True, markup=False, emoji=False, highlight=False)

_INTERRUPTED = 130  # the exit status of a program that SIGINT ended, as shells report it

# Some versions of typer bundle click, others use the installed one.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


class Commands(TyperGroup):
    """The group of commands. Expected errors are shown in one line, and all control characters are escaped."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # for terminals without Unicode
        with _log_shown():
            return super().main(*args, **options)

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Parse the options before the command."""
        with _usage_errors_made_printable():
            return super().make_context(*args, **options)

    def invoke(self, *args: Any, **options: Any) -> Any:
        """Parse the arguments of the command and run it."""
        with _usage_errors_made_printable(), _errors_shown():
            return super().invoke(*args, **options)


def show(line: str) -> None:
    """Print one line. Only the terminal wraps it."""
    console.print(Text(printable(line, one_line=True)), soft_wrap=True)


def note(line: str) -> None:
    """Print one line to standard error: what is worth knowing and is not a result."""
    _print_error(Text(printable(line, one_line=True)))


def show_skipped(path: Path, reason: str) -> None:
    """Report a file or folder that is skipped."""
    note(f"Skipped {from_here(path)}: {reason}")


def is_watched() -> bool:
    """Return whether standard error is a terminal, so that a progress bar can be drawn and redrawn."""
    return sys.stderr.isatty()


def describe(error: Exception) -> str:
    """Return what an error says; of one of the operating system, the file and the reason without the number."""
    if isinstance(error, OSError) and not isinstance(error, LateInteractionError) and error.strerror:
        place = "" if error.filename is None else f"{error.filename}: "
        return f"{place}{error.strerror}."
    return str(error)


def show_json(values: Any) -> None:
    """Print values as JSON, such that a round trip returns them unchanged."""
    typer.echo(to_json(values, sys.stdout.encoding))


def show_json_line(value: Any) -> None:
    """Print a value as JSON in one line, such that a round trip returns it unchanged."""
    typer.echo(to_json(value, sys.stdout.encoding, indent=None))


def from_here(path: Path) -> Path:
    """Return the path relative to the current folder if it is below it, else unchanged."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


@contextmanager
def _errors_shown() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # typer ends the program silently
        raise
    except (LateInteractionError, OSError) as error:
        message = Text.assemble(("Error: ", "bold red"), printable(describe(error), one_line=True))
        _print_error(message)
        raise typer.Exit(1) from None
    except KeyboardInterrupt as interrupt:
        note(str(interrupt) or "Interrupted.")
        raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def _usage_errors_made_printable() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        error.message = printable(error.message, one_line=True)  # type: ignore[attr-defined]  # of click
        raise


@contextmanager
def _log_shown() -> Iterator[None]:
    """Show log messages and warnings, including those of libraries, in the same way as errors."""
    root = logging.getLogger()
    handler = _Shown(logging.WARNING)
    root.addHandler(handler)
    logging.captureWarnings(True)
    formatted = warnings.formatwarning
    warnings.formatwarning = _without_place
    try:
        yield
    finally:
        warnings.formatwarning = formatted
        logging.captureWarnings(False)
        root.removeHandler(handler)


def _without_place(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning: one about the user's texts without the line of code that gave it."""
    if issubclass(category, TruncationWarning):
        return f"Warning: {message}"
    return f"{filename}:{lineno}: {category.__name__}: {message}"


class _Shown(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _print_error(Text(printable(self.format(record))))


def _print_error(text: Text) -> None:
    with tqdm.external_write_mode(file=sys.stderr):  # above a progress bar, not in it
        errors.print(text, soft_wrap=True)
