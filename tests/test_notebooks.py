"""The notebooks run from top to bottom, offline, and say what their text promises."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.fixture
def quickstart(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook = nbformat.read(NOTEBOOKS / "quickstart.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    return notebook


def outputs_of(notebook, source):
    """What the cell with this source text prints and shows."""
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source)
    printed = "".join(output.get("text", "") for output in cell.outputs if output.get("name") != "stderr")
    shown = [output.data for output in cell.outputs if "data" in output]
    return printed + "".join(data["text/plain"] for data in shown), "".join(data.get("text/html", "") for data in shown)


def test_quickstart_shows_hits_and_highlights_in_both_frameworks(quickstart):
    assert re.search(r"<th[^>]*>documents</th><td[^>]*>5</td>", outputs_of(quickstart, "index.add(")[1])
    plain, table = outputs_of(quickstart, 'most often?", k=2')
    assert plain.startswith("[Hit(score=")
    assert re.findall("<b>(.*?)</b>", table)[0] == "etna"
    assert outputs_of(quickstart, "sunrise on the summit")[0].startswith("fuji ")
    assert outputs_of(quickstart, "index.rerank")[0].startswith("['fuji', ")
    assert outputs_of(quickstart, "LateInteractionReranker(")[0].startswith("mont-blanc ")
    assert outputs_of(quickstart, "as_query_engine(")[0].startswith("kilimanjaro ")
    assert outputs_of(quickstart, "index.close()")[0] == "3 documents; verified\n"
    for question, word in (
        ('"Which volcano erupts most often?", "etna")', "erupts"),
        ("index.explain(question, best.id)", "hut"),
        ('index.explain("Where is the snow disappearing?"', "snows"),
    ):
        assert f">{word}</mark>" in outputs_of(quickstart, question)[1]


def test_notebooks_are_committed_without_outputs():
    for path in NOTEBOOKS.glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert not [cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count")], path
