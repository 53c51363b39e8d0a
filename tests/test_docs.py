"""Every Python snippet of the pages in ``docs`` runs. Those of one page run in order, as one program."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(page for page in DOCS.glob("*.md") if "```python\n" in page.read_text("utf-8"))
MODEL, COLBERT = "lightonai/LateOn", "colbert-ir/colbertv2.0"
PRINTED = {
    "engines": ["['nile']", "2", "2"],
    "files": ["3", "docs/rivers.md#0", "'city: Cologne\\nriver: Rhine'", "0", "a"],
    "ragatouille": ["nile"],
    "servers": [
        "['The Nile is a river.']",
        "['Paris is the capital of France.']",
        "['The Elbe flows into the North Sea.']",
        "['Berlin is the capital of Germany.']",
    ],
}


@pytest.fixture
def run_offline(request, tmp_path, monkeypatch):
    """Run the snippets of a page. Models that are downloaded are replaced by a tiny one and by ``minilm``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(page):
        namespace = {"__name__": page.stem}
        for snippet in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL):
            if MODEL in snippet:
                snippet = snippet.replace(f'"{MODEL}"', f'"{request.getfixturevalue("pylate_checkpoint")}"')
            exec(compile(snippet.replace(f'"{COLBERT}"', '"minilm"'), page.name, "exec"), namespace)

    return run


@pytest.fixture
def tiny_task(tmp_path, monkeypatch):
    """Let MTEB have one task, which is in memory, and keep results in a temporary folder."""
    import mteb

    from tests.mteb_tasks import task

    monkeypatch.setattr(sys.modules["mteb.evaluate"]._DEFAULT_CACHE, "cache_path", tmp_path / "cache")
    monkeypatch.setattr(mteb, "get_tasks", lambda **_: [task(["eng"])])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_run(page, run_offline, request, capsys):
    if page.stem == "mteb":
        request.getfixturevalue("tiny_task")
    run_offline(page)
    assert page.stem not in PRINTED or capsys.readouterr().out.splitlines() == PRINTED[page.stem]
