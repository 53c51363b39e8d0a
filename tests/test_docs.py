"""Every Python snippet of the pages in ``docs`` runs. Those of one page run in order, as one program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(page for page in DOCS.glob("*.md") if "```python\n" in page.read_text("utf-8"))
PRINTED = {
    "engines": ["['nile']", "2", "2"],
    "files": ["3", "docs/rivers.md#0", "'city: Cologne\\nriver: Rhine'", "0", "a"],
    "servers": [
        "['The Nile is a river.']",
        "['Paris is the capital of France.']",
        "['The Elbe flows into the North Sea.']",
        "['Berlin is the capital of Germany.']",
    ],
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    namespace = {"__name__": page.stem}
    for snippet in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL):
        exec(compile(snippet, page.name, "exec"), namespace)
    assert page.stem not in PRINTED or capsys.readouterr().out.splitlines() == PRINTED[page.stem]
