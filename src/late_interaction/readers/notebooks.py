"""Parse Jupyter notebooks into headings and blocks. Outputs are left out: they are made from the cells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from late_interaction.readers import markdown
from late_interaction.readers.blocks import Block, Heading, Outline, split_paragraphs
from late_interaction.readers.decoding import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["outline"]


def outline(text: str) -> Outline:
    """Parse a notebook: its Markdown cells, its code cells as code, and its raw cells as text.

    Raises:
        UnreadableFileError: The text is not a notebook.
    """
    if not text.strip():
        return Outline(title=None, elements=[])
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError):
        raise UnreadableFileError("it is not a Jupyter notebook: it is not JSON") from None
    elements: list[Heading | Block] = []
    for kind, source in _cells(notebook):
        if kind == "markdown":
            elements += markdown.outline(source).elements
        elif kind == "code":
            lines = [line.rstrip() for line in source.split("\n")]
            if any(lines):
                elements.append(Block("\n".join(lines).strip("\n"), verbatim=True))
        else:
            elements += split_paragraphs(source.split("\n"))
    return Outline(title=None, elements=elements)


def _cells(notebook: Any) -> Iterator[tuple[str, str]]:
    """Yield the type and the source of each cell, in notebooks of formats 3 and 4."""
    try:
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        for cell in cells:
            source = cell["source"] if "source" in cell else cell["input"]
            text = source if isinstance(source, str) else "".join(source)
            if cell["cell_type"] == "heading":  # of format 3
                text = f"{'#' * int(cell.get('level', 1))} {text}"
            kind = "markdown" if cell["cell_type"] in ("markdown", "heading") else str(cell["cell_type"])
            yield kind, text.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    except (KeyError, IndexError, TypeError, ValueError):
        raise UnreadableFileError("it is not a Jupyter notebook: its cells are missing or malformed") from None
