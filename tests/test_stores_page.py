"""`docs/stores.md` names everything that other stores offer, and what it says is ours exists with that signature.

`store_surfaces/` holds what other packages offer: the parameters of the public methods of their store (the constructor
under the name of the class), read from their source, and the other names in their ``__all__``.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from late_interaction import Index

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "stores.md").read_text("utf-8")
SECTIONS = {  # the title of a section, and the package it is about
    "LangChain": "late_interaction.langchain",
    "LlamaIndex": "late_interaction.llama_index",
}
STORE = "LateInteractionVectorStore"
NONE = "none"
CALL = re.compile(r"([\w.]+)\((.*)\)")


class Row(NamedTuple):
    """A row of a table; in ``theirs`` and ``ours`` the code alone."""

    theirs: list[str]
    of: list[str]
    ours: list[str]
    ours_as_written: str
    reason: str


def rows(section):
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [
        Row(code(theirs), of.split(", "), code(ours), ours, reason)
        for theirs, of, ours, reason in cells
        if theirs not in ("theirs", "---")
    ]


def code(cell):
    return re.findall(r"`([^`]+)`", cell)


def call(text):
    """Return the name and the arguments of a call as the page writes it; no arguments for a name alone."""
    match = CALL.fullmatch(text)
    return (match[1], match[2].split(", ") if match[2] else []) if match else (text, None)


ROWS = [(section, row) for section in SECTIONS for row in rows(section)]


def surfaces(section):
    """What the stores of a section have: by package, the parameters of each method."""
    name = SECTIONS[section].rpartition(".")[2]
    return json.loads((TESTS / "store_surfaces" / f"{name}.json").read_text("utf-8"))


def store_of(section):
    return getattr(importlib.import_module(SECTIONS[section]), STORE)


def ours(section, name):
    """Return what the page names as ours: the store itself, a method of it, or one of `Index`."""
    if name.startswith("Index."):
        return getattr(Index, name.removeprefix("Index."))
    return store_of(section) if name == STORE else getattr(store_of(section), name)


@pytest.mark.parametrize("section", SECTIONS)
def test_everything_of_theirs_is_named(section):
    for package, methods in surfaces(section).items():
        spans = [span for row in rows(section) if package in row.of for span in row.theirs]
        shared = {span.removesuffix("=") for span in spans if span.endswith("=")}
        named = {}
        for name, arguments in map(call, spans):
            named.setdefault(name, set()).update(arguments or ())
        for method, arguments in methods.items():
            assert method in named, f"{package}: {method} has no row"
            missing = set(arguments) - named[method] - shared
            assert not missing, f"{package}: {method} has also {sorted(missing)}"


@pytest.mark.parametrize("section", SECTIONS)
def test_nothing_is_named_that_they_do_not_have(section):
    theirs = surfaces(section)
    for row in rows(section):
        methods = [(name, given) for package in row.of for name, given in theirs[package].items()]
        for span in row.theirs:
            name, given = call(span)
            if span.endswith("="):
                assert any(span.removesuffix("=") in arguments for _, arguments in methods), span
            else:
                arguments = [arguments for method, arguments in methods if method == name]
                assert arguments, span
                assert set(given or ()) <= {each for one in arguments for each in one}, span


@pytest.mark.parametrize(("section", "row"), ROWS, ids=[f"{section}-{row.theirs[0][:40]}" for section, row in ROWS])
def test_what_is_ours_exists_with_that_signature(section, row):
    assert bool(row.ours) != (row.ours_as_written == NONE)
    assert row.ours or row.reason, f"{row.theirs} has nothing of ours, and no reason"
    for name, given in map(call, row.ours):
        if given is None:
            assert name in ("index", "client"), f"{name} is neither a call nor an attribute that a store has"
            continue
        parameters = inspect.signature(ours(section, name)).parameters.values()
        names = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD and each.name != "self"]
        if name.startswith("Index."):
            assert set(given) <= set(names)
        elif given[-1:] == ["…"]:
            assert given[:-1] == names
            assert any(each.kind is each.VAR_KEYWORD for each in parameters)
        else:
            assert given == names


@pytest.mark.parametrize("section", SECTIONS)
def test_every_method_of_ours_has_an_asynchronous_twin(section):
    methods = {call(span)[0] for row in rows(section) for span in row.ours} - {STORE, "index", "client"}
    for name in methods:
        if not name.startswith("Index."):
            twin = "async_add" if name == "add" else f"a{name}"  # LlamaIndex's name for it
            assert inspect.iscoroutinefunction(ours(section, twin)), name
