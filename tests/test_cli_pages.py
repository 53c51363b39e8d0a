"""The command line with PDFs and images: indexing, going on after a kill in bounded memory, and heatmaps."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image
from typer.testing import CliRunner

from late_interaction import Index
from late_interaction.cli import app
from tests.pdfs import Page, chart, table, text, write_pdf

_MIB = 2**20


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A ColQwen2 that sees at most 64 patches of a page."""
    from tests.page_checkpoints import colqwen2

    return colqwen2(tmp_path_factory.mktemp("colqwen2"), most=64)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def long_pdf(path, pages):
    """A report whose every page has words, a table and a chart of its own."""
    return write_pdf(
        path,
        [
            Page(
                text(f"Page {number} of the report")
                + table([[f"item {row}", str(number * row)] for row in range(8)])
                + chart([number % 90 + 10, number % 37 + 10, 80])
            )
            for number in range(1, pages + 1)
        ],
    )


def test_pages_and_images_from_a_folder(folder, report, checkpoint):
    Image.new("RGB", (300, 200), (255, 0, 0)).save("red.png")
    (folder / "notes.md").write_text("# Notes")  # this encoder reads no text
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    done = run("index", ".", "--index", "my-index", "--encoder", checkpoint)
    assert done.exit_code == 0, done.stderr
    assert "4 pages added" in done.stdout
    assert "1 file skipped" in done.stdout
    assert "Skipped broken.pdf: it is not a PDF, or is damaged" in done.stderr
    done = run("index", ".", "--index", "my-index")
    assert "0 pages added or replaced, 4 unchanged, 0 deleted" in done.stdout

    hits = json.loads(run("search", "my-index", "rain", "--json", "-k", "4").stdout)
    assert {hit["id"] for hit in hits} == {"red.png#page=1", *(f"report.pdf#page={page}" for page in (1, 2, 3))}
    shown = run("search", "my-index", "rain", "--mode", "hybrid").stdout
    assert "Rain in spring" in shown
    assert "(page without text)" in shown

    report.unlink()
    done = run("index", ".", "--index", "my-index")
    assert "1 unchanged, 3 deleted" in done.stdout


def test_an_explanation_saves_a_heatmap(folder, report, checkpoint):
    run("index", report, "--index", "my-index", "--encoder", checkpoint)
    done = run("explain", "my-index", "rain in spring", "report.pdf#page=2", "--heatmap", "why.png")
    assert done.exit_code == 0, done.stderr
    assert "from the left" in done.stdout
    assert Image.open("why.png").size == (1131, 1600)
    values = json.loads(run("explain", "my-index", "rain in spring", "report.pdf#page=2", "--json").stdout)
    assert [match["query_word"] for match in values["spans"]] == ["rain", "in", "spring"]
    assert values["text"] == "Rain in spring"
    done = run("explain", "my-index", "rain", "report.pdf#page=2", "--heatmap", "why.unknown")
    assert done.exit_code == 1
    assert "Cannot save the heatmap" in done.stderr


def test_images_of_an_encrypted_pdf(folder, monkeypatch, checkpoint):
    monkeypatch.setattr("late_interaction.images.pdf._passwords", {})
    pdf = write_pdf(folder / "a.pdf", [Page(text("Rain in spring"))], passwords=("secret", "owner"))
    done = run("index", pdf, "--index", "my-index", "--encoder", checkpoint, "--password", "secret")
    assert "1 page added" in done.stdout, done.stderr
    for password, reason in ((None, "read it with its password (--password)"), ("wrong", "the password is wrong")):
        monkeypatch.setattr("late_interaction.images.pdf._passwords", {})  # as another process
        option = [] if password is None else ["--password", password]
        assert reason in run("search", "my-index", "rain", "--save-pages", "pages", *option).stderr
        assert reason in run("search", "my-index", "rain", "--json", "--images", *option).stderr
        assert reason in run("explain", "my-index", "rain", "a.pdf#page=1", "--heatmap", "why.png", *option).stderr
    done = run("search", "my-index", "rain", "--save-pages", "pages", "--password", "secret")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Saved pages" in done.stdout
    monkeypatch.setattr("late_interaction.images.pdf._passwords", {})
    done = run("explain", "my-index", "rain", "a.pdf#page=1", "--heatmap", "why.png", "--password", "secret")
    assert (done.exit_code, done.stderr) == (0, "")
    assert (folder / "why.png").exists()


def test_a_text_encoder_indexes_the_text_of_pdfs(folder, report):
    done = run("index", report, "--index", "my-index")
    assert "3 passages added" in done.stdout
    (hit, *_) = json.loads(run("search", "my-index", "weather", "--json").stdout)
    assert (hit["text"], hit["metadata"]["page"]) == ("Rain in spring", 2)


def test_an_image_for_a_text_encoder_leaves_no_index(folder, checkpoint):
    Image.new("RGB", (30, 20)).save("red.png")
    done = run("index", "red.png", "--index", "my-index")
    assert done.exit_code == 1
    assert "needs an encoder that reads image" in done.stderr
    assert not (folder / "my-index").exists()
    assert run("index", "red.png", "--index", "my-index", "--encoder", checkpoint).exit_code == 0


def test_what_the_model_refuses_is_skipped(folder, checkpoint):
    """Qwen's processor takes no image two hundred times as long as wide."""
    Image.new("RGB", (3000, 10)).save("rule.png")
    write_pdf(folder / "a.pdf", [Page(text("before")), Page(size=(14400, 20)), Page(text("after"))])
    done = run("index", "rule.png", "a.pdf", "--index", "my-index", "--encoder", checkpoint)
    assert done.exit_code == 0, done.stderr
    assert "2 pages added" in done.stdout
    assert "Skipped rule.png: rule.png#page=1: The model cannot encode an image" in done.stderr
    assert "Skipped a.pdf: a.pdf#page=2" in done.stderr
    assert "0 pages added or replaced, 2 unchanged, 0 deleted" in run("index", ".", "--index", "my-index").stdout


def test_thumbnails_stay_when_they_are_not_asked_for_again(folder, report, checkpoint):
    run("index", report, "--index", "my-index", "--encoder", checkpoint, "--keep-images")
    assert "0 pages added or replaced, 3 unchanged" in run("index", report, "--index", "my-index").stdout
    with Index.open("my-index", read_only=True) as index:
        assert all(page.image.has_thumbnail for page in index.scan())


def test_thumbnails_outlive_their_file(folder, report, checkpoint):
    run("index", report, "--index", "my-index", "--encoder", checkpoint, "--keep-images")
    report.unlink()
    with Index.open("my-index", read_only=True) as index:
        (hit,) = index.search("rain", 1)
        assert max(hit.document.load_image().size) == 1024


def indexing(pdf, checkpoint):
    """The command in a process of its own."""
    program = "from late_interaction.cli import app; app()"
    command = [sys.executable, "-c", program, "index", str(pdf), "--index", "my-index"]
    return subprocess.Popen(
        [*command, "--encoder", str(checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def held(folder):
    """How many pages a reader sees."""
    if not (folder / "my-index" / "catalog.sqlite").exists():
        return 0
    with Index.open(folder / "my-index", read_only=True) as index:
        return len(index)


@pytest.mark.parametrize("pages", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_run_that_was_killed_goes_on_where_it_stopped(folder, checkpoint, pages):
    pdf = long_pdf(folder / "long.pdf", pages)
    first = indexing(pdf, checkpoint)
    deadline = time.monotonic() + 120
    while not 0 < (before := held(folder)) < pages:
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = held(folder)  # it may have committed once more
    assert 0 < before < pages
    output, errors = indexing(pdf, checkpoint).communicate(timeout=900)
    assert f"{pages - before} pages added or replaced, {before} unchanged, 0 deleted" in output, errors
    with Index.open("my-index", read_only=True) as index:
        assert [page.metadata["page"] for page in index.scan()] == list(range(1, pages + 1))
        assert index.verify().problems == ()


@pytest.mark.slow
def test_a_thousand_pages_in_bounded_memory(folder):
    """With as many patches to a page as the real models see."""
    from tests.page_checkpoints import colqwen2

    checkpoint = colqwen2(folder / "colqwen2", most=768)
    peaks = {}
    for pages in (1, 1000):
        process = indexing(long_pdf(folder / f"{pages}.pdf", pages), checkpoint)
        output, errors = process.communicate()
        assert f"{pages} pages added" in output, errors
        peaks[pages] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # of the largest child so far
    sys.stdout.write(f"peak of 1 page {peaks[1] / _MIB:,.0f} MiB, of 1,000 {peaks[1000] / _MIB:,.0f} MiB\n")
    assert peaks[1000] - peaks[1] < 1024 * _MIB
