"""Every example in a docstring runs and shows what it says. ``tmp`` in an example is an empty directory."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import late_interaction

MODULES = [
    module.name
    for module in pkgutil.walk_packages(late_interaction.__path__, "late_interaction.")
    if module.name != "late_interaction.cli"
]
FINDER = doctest.DocTestFinder(exclude_empty=True)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name, tmp_path):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for example in FINDER.find(module, extraglobs={"tmp": tmp_path}):
        runner.run(example)
    assert runner.failures == 0


def test_there_are_examples_for_what_users_meet_first():
    shown = {
        example.name.removeprefix("late_interaction.")
        for name in MODULES
        for example in FINDER.find(importlib.import_module(name))
        if example.examples
    }
    assert {
        "index.Index",
        "documents.Document",
        "encoders.loading.load_encoder",
        "filters.parse.parse",
        "engines.local.engine.LocalEngine",
        "langchain.retrievers.LateInteractionRetriever",
        "langchain.vectorstores.LateInteractionVectorStore",
        "llama_index.indices.LateInteractionIndex",
    } <= shown
