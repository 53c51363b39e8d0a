"""Files that the index did not make: whatever is opened and written, they stay as they are."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from late_interaction import Index
from late_interaction.cli import app
from late_interaction.engines import LocalEngine
from late_interaction.errors import (
    CorruptIndexError,
    IndexNotFoundError,
    InvalidRequestError,
    LateInteractionError,
    StorageError,
)
from tests.engines.forked import Forked, in_child, tree
from tests.engines.helpers import DIM, record, small_thresholds, spare_names, state_on_disk
from tests.fakes import WordEncoder
from tests.test_cli import load_with
from tests.test_cli_maintenance import Named

pytestmark = pytest.mark.skipif(os.name == "nt", reason="symlinks and forks of POSIX")

KINDS = ("segments", "codebooks")
UNRECORDED = ("0123456789abcdef", "deadbeefdeadbeef", "0" * 16)
COLUMNS = (
    "offsets.npy",
    "vectors.npy",
    "codes.npy",
    "scales.npy",
    "along.npy",
    "residuals.npy",
    "centroids.npy",
    "direction.npy",
)


def a_precious_folder(path):
    """Somebody's work, also below names and with files that an index could have."""
    for folder in ("interview", *UNRECORDED):
        (path / folder / "takes").mkdir(parents=True)
        for name in ("recording.wav", "takes/one.wav", *COLUMNS):
            (path / folder / name).write_bytes(f"{folder}/{name}".encode())
    (path / "notes.txt").write_text("mine")
    return path


def fill(root):
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=4) as engine:
        engine.upsert([record(f"d{n}", n=n) for n in range(30)])
        engine.upsert([record(f"e{n}", n=n) for n in range(3)])
        assert engine.info()["centroids"]
    return root


@pytest.fixture(scope="module")
def sound(make_directory):
    """A closed index with a compressed segment, an exact one and a codebook."""
    return fill(make_directory("sound") / "index")


@pytest.fixture
def index(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "index", symlinks=True))


def write_in_every_way(root):
    """Everything that makes and removes directories, in three writers one after the other."""
    with small_thresholds():
        for round_ in range(3):
            with LocalEngine.open(root) as engine:
                engine.upsert([record(f"n{round_}-{n}", n=n) for n in range(20)])
                with pytest.raises(ZeroDivisionError):
                    engine.upsert(record(f"{1 // (2 - n)}") for n in range(3))
                engine.delete(where={"n": {"$lt": 10}})
                engine.compact()
                if round_ == 1:
                    engine.clear()
                    engine.compact()
                assert engine.verify().problems == ()


def without_those_of_the_index(found, names):
    return {path: what for path, what in found.items() if not any(part in names for part in Path(path).parts)}


# Where there is no index yet


@pytest.mark.parametrize("parent", KINDS)
@pytest.mark.parametrize("name", ["interview", *UNRECORDED])
@pytest.mark.parametrize("opener", ["engine", "index"])
def test_a_new_index_among_files_of_the_user_is_refused(tmp_path, parent, name, opener):
    project = tmp_path / "project"
    (project / parent / name).mkdir(parents=True)
    (project / parent / name / "recording.wav").write_bytes(b"somebody's work")
    before = tree(project)
    with pytest.raises(InvalidRequestError, match="not empty"):
        LocalEngine.open(project, dim=DIM) if opener == "engine" else Index.open(project, encoder=WordEncoder())
    with pytest.raises(IndexNotFoundError):
        LocalEngine.open(project)
    assert tree(project) == before


@pytest.mark.parametrize("entry", ["notes.txt", ".git/", "segments/notes.txt", "codebooks/notes.txt", "set-aside/x"])
def test_a_new_index_in_any_directory_that_is_not_empty_is_refused(tmp_path, entry):
    project = tmp_path / "project"
    (project / entry).parent.mkdir(parents=True)
    (project / entry).mkdir() if entry.endswith("/") else (project / entry).write_bytes(b"")
    before = tree(project)
    with pytest.raises(InvalidRequestError, match="not empty"):
        LocalEngine.open(project, dim=DIM)
    assert tree(project) == before


@pytest.mark.parametrize("parent", KINDS)
def test_a_new_index_where_a_folder_is_a_symlink_is_refused(tmp_path, parent):
    """Also where the symlink leads to an empty directory: what comes there later would be the index's."""
    precious = a_precious_folder(tmp_path / "precious")
    (tmp_path / "empty").mkdir()
    before = tree(precious)
    for target in ("precious", "empty"):
        project = tmp_path / f"project {target}"
        project.mkdir()
        (project / parent).symlink_to(tmp_path / target)
        with pytest.raises(LateInteractionError):
            LocalEngine.open(project, dim=DIM)
        assert tree(project) == {parent: ("link", str(tmp_path / target))}
    assert tree(precious) == before
    assert tree(tmp_path / "empty") == {}


@pytest.mark.parametrize("where", ["home", "home/"])
def test_a_new_index_behind_a_symlink_to_a_directory(tmp_path, where):
    """The path itself may be a symlink: what it leads to must be empty."""
    precious = a_precious_folder(tmp_path / "precious")
    before = tree(precious)
    (tmp_path / "home").symlink_to(precious)
    with pytest.raises(InvalidRequestError, match="not empty"):
        LocalEngine.open(f"{tmp_path}/{where}", dim=DIM)
    assert tree(precious) == before


def test_leftovers_of_a_creation_that_was_killed_are_accepted(tmp_path):
    """The process ends at one of its calls, spread over all that a creation makes."""

    def create(root, calls):
        left = [calls]

        def count(frame, event, argument):
            if event in ("call", "c_call"):
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)

        sys.setprofile(count)
        try:
            LocalEngine.open(root, dim=DIM).close()
        finally:
            sys.setprofile(None)
        return calls - left[0]

    LocalEngine.open(tmp_path / "first", dim=DIM).close()  # imports whatever there is to import
    total = in_child(lambda: create(tmp_path / "whole", 10**9))
    seen = set()
    for number in range(30):
        root = tmp_path / f"index{number}"
        assert Forked(lambda _, root=root, number=number: create(root, 1 + number * total // 30)).wait() == 9
        seen.add(tuple(tree(root)))
        if not (root / "catalog.sqlite").exists():
            with pytest.raises(IndexNotFoundError):
                LocalEngine.open(root, read_only=True)
        with LocalEngine.open(root, dim=DIM) as engine:
            engine.upsert([record("a")])
            assert engine.verify().problems == ()
    assert len(seen) > 3, "the creation was ended in different states"


# A catalog that is missing


@pytest.mark.parametrize("kept", ["nothing more", "the log", "codebooks only", "no lock"])
def test_a_missing_catalog_is_damage_in_every_mode(index, kept):
    for path in index.glob("catalog.sqlite*"):
        path.unlink()
    if kept == "the log":
        (index / "catalog.sqlite-wal").write_bytes(b"left by a backup")
    if kept == "codebooks only":
        shutil.rmtree(index / "segments")
    if kept == "no lock":
        (index / "writer.lock").unlink()
        (index / "last-commit").unlink()
    before = tree(index)
    for arguments in ({}, {"dim": DIM}, {"dim": DIM, "bits": 4}, {"read_only": True}, {"dim": DIM, "read_only": True}):
        with pytest.raises(CorruptIndexError, match=r"catalog\.sqlite"):
            LocalEngine.open(index, **arguments)
        assert tree(index) == before
    for arguments in ({}, {"encoder": WordEncoder()}, {"encoder": WordEncoder(), "read_only": True}):
        with pytest.raises(CorruptIndexError, match=r"catalog\.sqlite"):
            Index.open(index, **arguments)
        assert tree(index) == before


# Beside the directories of an index


@pytest.mark.parametrize("parent", KINDS)
def test_folders_of_the_user_inside_an_index_stay(index, parent):
    a_precious_folder(index / "precious")
    for path in list((index / "precious").iterdir()):
        shutil.move(path, index / parent / path.name)
    (index / "precious").rmdir()
    mine = {*UNRECORDED, "interview", "notes.txt"}

    def of_mine():
        return {path: what for path, what in tree(index / parent).items() if Path(path).parts[0] in mine}

    before = of_mine()
    assert len(before) == 1 + 4 * 12
    write_in_every_way(index)
    assert of_mine() == before


@pytest.mark.parametrize("parent", KINDS)
def test_files_beside_those_of_the_index_stay(index, parent):
    """In the very directories of segments and of codebooks, which are merged and removed."""
    (folder, *_) = (index / parent).iterdir()
    (folder / "takes").mkdir()
    for name in ("recording.wav", "takes/one.wav", "vectors.npy.bak"):
        (folder / name).write_bytes(name.encode())
    write_in_every_way(index)
    for name in ("recording.wav", "takes/one.wav", "vectors.npy.bak"):
        assert (folder / name).read_bytes() == name.encode()


@pytest.mark.parametrize("parent", KINDS)
def test_symlinks_inside_an_index_are_not_followed(index, tmp_path, parent):
    precious = a_precious_folder(tmp_path / "precious")
    before = tree(precious)
    names = [*UNRECORDED[:2], *spare_names(index)[:2]]
    for name in names:
        (index / parent / name).symlink_to(precious / UNRECORDED[0])
    write_in_every_way(index)
    assert tree(precious) == before


@pytest.mark.parametrize("parent", KINDS)
def test_a_folder_of_an_index_that_is_a_symlink_to_precious_files(index, tmp_path, parent):
    precious = a_precious_folder(tmp_path / "precious")
    for name in spare_names(index)[:2]:
        shutil.copytree(precious / UNRECORDED[0], precious / name)
    shutil.rmtree(index / parent)
    (index / parent).symlink_to(precious)
    before = tree(precious), tree(index)
    for arguments in ({}, {"dim": DIM}, {"read_only": True}):
        with pytest.raises(CorruptIndexError):
            LocalEngine.open(index, **arguments)
    after = {name: what for name, what in tree(index).items() if not name.startswith("catalog.sqlite-")}
    assert (tree(precious), after) == before


def test_an_empty_index_whose_folders_are_symlinks(tmp_path):
    """Nothing in the catalog needs the folders, so that only what is to be removed would lead there."""
    root, precious = tmp_path / "index", a_precious_folder(tmp_path / "precious")
    LocalEngine.open(root, dim=DIM).close()
    for name in spare_names(root):
        shutil.copytree(precious / UNRECORDED[0], precious / name)
    before = tree(precious)
    for parent in KINDS:
        shutil.rmtree(root / parent, ignore_errors=True)
        (root / parent).symlink_to(precious)
        for arguments in ({}, {"dim": DIM}):
            with pytest.raises(CorruptIndexError, match=parent):
                LocalEngine.open(root, **arguments)
        (root / parent).unlink()
    assert tree(precious) == before


def test_a_copy_goes_only_where_nothing_is(index, tmp_path):
    precious = a_precious_folder(tmp_path / "precious")
    (tmp_path / "link").symlink_to(precious)
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "segments").symlink_to(precious)
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = tree(tmp_path)
    with LocalEngine.open(index) as engine:
        for target in ("precious", "link", "inside", "file", "file/below", "dangling"):
            with pytest.raises(LateInteractionError):
                engine.copy(tmp_path / target)
        assert tree(precious) == {
            name.partition("/")[2]: what for name, what in before.items() if name.startswith("precious/")
        }
    assert {name for name in tree(tmp_path) if not name.startswith("index/")} == {
        name for name in before if not name.startswith("index/")
    }


# From the command line


@pytest.fixture
def encoder(monkeypatch):
    """The encoder that the commands load."""
    load_with(monkeypatch, lambda *_, **__: Named())


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_line_makes_no_index_among_files_of_the_user(tmp_path, encoder):
    project, texts = a_precious_folder(tmp_path / "project"), tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("words")
    before = tree(project)
    for arguments in (("index", texts, "--index", project), ("compact", project), ("verify", project)):
        done = run(*arguments)
        assert done.exit_code != 0
        assert done.exception is None or isinstance(done.exception, SystemExit)
        assert tree(project) == before


def test_the_command_line_leaves_files_of_the_user_in_an_index(tmp_path, encoder):
    root, texts = tmp_path / "index", tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("words")
    assert run("index", texts, "--index", root).exit_code == 0
    for parent in KINDS:
        (root / parent).mkdir(exist_ok=True)
        for path in a_precious_folder(tmp_path / f"mine {parent}").iterdir():
            shutil.copytree(path, root / parent / path.name) if path.is_dir() else shutil.copy(path, root / parent)
    named = {row[1] for row in state_on_disk(root)[1]["segments"]}
    before = without_those_of_the_index(tree(root / "segments"), named), tree(root / "codebooks")
    (texts / "b.txt").write_text("more words")
    (texts / "a.txt").unlink()
    for arguments in (("index", texts, "--index", root), ("compact", root), ("verify", root), ("info", root)):
        assert run(*arguments).exit_code == 0
    named |= {row[1] for row in state_on_disk(root)[1]["segments"]}
    assert (without_those_of_the_index(tree(root / "segments"), named), tree(root / "codebooks")) == before


# Paths that are none


class OddPath(os.PathLike):
    def __repr__(self):
        return "OddPath()"

    def __fspath__(self):
        return b"index"


@pytest.mark.parametrize(
    "path",
    ["", " ", "\t\n", "a\0b", "\0", None, 5, 1.5, b"index", [], ["index"], {1}, OddPath(), True],
    ids=repr,
)
@pytest.mark.parametrize("mode", ["engine", "engine to make", "read only", "index", "copy"])
def test_what_is_no_path(tmp_path, monkeypatch, path, mode):
    monkeypatch.chdir(tmp_path)
    calls = {
        "engine": lambda: LocalEngine.open(path),
        "engine to make": lambda: LocalEngine.open(path, dim=DIM),
        "read only": lambda: LocalEngine.open(path, read_only=True),
        "index": lambda: Index.open(path, encoder=WordEncoder()),
    }
    if mode == "copy":
        with LocalEngine.open(tmp_path / "source", dim=DIM) as engine:
            before = tree(tmp_path)
            with pytest.raises(InvalidRequestError):
                engine.copy(path)
            assert tree(tmp_path) == before
        return
    with pytest.raises(InvalidRequestError):
        calls[mode]()
    assert tree(tmp_path) == {}


PLACES = {
    "a file": "file",
    "below a file": "file/index",
    "far below a file": "file/a/b/index",
    "a long name": "x" * 300,
    "below a long name": f"{'x' * 300}/index",
    "a long path": "/".join(["y" * 200] * 30),
    "a loop": "loop",
    "below a loop": "loop/index",
    "a dangling link": "dangling",
}


@pytest.fixture
def place(tmp_path, monkeypatch, request):
    """A path where no index can be, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere/at/all")
    return PLACES.get(request.param, request.param)


def refused(path, tmp_path):
    before = tree(tmp_path)
    for call in (
        lambda: LocalEngine.open(path),
        lambda: LocalEngine.open(path, dim=DIM),
        lambda: LocalEngine.open(path, read_only=True),
        lambda: Index.open(path, encoder=WordEncoder()),
        lambda: Index.open(path),
    ):
        with pytest.raises((InvalidRequestError, IndexNotFoundError, StorageError)):
            call()
        assert tree(tmp_path) == before


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_a_path_where_no_index_can_be(tmp_path, place):
    refused(place, tmp_path)
