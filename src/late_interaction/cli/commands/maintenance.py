"""Commands about an index as a whole: `info`, `verify`, `compact`; and `demo`."""

from __future__ import annotations

import typer
from rich.table import Table
from rich.text import Text

from late_interaction.cli.opening import open_index
from late_interaction.cli.options import AsJson, IndexDirectory
from late_interaction.cli.output import console, show, show_json
from late_interaction.cli.printable import printable

__all__ = ["compact", "demo", "info", "verify"]


def demo() -> None:
    """Ask the Python language reference questions, offline.

    Indexes it in a temporary folder and searches it through LangChain and LlamaIndex.
    """
    from late_interaction.cli.demo import run

    run(console)


def info(directory: IndexDirectory, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Show size and settings of an index.

    Example: late-interaction info my-docs
    """
    with open_index(directory) as opened:
        values = opened.info()
        if as_json:
            show_json(values)
            return
        encoder = values.pop("encoder")
        name = "none" if encoder is None else encoder.get("source") or "custom"
        table = Table(show_header=False, box=None)
        for key, value in {**values, "encoder": name}.items():
            shown = f"{value:,}" if type(value) is int else str(value)  # a bool is no number
            table.add_row(Text(key.replace("_", " ")), Text(printable(shown, one_line=True)))
        console.print(table)


def verify(directory: IndexDirectory, as_json: AsJson = False) -> None:  # noqa: FBT002
    """Check an index against its checksums.

    The exit status is 1 if there are problems.
    """
    with open_index(directory) as opened:
        found = opened.verify()
        if as_json:
            show_json({"ok": bool(found), "problems": list(found.problems)})
        else:
            for problem in found.problems or ("No problems found.",):
                show(problem)
        if not found:
            raise typer.Exit(1)


def compact(directory: IndexDirectory) -> None:
    """Compress an index and reclaim the space of deletions.

    Compresses uncompressed segments and merges all segments into one.
    """
    with open_index(directory, read_only=False) as opened:
        before = opened.info().get("vector_bytes")
        opened.compact()
        after = opened.info().get("vector_bytes")
        if before is None or after is None:  # an engine that does not know
            show("Compacted.")
        else:
            show(f"Size of the vectors: {before / 1e6:,.1f} MB before, {after / 1e6:,.1f} MB now.")
