"""What has only moved is not encoded again: renamed files and folders, moved and copied projects, shifted passages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from late_interaction import Index
from late_interaction.ingestion import Changes, update
from late_interaction.ingestion.roots import Roots
from late_interaction.readers import read_paths
from tests.fakes import ColourEncoder


@pytest.fixture
def encoder():
    return ColourEncoder()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with two texts, two scans and a PDF-like TIFF, which is the current one."""
    for name in ("docs", "scans"):
        (tmp_path / "work" / "project" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work" / "project")
    Path("docs/a.md").write_text("# Fish\n\nCod.\n\n## Chips\n\nSalt.")
    Path("docs/b.md").write_text("# Rivers\n\nRhine.")
    Image.new("RGB", (20, 20), "red").save("scans/red.png")
    first, second = Image.new("RGB", (20, 20), "green"), Image.new("RGB", (20, 20), "blue")
    first.save("scans/two.tiff", save_all=True, append_images=[second])
    return tmp_path / "work" / "project"


def run(encoder, *paths, at="index", **options):
    """Update the index; return the changes and how many passages were encoded."""
    before = encoder.documents_encoded + encoder.images_encoded
    with Index.open(at, encoder=encoder) as index:
        documents = read_paths(paths, modalities=["text", "image"], exclude="index", **options)
        changes = update(index, documents, roots=paths)
    return changes, encoder.documents_encoded + encoder.images_encoded - before


def state(at="index"):
    """Texts and sizes of images by id, all of which must load and be found."""
    with Index.open(at, read_only=True, encoder=ColourEncoder()) as index:
        assert index.verify().problems == ()
        return {
            document.id: document.text if document.image is None else document.load_image().getpixel((0, 0))
            for document in index.scan()
        }


def vectors(at="index"):
    with Index.open(at, read_only=True, encoder=ColourEncoder()) as index:
        return {key: value.tobytes() for key, value in index.engine.vectors([d.id for d in index.scan()]).items()}


ALL = {
    "docs/a.md#0": "Cod.",
    "docs/a.md#1": "Salt.",
    "docs/b.md#0": "Rhine.",
    "scans/red.png#page=1": (255, 0, 0),
    "scans/two.tiff#page=1": (0, 128, 0),
    "scans/two.tiff#page=2": (0, 0, 255),
}


class TestRenaming:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("docs/a.md", "docs/c.md"),
            ("docs/a.md", "scans/a.md"),
            ("docs", "texts"),
            ("scans", "docs/deep"),
            ("scans/two.tiff", "two.tiff"),
        ],
    )
    def test_a_file_or_folder(self, project, encoder, old, new):
        assert run(encoder, ".") == (Changes(6, 0, 0), 6)
        before = vectors()
        Path(old).rename(new)
        renamed = {key: f"{new}{key.removeprefix(old)}" if key.startswith(old) else key for key in ALL}
        moved = sum(key != value for key, value in renamed.items())
        assert run(encoder, ".") == (Changes(0, 6 - moved, 0, updated=moved), 0)
        assert state() == {renamed[key]: value for key, value in ALL.items()}
        assert vectors() == {renamed[key]: value for key, value in before.items()}
        assert run(encoder, ".") == (Changes(0, 6, 0), 0)

    def test_a_name_that_was_another_files(self, project, encoder):
        run(encoder, "docs")
        Path("docs/a.md").replace("docs/b.md")
        assert run(encoder, "docs") == (Changes(0, 0, 0, updated=2), 0)
        assert state() == {"docs/b.md#0": "Cod.", "docs/b.md#1": "Salt."}

    def test_two_files_that_change_places(self, project, encoder):
        run(encoder, "docs")
        Path("docs/a.md").rename("x")
        Path("docs/b.md").rename("docs/a.md")
        Path("x").rename("docs/b.md")
        changes, encoded = run(encoder, "docs")
        assert state() == {"docs/a.md#0": "Rhine.", "docs/b.md#0": "Cod.", "docs/b.md#1": "Salt."}
        assert (changes.added, encoded) == (0, 0)

    def test_a_file_that_was_renamed_and_changed(self, project, encoder):
        run(encoder, "docs")
        Path("docs/c.md").write_text(Path("docs/a.md").read_text().replace("Salt", "Vinegar"))
        Path("docs/a.md").unlink()
        assert run(encoder, "docs") == (Changes(1, 1, 1, updated=1), 1)
        assert state() == {"docs/b.md#0": "Rhine.", "docs/c.md#0": "Cod.", "docs/c.md#1": "Vinegar."}

    def test_a_copy_is_not_a_move(self, project, encoder):
        run(encoder, "docs")
        shutil.copy("docs/a.md", "docs/c.md")
        assert run(encoder, "docs")[0] == Changes(2, 3, 0)
        assert len(state()) == 5

    def test_what_is_outside_of_the_paths_stays(self, project, encoder):
        run(encoder, ".")
        Path("docs/a.md").rename("scans/a.md")
        assert run(encoder, "scans")[0] == Changes(2, 3, 0)
        assert state().keys() == ALL.keys() | {"scans/a.md#0", "scans/a.md#1"}

    def test_pages_are_recognized_wherever_they_were(self, project, encoder):
        run(encoder, "scans", "docs")
        Path("scans").rename("docs/scans")
        assert run(encoder, "docs/scans") == (Changes(0, 0, 0, updated=3), 0)
        assert len(state()) == 6

    def test_pages_of_a_disk_that_is_not_mounted_stay(self, project, encoder):
        run(encoder, "scans")
        Path("other").mkdir()
        for name in ("red.png", "two.tiff"):
            Path("scans", name).rename(Path("other", name))
        assert run(encoder, "other") == (Changes(3, 0, 0), 3)
        with Index.open("index", read_only=True, encoder=encoder) as index:
            assert len(index) == 6

    def test_thumbnails_are_kept(self, project, encoder):
        run(encoder, "scans", keep_images=True)
        Path("scans/red.png").rename("scans/new.png")
        assert run(encoder, "scans") == (Changes(0, 2, 0, updated=1), 0)
        Path("scans/new.png").unlink()
        assert state()["scans/new.png#page=1"][0] > 200


class TestShifting:
    @pytest.mark.parametrize("size", [3, 5, 100])  # passages in a commit
    def test_paragraphs_before_a_passage_are_added_and_removed(self, project, encoder, monkeypatch, size):
        monkeypatch.setattr("late_interaction.ingestion.updating._COMMIT_PASSAGES", size)
        texts = [f"words {number}" for number in range(9)]

        def write(paragraphs):
            Path("a.md").write_text("# Title\n\n" + "\n\n".join(paragraphs))
            encoded = run(encoder, "a.md", max_chars=8)[1]
            assert list(state().values()) == paragraphs or sorted(state().items()) == sorted(
                (f"a.md#{number}", text) for number, text in enumerate(paragraphs)
            )
            return encoded

        write(texts)
        batches = -(-9 // size)
        assert write(["first 0", *texts]) <= batches + 1
        assert write(texts) <= batches
        assert write(texts[2:]) <= 2 * batches
        assert write([texts[4], *texts[2:4], *texts[5:], "last 0"]) <= 2 * batches
        if size == 100:
            assert write(texts[::-1]) == 2  # those before the fourth, which are not there any more

    def test_of_equal_passages_none_is_lost(self, project, encoder):
        for paragraphs in ("a b b c", "b b b c", "c b a b", "b b", "b b b b b", "c"):
            Path("a.md").write_text("\n\n".join(f"word {letter}" for letter in paragraphs.split()))
            run(encoder, "a.md", max_chars=6)
            assert [state()[f"a.md#{number}"][-1] for number in range(len(state()))] == paragraphs.split()


class TestProjects:
    @pytest.mark.parametrize("at", ["index", "var/db/index", "../index"])
    @pytest.mark.parametrize("how", ["move", "copy"])
    def test_with_their_index(self, project, encoder, monkeypatch, at, how):
        run(encoder, "docs", "scans", at=at)
        new = project.parent.parent / "elsewhere" / "deep"
        new.mkdir(parents=True)
        (shutil.move if how == "move" else shutil.copytree)(project.parent, new / "parent")
        monkeypatch.chdir(new / "parent" / "project")
        assert run(encoder, "docs", "scans", at=at) == (Changes(0, 6, 0), 0)
        if how == "copy":
            shutil.rmtree(project / "scans")  # so that pages load from the copy
        assert state(at) == ALL

    def test_beside_their_index(self, project, encoder, monkeypatch, tmp_path_factory):
        Path("../stores").mkdir()
        monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
        run(encoder, project, at=project.parent / "stores" / "index")
        project.parent.rename(project.parent.parent / "moved")
        moved = project.parent.parent / "moved"
        assert run(encoder, moved / "project", at=moved / "stores" / "index") == (Changes(0, 6, 0), 0)
        assert state(moved / "stores" / "index") == ALL

    def test_an_index_that_was_moved_alone_keeps_its_roots(self, project, encoder):
        run(encoder, ".")
        other = project.parent / "other"
        other.mkdir()
        (other / "x.md").write_text("Other.")
        Path("index").rename(other / "index")
        assert run(encoder, other, at=other / "index")[0] == Changes(1, 0, 0)
        with Index.open(other / "index", encoder=encoder) as index:
            assert {root.path for root in Roots(index.engine)} == {project, other}
        assert run(encoder, ".", at=other / "index") == (Changes(0, 6, 0), 0)


def test_an_interruption_while_encoding_keeps_what_is_renamed(project, encoder, monkeypatch):
    run(encoder, "docs")
    Path("docs/a.md").write_text("# Fish\n\nNew.\n\nCod.\n\n## Chips\n\nSalt.")
    before = state()
    with monkeypatch.context() as patch:
        patch.setattr(encoder, "encode_documents", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(encoder, "docs", max_chars=6)
    assert state() == before
    assert run(encoder, "docs", max_chars=6) == (Changes(1, 1, 0, updated=2), 1)
