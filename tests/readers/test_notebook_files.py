"""Jupyter notebooks: the cells, and not their outputs."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbformat import v3, v4

from late_interaction.readers import read_paths, split_document

OUTPUT = v4.new_output("stream", text="4711\n")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_cells():
    notebook = v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# Rivers\n\nThe *Rhine*.\n\n## Data"),
            v4.new_code_cell("import csv\n\n\nprint(4 * 4)\n", outputs=[OUTPUT]),
            v4.new_markdown_cell("### Plots"),
            v4.new_raw_cell("Raw."),
            v4.new_code_cell(""),
        ]
    )
    nbformat.write(notebook, "a.ipynb")
    documents = list(read_paths(["a.ipynb"]))
    assert [(d.text, d.encoded_text) for d in documents] == [
        ("The *Rhine*.", "Rivers\nThe *Rhine*."),
        ("import csv\n\n\nprint(4 * 4)", "Rivers > Data\nimport csv\n\n\nprint(4 * 4)"),
        ("Raw.", "Rivers > Data > Plots\nRaw."),
    ]


def test_format_3():
    cells = [v3.new_heading_cell("Rivers", level=1), v3.new_code_cell("x = 1"), v3.new_text_cell("markdown", "Text.")]
    text = v3.writes_json(v3.new_notebook(worksheets=[v3.new_worksheet(cells=cells)]))
    assert [d.encoded_text for d in split_document(text, source="a", suffix=".ipynb")] == ["Rivers\nx = 1\n\nText."]


@pytest.mark.parametrize("content", ["", " \n", json.dumps(v4.new_notebook())])
def test_without_cells(content):
    Path("a.ipynb").write_text(content)
    assert list(read_paths(["a.ipynb"])) == []


@pytest.mark.parametrize(
    "content", ["{", "[]", "3", "{}", '{"cells": 3}', '{"cells": [{"source": [3], "cell_type": "code"}]}', "[" * 99_999]
)
def test_what_is_not_a_notebook_is_skipped(content):
    Path("a.ipynb").write_text(content)
    skipped = []
    assert list(read_paths(["a.ipynb"], on_skip=lambda _, reason: skipped.append(reason))) == []
    assert [reason[:31] for reason in skipped] == ["it is not a Jupyter notebook: i"]
