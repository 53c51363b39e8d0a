"""The setting `language=` of a new index, from `Index.open` and the command line to what is found."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from late_interaction import Index
from late_interaction.cli import app
from late_interaction.engines import LocalEngine
from late_interaction.errors import InvalidRequestError
from tests.engines.helpers import DIM, record
from tests.fakes import WordEncoder


def found(engine, query):
    return {match.id for match in engine.search_lexical(query, 10)}


@pytest.mark.parametrize(
    ("language", "houses", "running"),
    [("default", set(), {"en"}), ("english", set(), {"en"}), ("german", {"de"}, set()), (None, set(), set())],
)
def test_words_are_reduced_to_stems_of_the_language(root, language, houses, running):
    with LocalEngine.open(root, dim=DIM, language=language) as engine:
        engine.upsert([record("de", text="alte Häuser"), record("en", text="they were running")])
        assert found(engine, "Haus") == houses
        assert found(engine, "run") == running
        assert found(engine, "häuser") == {"de"}
        assert found(engine, "hauser") == {"de"}
    expected = "english" if language == "default" else language
    with LocalEngine.open(root, language=expected) as engine:
        assert engine.language == engine.info()["language"] == expected
        assert engine.verify().problems == ()


@pytest.mark.parametrize("language", ["Deutsch", "GERMAN", "", "klingon", 3, ["german"]])
def test_another_language_is_refused_before_there_is_an_index(root, language):
    with pytest.raises(InvalidRequestError, match=r"language must be one of arabic, .*german.*turkish.* or None"):
        LocalEngine.open(root, dim=DIM, language=language)
    assert not root.exists()


def test_the_language_of_an_index_cannot_be_changed(root):
    with LocalEngine.open(root, dim=DIM, language=None):
        pass
    with pytest.raises(InvalidRequestError, match="created with language=None, not 'english'"):
        LocalEngine.open(root, language="english")
    with LocalEngine.open(root) as engine:
        assert engine.language is None


def test_an_index_is_opened_and_copied_with_its_language(tmp_path):
    with Index.open(tmp_path / "index", encoder=WordEncoder(), language="german") as index:
        index.add(["alte Häuser"])
        index.copy(tmp_path / "copy")
    with Index.open(tmp_path / "copy", encoder=WordEncoder(), language="german") as index:
        assert index.info()["language"] == "german"
        assert len(index.search("Haus", mode="lexical")) == 1


@pytest.mark.parametrize(("given", "language"), [("german", "german"), ("none", None)])
def test_the_command_line(tmp_path, given, language):
    (tmp_path / "a.txt").write_text("alte Häuser", encoding="utf-8")
    arguments = ["index", str(tmp_path / "a.txt"), "--index", str(tmp_path / "index"), "--language", given]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    with Index.open(tmp_path / "index", read_only=True) as index:
        assert index.info()["language"] == language
