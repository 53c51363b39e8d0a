"""docs/engines.md: the table of what each engine does is what the engines declare."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from late_interaction.engines import Capabilities, LanceDBEngine, LocalEngine, QdrantEngine
from late_interaction.filters import OPERATORS

PAGE = (Path(__file__).parents[1] / "docs" / "engines.md").read_text("utf-8")
ROWS = {
    name: values
    for name, *values in re.findall(r"^\| `(\w+)`[^|]* \| (yes|no) \| (yes|no) \| (yes|no) \|$", PAGE, re.MULTILINE)
}
NOT_IN_THE_TABLE = {"max_candidates", "filter_operators", "remote"}
ENGINES = {
    "local": lambda folder: LocalEngine.open(folder / "index", dim=2),
    "Qdrant": lambda folder: QdrantEngine(location=":memory:", dim=2, candidates=500),  # as a server would be searched
    "LanceDB": lambda folder: LanceDBEngine(folder / "database", dim=2),
}


def test_every_capability_has_a_row():
    assert ROWS.keys() == {field.name for field in fields(Capabilities)} - NOT_IN_THE_TABLE


@pytest.mark.parametrize(("place", "name"), list(enumerate(ENGINES)), ids=list(ENGINES))
def test_it_says_what_an_engine_declares(place, name, tmp_path):
    engine = ENGINES[name](tmp_path)
    said = {capability: values[place] == "yes" for capability, values in ROWS.items()}
    assert said == {capability: getattr(engine.capabilities, capability) for capability in ROWS}
    assert engine.capabilities.filter_operators == OPERATORS
    assert engine.capabilities.max_candidates is None
    engine.close()
