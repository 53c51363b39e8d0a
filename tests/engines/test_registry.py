"""Engines are found by their location, and imported when they are first used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from late_interaction import Index
from late_interaction.engines import registry
from late_interaction.engines.local import LocalEngine
from late_interaction.errors import IndexNotFoundError, InvalidRequestError
from tests.fakes import WordEncoder


@pytest.mark.parametrize(
    "location",
    [
        "elsewhere://host:6333/name",
        "elsewhere+https://host",
        "s3://bucket/index",
        "HTTP://host",
        "http:/host",
        "https:",
        "weaviate:folder",
        "file:///tmp/index",
        Path("http://host/index"),
        Path("https://"),
    ],
)
def test_an_address_that_no_engine_opens(location, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for settings in ({"encoder": WordEncoder()}, {"encoder": WordEncoder(), "read_only": True}, {}):
        with pytest.raises(InvalidRequestError, match=r"No engine opens '.*:.*path of a directory"):
            Index.open(location, **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["qdrant+me:secret@host", "other://me:secret@host/name", "http:me:secret@host"])
def test_the_message_shows_no_password(address):
    with pytest.raises(InvalidRequestError, match="No engine opens") as caught:
        Index.open(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["plain", "a b", "c:\\index", "./http:", "./qdrant:folder", "a/with:colon", ":", "1:2", ".:x"]
)
def test_a_path_is_a_directory(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Index.open(name, encoder=WordEncoder()) as index:
        assert isinstance(index.engine, LocalEngine)
        assert index.path == tmp_path / name


def test_a_path_object_may_have_a_colon(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IndexNotFoundError):
        Index.open(Path("elsewhere:host"))
    with Index.open(Path("elsewhere:host"), encoder=WordEncoder()) as index:
        assert index.path == tmp_path / "elsewhere:host"


def test_an_engine_of_another_module_is_opened_by_its_scheme(monkeypatch):
    class Opened:
        @classmethod
        def open(cls, location, **settings):
            return location, settings

    monkeypatch.setattr(sys.modules[__name__], "SomeEngine", Opened, raising=False)
    monkeypatch.setitem(registry.ENGINES, "SomeEngine", registry.EngineEntry(__name__, ("some", "some+https")))
    assert registry.open_engine("some+https://host/name", dim=3) == ("some+https://host/name", {"dim": 3})
    with pytest.raises(InvalidRequestError, match=r"address that begins with .* or some:"):
        registry.open_engine("other://host")


def test_engines_are_imported_when_they_are_used():
    code = (
        "import sys, late_interaction.engines as engines\n"
        "assert 'late_interaction.engines.local' not in sys.modules\n"
        "assert engines.LocalEngine.__name__ == 'LocalEngine'\n"
        "try: engines.NoEngine\n"
        "except AttributeError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "module 'late_interaction.engines' has no attribute 'NoEngine'\n"
