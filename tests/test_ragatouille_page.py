"""`docs/ragatouille.md` names everything that RAGatouille offers, and what it says is ours exists with these arguments.

``store_surfaces/ragatouille.json`` holds the public classes and functions of RAGatouille 0.0.9.post2 and the parameters
of their methods, read from its source (the constructor under the name of the class).
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from late_interaction import Document, Index, load_encoder
from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever
from late_interaction.readers import read_paths, split_document, split_text

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "ragatouille.md").read_text("utf-8")
THEIRS = json.loads((TESTS / "store_surfaces" / "ragatouille.json").read_text("utf-8"))
SECTIONS = {  # the title of a section, and the classes and functions it is about
    "RAGPretrainedModel": ["RAGPretrainedModel"],
    "LangChain classes": ["RAGatouilleLangChainRetriever", "RAGatouilleLangChainCompressor"],
    "Texts into passages": [
        *("CorpusProcessor", "llama_index_sentence_splitter", "get_wikipedia_page", "seeded_shuffle"),
    ],
    "RAGTrainer": ["RAGTrainer"],
    "Training data and negative miners": ["TrainingDataProcessor", "HardNegativeMiner", "SimpleMiner"],
}
OURS = {
    each.__name__: each
    for each in (
        *(Document, load_encoder, read_paths, split_document, split_text),
        *(LateInteractionReranker, LateInteractionRetriever),
    )
}
CALL = re.compile(r"([\w.]+)\((.*)\)")


class Row(NamedTuple):
    theirs: list[str]
    ours: list[str]
    ours_as_written: str
    reason: str


def rows(section):
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [
        Row(code(theirs), code(ours), ours, reason) for theirs, ours, reason in cells if theirs not in ("theirs", "---")
    ]


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


def call(text):
    match = CALL.fullmatch(text)
    return (match[1], match[2].split(", ") if match[2] else []) if match else (text, [])


def methods(section):
    """The methods that a section has to name, with the parameters of all of that name."""
    found = {}
    for name in SECTIONS[section]:
        for method, parameters in THEIRS[name].items():
            found.setdefault(method, set()).update(parameters)
    return found


def ours(name):
    return getattr(Index, name.removeprefix("Index.")) if name.startswith("Index.") else OURS[name]


ROWS = [(section, row) for section in SECTIONS for row in rows(section)]


def test_every_class_has_a_section():
    assert {name for names in SECTIONS.values() for name in names} == THEIRS.keys()


@pytest.mark.parametrize("section", SECTIONS)
def test_everything_of_theirs_is_named_and_nothing_else(section):
    spans = [span for row in rows(section) for span in row.theirs]
    shared = {span.removesuffix("=") for span in spans if span.endswith("=")}
    named = {}
    for name, arguments in (call(span) for span in spans if not span.endswith("=")):
        named.setdefault(name, set()).update(arguments)
    expected = methods(section)
    assert named.keys() == expected.keys()
    assert shared <= set().union(*expected.values())
    for name, parameters in expected.items():
        assert named[name] <= parameters
        assert parameters <= named[name] | shared, name


@pytest.mark.parametrize(("section", "row"), ROWS, ids=[f"{section}-{row.theirs[0][:40]}" for section, row in ROWS])
def test_what_is_ours_exists_with_these_arguments(section, row):
    assert bool(row.ours) != (row.ours_as_written == "none")
    assert row.ours or row.reason, f"{section}: {row.theirs} has nothing of ours, and no reason"
    for name, given in map(call, row.ours):
        found = ours(name)
        parameters = getattr(found, "model_fields", None) or inspect.signature(found).parameters
        assert set(given) <= set(parameters), name
