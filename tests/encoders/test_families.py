"""The table of families: which one a checkpoint belongs to, and what a new row needs."""

from __future__ import annotations

import pytest

from late_interaction import load_encoder
from late_interaction.encoders import families
from late_interaction.encoders.checkpoint import resolve
from late_interaction.encoders.families import Family, find_family
from late_interaction.errors import UnsupportedCheckpointError
from tests.checkpoints import bare_bert
from tests.fakes import WordEncoder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("stanford", "Stanford ColBERT"),
        ("pylate", "PyLate"),
        ("modernbert", "PyLate"),
        ("native", "sentence-transformers multi-vector"),
    ],
)
def test_the_family_of_a_text_checkpoint(name, expected, request):
    assert find_family(resolve(request.getfixturevalue(f"{name}_checkpoint"))).name == expected


def test_the_family_of_a_page_checkpoint(colvision_case):
    assert find_family(resolve(colvision_case.folder)).name == "transformers page-image model"


def test_the_family_of_a_packaged_page_checkpoint(packaged_case):
    assert find_family(resolve(packaged_case.folder)).name == "sentence-transformers multi-vector"


def test_the_family_of_minilm():
    assert find_family(resolve("minilm")).name == "minilm"


@pytest.fixture
def new_family(monkeypatch):
    """A row for checkpoints that no other row matches, and the names of the functions that were called."""
    called = []

    def matches(checkpoint):
        return checkpoint.architectures == ["BertModel"]

    def check(checkpoint):
        called.append("check")

    def load(checkpoint):
        called.append("load")
        return WordEncoder()

    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, Family("new", matches, check, load)))
    return called


def test_a_row_is_all_that_a_new_family_needs(tmp_path, new_family):
    folder = bare_bert(tmp_path / "bert")
    assert type(load_encoder(folder)) is WordEncoder
    assert new_family == ["check", "load"]


def test_trusted_checkpoints_are_not_checked(tmp_path, new_family):
    load_encoder(bare_bert(tmp_path / "bert"), trust_remote_code=True)
    assert new_family == ["load"]


def test_errors_of_the_libraries_become_ours(tmp_path, new_family, monkeypatch):
    def fail(checkpoint):
        raise RuntimeError("shapes do not match")

    [*others, row] = families.FAMILIES
    monkeypatch.setattr(families, "FAMILIES", (*others, Family(row.name, row.matches, None, fail)))
    with pytest.raises(UnsupportedCheckpointError, match="could not be loaded: RuntimeError: shapes do not match"):
        load_encoder(bare_bert(tmp_path / "bert"))
