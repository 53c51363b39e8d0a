"""The examples run, on a part of the language reference, and find what they are about."""

from __future__ import annotations

import pydoc_data.topics
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples"
FOUND = {"rerank_single_vectors": "with", "hybrid": "raise", "fusion": "del"}


def test_every_example_is_run():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(FOUND)


@pytest.fixture
def few_topics(monkeypatch):
    """Encoding all of them takes seconds."""
    topics = pydoc_data.topics.topics
    kept = {*sorted(topics)[::4], *FOUND.values()}
    monkeypatch.setattr(pydoc_data.topics, "topics", {topic: topics[topic] for topic in sorted(kept)})


@pytest.mark.usefixtures("few_topics")
@pytest.mark.parametrize("name", FOUND)
def test_runs(name, capsys):
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert FOUND[name] in printed.split()[:12] or f"'{FOUND[name]}'" in printed
