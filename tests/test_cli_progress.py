"""The command line while it indexes: the bar, dry runs, quiet runs, and interrupts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from late_interaction import Index
from late_interaction.ingestion.progress import Progress
from late_interaction.readers import expected_documents
from tests.pdfs import Page, text, write_pdf
from tests.test_cli import call, succeed
from tests.test_cli_maintenance import encoder, folder, indexed, tree, watched  # noqa: F401  # fixtures

ROOT = Path(__file__).parents[1]


def totals(bar):
    """Every (number, total) that a bar has shown."""
    return [(int(number), int(total)) for number, total in re.findall(r"(\d+)/(\d+) (?:passages|pages) \[", bar)]


class TestBar:
    def test_is_for_terminals_only(self, folder):  # noqa: F811
        assert succeed("index", "docs", "--index", "my-index").stderr == ""

    def test_shows_total_rate_and_time_left(self, folder, watched):  # noqa: F811
        shown = succeed("index", "docs", "--index", "my-index").stderr
        assert totals(shown)[-1] == (4, 4)
        assert re.search(r"100%\|.*\| 4/4 passages \[\d\d:\d\d<\d\d:\d\d, +[\d.]+ passages/s\]", shown)

    def test_files_that_were_read_correct_the_total(self, capfd):
        with Progress({"a": 2, "b": 2, "c": 2}, "passages", is_shown=True) as bar:
            for source in ("a", "a", "a", "a", "b"):  # twice as many as expected
                bar.read(source)
            time.sleep(0.15)  # the bar is drawn at most ten times a second
            bar.done(5)
        with Progress({"a": 100}, "pages", is_shown=True) as bar:
            for _ in range(32):
                bar.read("a")
            time.sleep(0.15)
            bar.done(32)
        shown = capfd.readouterr().err
        assert (5, 12) in totals(shown)
        assert (5, 5) in totals(shown)  # exact at the end
        assert (32, 100) in totals(shown)

    def test_without_a_total(self, capfd):
        with Progress({}, "pages", is_shown=True) as bar:
            bar.read("a")
            bar.done(1)
        assert re.search(r"Indexing: 1 pages \[\d\d:\d\d, +[\d.]+ pages/s\]", capfd.readouterr().err)

    def test_documents_are_counted_without_reading_them(self, tmp_path):
        pdf = write_pdf(tmp_path / "a.pdf", [Page(text("one")), Page(text("two"))])
        (tmp_path / "a.txt").write_text("word " * 1000, "utf-8")
        (tmp_path / "a.png").write_bytes(b"")
        (tmp_path / "broken.pdf").write_bytes(b"%PDF")
        files = [tmp_path / name for name in ("a.png", "a.txt", "broken.pdf", "gone.txt")]
        assert list(expected_documents([pdf, *files]).values()) == [2, 1, 6, 0, 0]


class TestQuiet:
    def test_says_nothing(self, folder):  # noqa: F811
        done = succeed("index", "docs", "--index", "my-index", "--quiet")
        assert (done.stdout, done.stderr) == ("", "")

    def test_still_says_what_is_wrong(self, folder):  # noqa: F811
        Path("docs/broken.txt").write_bytes(b"\xff\xfe\x00binary")
        assert "Skipped docs/broken.txt" in succeed("index", "docs", "--index", "my-index", "-q").stderr


class TestDryRun:
    def test_of_a_new_index_makes_none(self, folder, encoder):  # noqa: F811
        done = succeed("index", "docs", "--index", "my-index", "--dry-run")
        assert "encode 2  docs/rivers.md\n" in done.stdout
        assert "Dry run: 4 to encode, 0 unchanged, 0 to delete; 0 files skipped. Nothing was written." in done.stdout
        assert encoder.encoded == []
        assert not Path("my-index").exists()

    def test_of_an_index_changes_nothing(self, indexed, encoder):  # noqa: F811
        before = tree("my-index")
        Path("docs/rivers.md").write_text("# Rivers\n\nThe Tana.\n", "utf-8")
        Path("docs/page.html").unlink()
        done = succeed("index", "docs", "--index", "my-index", "--dry-run")
        assert done.stdout.splitlines()[:-1] == [
            "encode 1  docs/rivers.md",
            "delete 1  docs/rivers.md",
            "delete 1  docs/page.html",
        ]
        assert "Dry run: 1 to encode, 1 unchanged, 2 to delete" in done.stdout
        assert encoder.encoded == []
        assert tree("my-index") == before
        assert (
            "1 passage added or replaced, 1 unchanged, 2 deleted"
            in succeed("index", "docs", "--index", "my-index").stdout
        )

    def test_of_a_project_that_moved(self, indexed, encoder, monkeypatch):  # noqa: F811
        moved = indexed.with_name(f"{indexed.name}-moved")
        indexed.rename(moved)
        monkeypatch.chdir(moved)
        before = tree("my-index")
        assert (
            "0 to encode, 4 unchanged, 0 to delete"
            in succeed("index", "docs", "--index", "my-index", "--dry-run").stdout
        )
        assert tree("my-index") == before

    def test_of_a_renamed_file(self, indexed, encoder):  # noqa: F811
        Path("docs/rivers.md").rename("docs/streams.md")
        done = succeed("index", "docs", "--index", "my-index", "--dry-run")
        assert "Dry run: 0 to encode, 4 unchanged, 0 to delete" in done.stdout
        done = succeed("index", "docs", "--index", "my-index")
        assert "0 passages added or replaced, 2 unchanged, 0 deleted" in done.stdout
        assert "of 2 passages updated" in done.stdout
        assert encoder.encoded == []


SLOW = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it otherwise
import late_interaction.index_encoder
from tests.test_cli_maintenance import Named

class Slow(Named):
    def encode_documents(self, texts):
        if self.documents_encoded >= 512:
            Path("waiting").touch()
            time.sleep(60)
        return super().encode_documents(texts)

slow = Slow()
late_interaction.index_encoder.shared_encoder = lambda *_, **__: slow
from late_interaction.cli import app
app()
"""


def test_an_interrupt_says_what_is_kept_and_how_to_go_on(folder, encoder):  # noqa: F811
    for number in range(520):
        (folder / "docs" / f"{number}.txt").write_text(f"Number {number}.\n", "utf-8")
    command = ["index", "docs", "--index", "my-index"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    child = subprocess.Popen([sys.executable, "-c", SLOW, *command], env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not Path("waiting").exists():
        assert child.poll() is None, child.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=60)[1].decode()
    assert child.returncode == 130
    assert said.splitlines()[-1] == "Interrupted. 512 passages are kept. Run the same command again to go on."
    assert "Traceback" not in said
    assert "12 passages added or replaced, 512 unchanged, 0 deleted" in succeed(*command).stdout


def test_an_interrupt_of_another_command(folder, monkeypatch):  # noqa: F811
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Index, "open", interrupted)
    done = call("info", "my-index")
    assert (done.exit_code, done.stderr) == (130, "Interrupted.\n")


def test_an_interrupt_while_modules_are_imported(tmp_path):
    (tmp_path / "late_interaction.py").write_text("raise KeyboardInterrupt")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "src")])}
    command = [sys.executable, "-c", "from _late_interaction import main; main()"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_the_console_script(folder):  # noqa: F811
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", "from _late_interaction import main; main()", "info", "nowhere"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert b"There is no index at nowhere" in done.stderr


def test_an_interrupt_of_add_adds_nothing(tmp_path, word_encoder):
    def documents():
        yield from map(str, range(300))
        raise KeyboardInterrupt

    with Index.open(tmp_path / "index", encoder=word_encoder) as index:
        with pytest.raises(KeyboardInterrupt):
            index.add(documents(), progress=True)
        assert len(index) == 0
        assert len(index.add(["one"])) == len(index) == 1
