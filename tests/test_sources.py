"""Sources have roots: two files are never one, one file is never two, and only what was read from a root is deleted."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.engines.records import LEGACY_ROOT
from late_interaction.errors import CorruptIndexError, InvalidRequestError
from late_interaction.ingestion import Changes, update
from late_interaction.ingestion.roots import Roots
from late_interaction.readers import read_paths
from tests.fakes import ColourEncoder, WordEncoder
from tests.test_cli import fail, load_with, succeed


class Named(WordEncoder):
    """One that an index remembers by name."""

    source, revision = "minilm", None


@pytest.fixture
def encoder(monkeypatch):
    encoder = Named()
    load_with(monkeypatch, lambda *_, **__: encoder)
    return encoder


@pytest.fixture
def disk(tmp_path, monkeypatch, encoder):
    """The folders ``a`` and ``b``, each with a README and a document; the current folder is above them."""
    for project in ("a", "b"):
        (tmp_path / project / "docs").mkdir(parents=True)
        (tmp_path / project / "README.md").write_text(f"About {project}.")
        (tmp_path / project / "docs" / f"{project}.md").write_text(f"More of {project}.")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def index(*paths, here=".", at="index", refused=False):
    """Run the command in a folder; what it prints."""
    before = Path.cwd()
    os.chdir(here)
    try:
        arguments = ("index", *map(str, paths), "--index", str(before / at))
        return fail(*arguments) if refused else succeed(*arguments).stdout
    finally:
        os.chdir(before)


def texts(at="index"):
    with Index.open(at, read_only=True) as opened:
        return {document.id: document.text for document in opened.scan()}


def pages(at="index", root=None):
    with Index.open(at, read_only=True) as opened:
        return list(opened.engine.scan(root=root))


A = {"README.md#0": "About a.", "docs/a.md#0": "More of a."}
B = {"b//README.md#0": "About b.", "b//docs/b.md#0": "More of b."}


class TestNames:
    def test_the_files_of_two_folders_of_work_are_all_kept(self, disk):
        index(".", here="a")
        assert texts() == A
        assert "named b//PATH" in index(".", here="b")
        assert texts() == A | B
        with Index.open("index", read_only=True) as opened:
            assert opened.count(where={"source": "b//docs/b.md"}) == 1
        for here in ("a", "b"):
            assert "0 passages added or replaced, 2 unchanged, 0 deleted" in index(".", here=here)

    def test_a_file_is_one_wherever_it_is_indexed_from(self, disk, encoder):
        index(".", here="a")
        (disk / "link").symlink_to("a")
        ways = [("a", "."), (".", "a/README.md"), (".", "link"), (".", disk / "a"), ("b/docs", "../../a/docs")]
        ways += [("link", "docs"), ("b", "../a"), ("b", "../a/docs/a.md"), ("a/docs", "..")]
        ways += [("b", "../link/docs/../README.md")]
        for where, path in ways:
            assert "0 passages added or replaced" in index(path, here=where), (where, path)
            assert texts() == A
        assert encoder.documents_encoded == 2

    def test_a_file_in_two_roots_belongs_to_the_inner_one(self, disk):
        index("docs", here="a/docs/..")
        index("b")
        index(".")
        root = disk.name
        assert texts() == {
            **A,
            f"{root}//b/README.md#0": "About b.",
            f"{root}//b/docs/b.md#0": "More of b.",
        }
        assert "4 unchanged, 0 deleted" in index("a", "b", ".", "a/docs")

    def test_labels_are_unique(self, disk):
        for name in ("one", "two", "three"):
            (disk / name / "docs").mkdir(parents=True)
            (disk / name / "docs" / "x.md").write_text(name)
            index(disk / name / "docs", here="a")
        assert texts() == {"x.md#0": "one", "docs//x.md#0": "two", "docs-2//x.md#0": "three"}

    def test_a_path_outside_of_the_current_folder_is_a_root(self, disk):
        index(disk / "b" / "README.md", here="a")
        assert texts() == {"README.md#0": "About b."}
        index(disk / "b", here="a")
        assert texts() == {"README.md#0": "About b.", "docs/b.md#0": "More of b."}

    def test_a_run_that_failed_takes_no_label(self, disk, encoder, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(encoder, "encode_documents", lambda _: 1 / 0, raising=False)
            with pytest.raises(ZeroDivisionError):
                index(".", here="b")
        index(".", here="a")
        assert texts() == A

    @pytest.mark.parametrize("record", [{"path": "x", "label": "", "beside": None}, [], {"path": "/x"}, {}])
    def test_a_damaged_record(self, disk, record):
        index(".", here="a")
        with Index.open("index") as opened:
            opened.engine.record_roots({"1": record})
            with pytest.raises(CorruptIndexError, match="root '1'"):
                Roots(opened.engine)


class TestCleaningUp:
    def test_only_below_the_paths_of_the_run(self, disk):
        index(".", here="a")
        index(".", here="b")
        for file in disk.rglob("*.md"):
            file.unlink()
            file.with_suffix(".txt").write_text(f"New {file.parent.name}.")
        assert "1 deleted" in index("docs", here="a")
        assert texts().keys() == {"README.md#0", "docs/a.txt#0", *B}
        assert "2 deleted" in index(".", here="b")
        assert texts().keys() == {"README.md#0", "docs/a.txt#0", "b//README.txt#0", "b//docs/b.txt#0"}

    def test_documents_of_the_api_stay(self, disk):
        mine = [
            Document("mine", id="own", metadata={"source": "docs/gone.md", "passage": 0}),
            Document("mine", id="docs/gone.md#0", metadata={"source": "docs/gone.md", "passage": 0}),
            Document("mine", id="README.md#0", metadata={"source": "README.md", "passage": 0}),
            Document("mine", id="README.md#7", metadata={"source": "README.md", "passage": 7}),
        ]
        with Index.open("index", encoder=Named()) as opened:
            opened.add(mine)
        done = succeed("index", "a/README.md", "a/docs", "--index", "index")
        assert "Skipped a/README.md" not in done.stderr  # from here it has another name
        shutil.rmtree("index")
        with Index.open("index", encoder=Named()) as opened:
            opened.add(mine)
        os.chdir("a")
        done = succeed("index", ".", "--index", "../index")
        assert "Skipped README.md: the index contains a document 'README.md#0' that was not read from" in done.stderr
        os.chdir("..")
        assert texts() == {**{document.id: "mine" for document in mine}, "docs/a.md#0": "More of a."}
        with Index.open("index") as opened:  # what the API replaces is the API's
            opened.add([Document("mine", id="docs/a.md#0", metadata={"source": "docs/a.md", "passage": 0})])
        Path("a/docs/a.md").unlink()
        Path("a/docs/b.txt").write_text("New.")
        assert "0 deleted" in index(".", here="a")
        assert texts()["docs/a.md#0"] == "mine"

    def test_a_file_that_was_split_from_its_root_by_a_link(self, disk):
        """A folder that becomes a symbolic link is another folder, and its files are read under its old name."""
        index(".", here="a")
        shutil.move("a/docs", "elsewhere")
        Path("a/docs").symlink_to("../elsewhere")
        assert "2 unchanged, 0 deleted" in index(".", here="a")
        assert texts() == A


class TestLinkedFolders:
    """Files below a symbolic link to a folder are stored, read and kept under the same path."""

    @pytest.fixture
    def linked(self, disk):
        Path("out").mkdir()
        Path("out/f.md").write_text("Of out.")
        Path("a/linked").symlink_to("../out")
        index("a")
        return disk

    def test_nothing_is_said_of_files_that_are_read(self, linked):
        said = index("a")
        assert "3 unchanged, 0 deleted" in said
        assert "left out" not in said

    @pytest.mark.parametrize("place", ["a", "./a", Path("b/../a")])
    def test_what_is_left_out_is_kept(self, linked, place):
        done = succeed("index", str(place), "--index", "index", "--exclude", "f.md")
        assert "2 unchanged, 0 deleted" in done.stdout
        assert "Passages of 1 indexed file that exists and was left out are kept" in done.stdout
        assert len(texts()) == 3

    def test_what_cannot_be_read_is_kept(self, linked):
        Path("out/f.md").write_bytes(b"\xff\xfe\xfa")
        assert "2 unchanged, 0 deleted; 1 file skipped" in index("a")
        assert len(texts()) == 3

    @pytest.mark.parametrize("kept", ["a/linked/f.md", "a/linked", "./a/linked", "a"])
    @pytest.mark.parametrize("is_absolute", [False, True])
    def test_what_the_caller_keeps(self, linked, kept, is_absolute):
        Path("out/f.md").unlink()
        keep = linked / kept if is_absolute else kept
        with Index.open("index") as opened:
            done = update(opened, read_paths(["a"]), roots=["a"], keep=[keep], on_skip=lambda *_: None)
        assert (done.unchanged, done.deleted) == (2, 0)

    def test_what_was_removed_is_deleted(self, linked):
        Path("out/g.md").write_text("More of out.")
        Path("out/f.md").unlink()
        assert "1 deleted" in index("a")


class TestEmptyPlaces:
    def test_a_path_without_files_is_refused(self, disk):
        index("a", "b")
        shutil.rmtree("a")
        Path("a").mkdir()
        for paths in (["a"], ["a", "b"], ["b", "a"]):
            message = index(*paths, refused=True)
            assert f"{disk / 'a'} has no files to read, and the index contains 2 passages" in message
            assert "--allow-empty" in message
            assert message.count("Error:") == 1
            assert len(texts()) == 4
        assert "2 deleted" in index("a", "--allow-empty")
        assert len(texts()) == 2

    def test_other_files_are_no_files_to_read(self, disk):
        index("a")
        for file in Path("a").rglob("*.md"):
            file.unlink()
        Path("a/.hidden.md").write_text("x")
        Path("a/lost.bin").write_text("x")
        assert "has no files to read" in index("a", refused=True)

    @pytest.mark.parametrize("hidden", [None, ".not-mounted"])
    def test_a_folder_that_is_empty_keeps_its_passages(self, disk, hidden):
        index("a")
        Path("a/docs/a.md").unlink()
        if hidden:
            Path("a/docs", hidden).write_text("")
        Path("a/README.md").write_text("Changed.")
        done = succeed("index", "a", "--index", "index")
        assert "Skipped a/docs: it is empty, and the index contains 1 passage" in done.stderr
        assert "1 passage added or replaced, 0 unchanged, 0 deleted; 1 file skipped" in done.stdout
        assert "1 deleted" in index("a", "--allow-empty")

    def test_a_folder_below_one_that_is_empty(self, disk):
        (disk / "a/docs/deep").mkdir()
        (disk / "a/docs/deep/c.md").write_text("Deep.")
        index("a")
        shutil.rmtree("a/docs/deep")
        Path("a/docs/a.md").unlink()
        assert "0 deleted" in index("a")
        shutil.rmtree("a/docs")
        assert "2 deleted" in index("a")  # it is gone, and what is around it is not empty

    def test_a_root_that_is_gone(self, disk):
        index(".", here="a/docs")
        index(".")
        shutil.rmtree("a/docs")
        message = index(".", refused=True)
        assert f"{disk / 'a' / 'docs'} does not exist" in message
        assert "--root" in message
        assert "1 deleted" in index(".", "--allow-empty")

    def test_blank_files_are_files(self, disk):
        index("a/README.md")
        Path("a/README.md").write_text("\n")
        assert "1 deleted" in index("a/README.md")

    def test_the_library_refuses_too(self, disk, encoder):
        with Index.open("index", encoder=encoder) as opened:
            update(opened, read_paths(["a"]), roots=["a"])
            Path("a/docs/a.md").unlink()
            with pytest.raises(InvalidRequestError, match="it is empty"):
                update(opened, read_paths(["a"]), roots=["a"])
            Path("a/README.md").unlink()
            with pytest.raises(InvalidRequestError, match="has no files to read"):
                update(opened, read_paths(["a"]), roots=["a"])
            assert update(opened, read_paths(["a"]), roots=["a"], allow_empty=True).deleted == 2


class TestMoving:
    def test_a_folder_that_has_moved_is_named(self, disk, encoder):
        index(".", here="a")
        Path("a").rename("c")
        assert f"The indexed folder {disk / 'a'} does not exist" in index("b")
        assert "0 passages added or replaced, 2 unchanged, 0 deleted" in index("c", "--root", f"a={disk / 'c'}")
        assert texts().items() >= A.items()
        Path("c").rename("d")
        Path("d/README.md").write_text("Changed.")
        assert "1 passage added or replaced, 1 unchanged, 0 deleted" in index(".", "--root", f"={disk / 'd'}", here="d")
        assert encoder.documents_encoded == 5

    def test_the_only_root_needs_no_label(self, disk):
        index(".", here="a")
        shutil.copytree("a", "far/away")
        shutil.rmtree("a")
        assert "2 unchanged, 0 deleted" in index(".", "--root", ".", here="far/away")
        assert texts() == A

    @pytest.mark.parametrize(
        ("where", "message"),
        [
            ("nowhere", "is not a folder"),
            ("c", "and selects 0"),
            ("x=c", "and selects 0"),
            ("a=nowhere", "is not a folder"),
            ("a=b", "is already another root"),
            ("", "is not a folder"),
        ],
    )
    def test_what_cannot_be(self, disk, where, message):
        index(".", here="a")
        index(".", here="b")
        Path("c").mkdir()
        error = index("b", "--root", where, refused=True)
        assert message in error
        assert error.count("\n") == 1

    def test_without_an_index(self, disk):
        assert "There is no index" in index("a", "--root", "a", refused=True)
        assert not Path("index").exists()

    @pytest.fixture
    def scans(self, tmp_path, monkeypatch):
        """A folder with two scans, the index of them in it, and the encoder."""
        image = pytest.importorskip("PIL.Image")
        (tmp_path / "project" / "deep").mkdir(parents=True)
        image.new("RGB", (20, 20), "red").save(tmp_path / "project" / "red.png")
        image.new("RGB", (20, 20), "blue").save(tmp_path / "project" / "deep" / "blue.png")
        (tmp_path / "desk").mkdir()
        monkeypatch.chdir(tmp_path / "desk")  # so that the folder is a root
        return ColourEncoder()

    @staticmethod
    def read(encoder, folder, at, **options):
        with Index.open(at, encoder=encoder) as opened:
            return update(opened, read_paths([folder], modalities=["image"], **options), roots=[folder])

    @pytest.mark.parametrize("keep_images", [False, True])
    def test_pages_that_moved_with_their_index_are_not_encoded(self, scans, keep_images):
        options = {"keep_images": keep_images}
        assert self.read(scans, "../project", "../project/index", **options).added == 2
        Path("../project").rename("../moved")
        assert self.read(scans, "../moved/deep", "../moved/index") == Changes(0, 1, 0)
        with Index.open("../moved/index", read_only=True, encoder=scans) as opened:
            for hit in opened.search("red", 2):
                assert Path(hit.document.image.path).is_file()  # those that were not read again, too
                assert hit.document.image.has_thumbnail == keep_images
                assert hit.document.load_image().size == (20, 20)
            assert opened.verify().problems == ()
        assert scans.images_encoded == 2

    def test_pages_of_a_root_that_is_named_are_not_encoded(self, scans):
        self.read(scans, "../project", "index")
        Path("../project").rename("../moved")
        with Index.open("index", encoder=scans) as opened:
            Roots(opened.engine).move("../moved")
            assert {Path(page.image.path).is_file() for page in opened.scan()} == {True}
        assert self.read(scans, "../moved", "index") == Changes(0, 2, 0)
        assert scans.images_encoded == 2

    def test_a_reference_alone_is_updated(self, scans):
        self.read(scans, "../project", "index")
        with Index.open("index", encoder=scans) as opened:
            elsewhere = [
                Document(image=replace(page.image, path="/elsewhere.png"), id=page.id, metadata=page.metadata)
                for page in opened.scan()
            ]
            before = {document.id: opened.engine.vectors([document.id])[document.id] for document in elsewhere}
            opened.engine.update_documents(elsewhere, 1)
        assert self.read(scans, "../project", "index") == Changes(0, 0, 0, updated=2)
        assert self.read(scans, "../project", "index", keep_images=True) == Changes(0, 0, 0, updated=2)
        assert self.read(scans, "../project", "index") == Changes(0, 2, 0)
        with Index.open("index", encoder=scans) as opened:
            assert all(page.image.has_thumbnail for page in opened.scan())
            for document_id, vectors in before.items():
                np.testing.assert_array_equal(opened.engine.vectors([document_id])[document_id], vectors)
        assert scans.images_encoded == 2


class TestEarlierReleases:
    """Passages that were indexed from a folder which was not recorded."""

    @pytest.fixture
    def legacy(self, disk):
        """An index of ``a`` as an earlier release made it, with the passages of a file that has vanished since."""
        Path("a/gone.md").write_text("Gone.")
        index(".", here="a")
        Path("a/gone.md").unlink()
        with Index.open("index") as opened:
            opened.engine.set_root([*A, "gone.md#0"], LEGACY_ROOT)
            opened.engine.record_roots({})
        return disk

    def test_are_taken_over_without_encoding_and_never_deleted(self, legacy, encoder):
        Path("a/docs/a.md").write_text("Changed.")
        encoded = encoder.documents_encoded
        done = index(".", here="a")
        assert "1 passage added or replaced, 1 unchanged, 0 deleted" in done
        assert "1 passage indexed by an earlier release" in done
        assert encoder.documents_encoded == encoded + 1
        assert texts() == {**A, "docs/a.md#0": "Changed.", "gone.md#0": "Gone."}
        with Index.open("index", read_only=True) as opened:
            assert opened.engine.roots_of(["README.md#0", "docs/a.md#0", "gone.md#0"]) == {
                "README.md#0": 1,
                "docs/a.md#0": 1,
                "gone.md#0": LEGACY_ROOT,
            }

    def test_of_another_folder_stay(self, legacy):
        index("b/docs/b.md")
        assert texts().items() >= {**A, "gone.md#0": "Gone."}.items()


def test_the_current_folder_is_not_in_what_is_stored(disk):
    """What a reader of the index sees is names; where files are is in `Engine.roots`."""
    index(".", here="a")
    with Index.open("index", read_only=True) as opened:
        assert opened.engine.roots == {"1": {"path": str(disk / "a"), "label": "", "beside": "a"}}
        assert str(disk) not in json.dumps([dict(document.metadata) for document in opened.scan()])
