"""The demo shows the right passages, through both frameworks, without a network."""

from __future__ import annotations

import io
import socket

import pytest
from rich.console import Console

from late_interaction.cli import demo


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the demo used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def test_language_reference_is_whole_and_has_unique_ids():
    documents = demo.language_reference()
    assert len(documents) > 500
    assert len({document.id for document in documents}) == len(documents)
    assert {document.metadata["source"] for document in documents} == set(demo.topics)
    assert all(0 < len(document.text) <= 1000 for document in documents)


def test_demo_answers_through_both_frameworks(monkeypatch, no_network):
    chosen = [document for document in demo.language_reference() if document.metadata["source"] in ("return", "with")]
    monkeypatch.setattr(demo, "language_reference", lambda: chosen)
    output = io.StringIO()
    demo.run(Console(file=output, width=100))
    langchain, llama_index = output.getvalue().split("LangChain: ")[1].split("LlamaIndex: ")
    for shown, hits_per_question in ((langchain, 2), (llama_index, 1)):
        for question in demo.QUESTIONS:
            assert question in shown
        assert shown.count(" · relevance ") == hits_per_question * len(demo.QUESTIONS)
        assert "**return**" in shown  # a matched word, marked because the output is no terminal
