"""What users give for the path of an index: the home directory, files, and directories that are gone later."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from late_interaction import Document, Index
from late_interaction.errors import IndexNotFoundError, IndexReplacedError, InvalidRequestError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home directory, and another working directory."""
    home = tmp_path / "home"
    (tmp_path / "work").mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(tmp_path / "work")
    return home


@pytest.mark.parametrize("name", ["~/index", "~/a/../index", Path("~/index")])
def test_a_tilde_is_the_home_directory(name, home, word_encoder):
    with Index.open(name, encoder=word_encoder) as index:
        assert Path(os.path.realpath(index.path)) == home / "index"
        index.copy("~/copy")
        assert (home / "copy" / "catalog.sqlite").is_file()
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="users of POSIX")
def test_a_tilde_with_the_name_of_a_user(home, word_encoder):
    import pwd

    user = pwd.getpwuid(os.getuid())
    with pytest.raises(IndexNotFoundError, match="There is no index at"):
        Index.open(f"~{user.pw_name}/no such folder")
    with pytest.raises(
        InvalidRequestError, match=r"that home directory does not exist: '~nobody knows/index'.*'\./~nobody"
    ):
        Index.open("~nobody knows/index", encoder=word_encoder)
    assert list(Path().iterdir()) == []


def test_a_directory_whose_name_is_a_tilde(home, word_encoder):
    for name in ("./~", "./~x"):
        with Index.open(name, encoder=word_encoder) as index:
            assert index.path.parent == home.parent / "work"
    assert sorted(path.name for path in Path().iterdir()) == ["~", "~x"]
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("file", r"file is a file\. The path of an index must be a directory\.$"),
        ("file/index", r"file is a file\..* .*index cannot be in it\.$"),
        ("link", r"link is a symbolic link to nothing\."),
        ("link/index", r"link is a symbolic link to nothing\..* cannot be in it\.$"),
        ("index/catalog.sqlite", "sqlite is a file"),
    ],
)
def test_a_path_that_cannot_be_a_directory(name, error, tmp_path, monkeypatch, word_encoder):
    monkeypatch.chdir(tmp_path)
    Index.open("index", encoder=word_encoder).close()
    Path("file").write_text("text")
    Path("link").symlink_to("nothing")
    before = sorted(tmp_path.rglob("*"))
    for settings in ({"encoder": word_encoder}, {"encoder": word_encoder, "read_only": True}, {}):
        with pytest.raises(IndexNotFoundError, match=error):
            Index.open(name, **settings)
    assert sorted(tmp_path.rglob("*")) == before


def in_one_state(index):
    with index.one_state():
        return index.count()


CALLS = {
    "get": lambda index: index.get(["1"]),
    "scan": lambda index: list(index.scan()),
    "count": lambda index: index.count(),
    "len": len,
    "in": lambda index: "1" in index,
    "search": lambda index: index.search("one"),
    "lexical": lambda index: index.search("one", mode="lexical"),
    "hybrid": lambda index: index.search("one", mode="hybrid"),
    "search_many": lambda index: index.search_many(["one", "two"]),
    "rerank ids": lambda index: index.rerank("one", ids=["1"]),
    "rerank documents": lambda index: index.rerank("one", documents=["one two"]),
    "explain": lambda index: index.explain("one", "1"),
    "explain_many": lambda index: index.explain_many("one", ["1"]),
    "info": lambda index: index.info(),
    "one_state": lambda index: in_one_state(index),
}
WRITES = {
    "add": lambda index: index.add(["three"]),
    "delete": lambda index: index.delete(["1"]),
    "clear": lambda index: index.clear(),
    "compact": lambda index: index.compact(),
}


@pytest.mark.skipif(os.name == "nt", reason="an open directory cannot be removed")
@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("how", ["removed", "moved", "made anew"])
def test_an_index_whose_directory_is_gone_says_so(how, read_only, path, word_encoder):
    with Index.open(path, encoder=word_encoder) as index:
        index.add([Document("one", id="1")])
    index = Index.open(path, encoder=word_encoder, read_only=read_only)
    for call in CALLS.values():  # also with all that they keep for the next call
        call(index)
    if how == "moved":
        path.rename(path.with_name("away"))
    else:
        shutil.rmtree(path)
    if how == "made anew":
        path.mkdir()
    for name, call in (CALLS if read_only else CALLS | WRITES).items():
        try:
            pytest.fail(f"{name} gave {call(index)!r}")
        except IndexReplacedError as error:
            assert "was moved, replaced or removed" in str(error)  # noqa: PT017
            assert str(path) in str(error)  # noqa: PT017
    assert "was moved, replaced or removed" in index.verify().problems[0]
    index.close()
    assert not path.exists() or list(path.iterdir()) == []
