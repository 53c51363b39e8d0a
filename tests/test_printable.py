"""Nothing that is shown controls the terminal, and everything is shown literally."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import late_interaction
from late_interaction import Document, Index
from late_interaction.cli.printable import printable, to_json
from tests.fakes import WordEncoder
from tests.test_cli import call, load_with

HOSTILE = {
    "title": "word\x1b]0;owned\x07 after",
    "colors": "word\x1b[31mred\x1b[0m after",
    "clear": "word\x1b[2J\x1b[H after",
    "clipboard": "word\x1b]52;c;cm0=\x1b\\ after",
    "C1": "word\x9b31m\x9d0;x\x9c\x85\x90 after",
    "return": "word\rover after",
    "backspace": "word\b\b\b\x00\x7f after",
    "override": "word \u202eevil\u202c after",
    "isolate": "word \u2066a\u2067b\u2068c\u2069\u200f\u200e\u061c after",
    "separators": "word\u2028line\u2029paragraph\x0b\x0c after",
    "markup": "word [bold]b[/bold] [/] [red] [link=http://x]y[/link] after",
    "closing": "word [/b] [/closing] after",
    "emoji": "word :smile: :skull: after",
    "brackets": "word [old] [1] [@click=x]y[/] after",
    "escaped": "word \\[bold] \\x1b after",
}
DANGEROUS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")
STYLE = re.compile("\x1b\\[[0-9;]*m")  # what rich makes of its own styles

hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


class Named(WordEncoder):
    """One that an index remembers by name."""

    source, revision = "minilm", None


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    load_with(monkeypatch, lambda *_, **__: Named())
    return tmp_path


def output(*arguments, code=0):
    """What a command writes to both streams."""
    done = call(*arguments)
    assert done.exit_code == code, done.output
    return check(done.stdout_bytes) + check(done.stderr_bytes)


def check(raw):
    text = raw.decode()
    without_bars = re.sub(r"\r(Indexing: [^\r\n]*)?", "", text) if "\rIndexing: " in text else text
    assert not DANGEROUS.search(without_bars), repr(text)
    return text


def words(text):
    """The text as a line shows it."""
    return " ".join(printable(text, one_line=True).split())


def shown(text):
    return " ".join(text.split())


@hostile
def test_search_and_explain(text):
    with Index.open("index", encoder=Named()) as index:
        index.add([Document(text, id=f"id {text}", metadata={"note": text})])
    for arguments in (["search", "index", "word"], ["search", "index", "word", "--mode", "lexical"]):
        found = shown(output(*arguments)).replace("**", "")
        assert words(f"id {text}") in found
        assert words(text) in found.replace("│", "") or "\x0b" in text
    found = shown(output("explain", "index", f"word {text}", f"id {text}")).replace("**", "")
    assert words(f"id {text}") in found


@hostile
def test_json_is_exact(text):
    document = Document(text, id=f"id {text}", metadata={"note": text, text: [text]})
    with Index.open("index", encoder=Named()) as index:
        index.add([document])
    (row,) = json.loads(output("search", "index", "word", "--json"))
    assert (row["id"], row["text"], row["metadata"]) == (document.id, text, document.metadata)
    values = json.loads(output("explain", "index", "word", document.id, "--json"))
    assert (values["id"], values["text"]) == (document.id, text)


@hostile
def test_files_and_folders(text, folder):
    name = text.replace("/", "|").replace("\0", "")
    (folder / name).mkdir()
    (folder / name / f"{name}.txt").write_text(text.replace("\0", ""), "utf-8", newline="")
    (folder / name / f"bad {name}.txt").write_bytes(b"\xff")
    found = output("index", name, "--index", f"index {name}")
    assert words(f"Skipped {name}/bad {name}.txt: it is not UTF-8") in shown(found)
    assert "1 passage added" in found
    assert words(name) in shown(output("info", f"index {name}"))
    assert json.loads(output("info", f"index {name}", "--json"))["path"] == str(folder / f"index {name}")
    (row,) = json.loads(output("search", f"index {name}", "word", "--json"))
    assert row["id"] == f"{name}/{name}.txt#0"
    assert "No problems found." in output("verify", f"index {name}")
    output("compact", f"index {name}")
    next(Path(f"index {name}/segments").rglob("vectors.npy")).unlink()
    for command in (["verify"], ["verify", "--json"], ["search", "x"], ["info"], ["compact"]):
        found = output(command[0], f"index {name}", *command[1:], code=1)
        assert "vectors.npy" in found
    Path(name).rename("gone")
    (folder / name).mkdir()
    assert words(name) in shown(output("index", name, "--index", f"index {name}", code=1))


@hostile
def test_arguments_that_errors_repeat(text):
    name = text.replace("\0", "")
    Index.open("index", encoder=Named()).close()
    for arguments, code in (
        (["search", f"nowhere {name}", "x"], 1),
        (["info", f"nowhere {name}"], 1),
        (["verify", f"nowhere {name}"], 1),
        (["compact", f"nowhere {name}"], 1),
        (["index", f"nowhere {name}", "--index", "new"], 1),
        (["explain", "index", "x", f"nowhere {name}"], 1),
    ):
        found = output(*arguments, code=code)
        assert found.startswith("Error: ")
        assert found.count("\n") == 1
        assert "nowhere" in found
        assert "after" in found
    for arguments in (
        [name],
        [f"--{name}"],
        ["search", "index", "x", f"--{name}"],
        ["search", "index", "x", "-k", name],
        ["search", "index", "x", "--mode", name],
        ["search", "index", "x", name, "more"],
        ["index", ".", "--index", "new", "--bits", name],
    ):
        assert "Error: " in output(*arguments, code=2)
    output("search", "index", "x", "--where", name, code=1)
    output("search", "index", "x", "--where", json.dumps({name: {"$like": name}}), code=1)
    output("index", ".", "--index", "index", "--root", name, code=1)


def test_names_that_are_not_unicode(folder):
    name = os.fsdecode(b"word \xff after.txt")
    (folder / "docs").mkdir()
    try:
        (folder / "docs" / name).write_text("text")
    except OSError:
        pytest.skip("this file system has Unicode names alone")
    assert "Skipped docs/word \\udcff after.txt: its name is not valid UTF-8" in output("index", "docs", "--index", "i")
    assert "nowhere\\udcff does not exist" in output("index", "docs", "nowhere\udcff", "--index", "i", code=1)
    assert "nowhere\\udcff" in output("info", "nowhere\udcff", code=1)
    assert "udcff" in output("x\udcff", code=2)


@pytest.mark.parametrize("text", [HOSTILE["title"], HOSTILE["markup"], HOSTILE["override"]])
def test_log_messages_and_warnings(text, monkeypatch):
    def warn(*_, **__):
        logging.getLogger("late_interaction.engines").warning("said %s", text)
        warnings.warn(f"warned {text}", stacklevel=1)
        return [[]]

    Index.open("index", encoder=Named()).close()
    monkeypatch.setattr(Index, "search_many", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        found = shown(output("search", "index", "x"))
    assert words(f"said {text}") in found
    assert words(f"warned {text}") in found


def test_newlines_and_tabs_of_a_text_stay():
    assert printable("a\n\tb") == "a\n\tb"
    assert printable("a\n\tb", one_line=True) == "a\\n\\tb"
    with Index.open("index", encoder=Named()) as index:
        index.add([Document("first line\nsecond line", id="a\nb")])
    lines = output("search", "index", "x", "--mode", "late").splitlines()
    assert any("first line" in line and "second" not in line for line in lines)
    assert any("a\\nb" in line for line in lines)


@given(st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_any_string(text):
    assert not DANGEROUS.search(printable(text))
    assert not DANGEROUS.search(printable(text, one_line=True))
    assert not re.search(r"[\n\t]", printable(text, one_line=True))
    for encoding in ("utf-8", "ascii", "cp1252", None):
        shown = to_json({text: [text]}, encoding)
        if not re.search("[\ud800-\udbff][\udc00-\udfff]", text):  # JSON has no two halves beside each other
            assert json.loads(shown) == {text: [text]}
        assert not DANGEROUS.search(shown)
        shown.encode("utf-8" if encoding == "utf-8" else "ascii")


def test_words_of_all_scripts_are_left_alone():
    text = "Grüße 尼罗河 किताब café עברית العربية 👩‍👩‍👧 ไทย na\u200cme"
    assert printable(text, one_line=True) == text
    assert json.loads(to_json(text)) == text
    assert text in to_json(text)


class TestProcess:
    """As a shell runs it."""

    @pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
    def test_terminals_of_other_encodings_and_forced_color(self, folder, encoding):
        text = "Nil 尼罗河 ü " + "".join(HOSTILE.values())
        with Index.open("index", encoder=Named()) as index:
            index.add([Document(text, id=text)])
        program = """
from late_interaction.cli import app
for arguments in (
    ["search", "index", "Nil", "--mode", "lexical"],
    ["search", "index", "Nil", "--mode", "lexical", "--json"],
    ["info", "index"],
    ["verify", "index"],
    ["explain", "index", "Nil", "尼罗河\\udcff"],
    ["index", "尼罗河", "--index", "x"],
    ["info", "尼罗河"],
    ["search", "index", "x", "-k", "尼罗河"],
):
    try:
        app(arguments)
    except SystemExit:
        pass
"""
        environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "FORCE_COLOR": "1", "COLUMNS": "2000"}
        environment["PYTHONPATH"] = str(Path(late_interaction.__file__).parent.parent)
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        for stream in (done.stdout, done.stderr):
            shown = STYLE.sub("", stream.decode(encoding))
            assert not DANGEROUS.search(shown)
            assert "Traceback" not in shown
        assert b"\x1b[1;31mError: \x1b[0m" in done.stderr
        found = done.stdout.decode(encoding)
        start = found.index("[\n")
        rows, _ = json.JSONDecoder().raw_decode(found[start:])
        assert rows[0]["text"] == text
        assert "Traceback" not in done.stderr.decode(errors="replace")
