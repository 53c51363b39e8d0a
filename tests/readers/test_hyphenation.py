"""Readers drop soft hyphens, join words split at the end of a line, and leave compounds, lists and code as they are."""

from __future__ import annotations

import time

import pytest

from late_interaction.readers import read_paths
from late_interaction.readers.documents import split_document
from late_interaction.readers.hyphenation import Hyphenation
from tests.pdfs import Page, text, write_pdf


def passage(content, suffix):
    (document,) = split_document(content, source=f"a{suffix}", suffix=suffix)
    return document.text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("an exam-\nple", "an example"),
        ("an exam-  \n   ple", "an example"),
        ("hyphen-\nation, twice: hyphen-\nation", "hyphenation, twice: hyphenation"),
        ("an exam\u2010\nple", "an example"),
        ("Das Bei-\nspiel; слож-\nные; exem-\nple", "Das Beispiel; сложные; exemple"),  # noqa: RUF001
        ("(exam-\nple) **exam-\nple** l'exam-\nple", "(example) **example** l'example"),
        ("de\u0301com-\npose\u0301", "de\u0301compose\u0301"),
    ],
)
def test_split_words_are_joined(given, expected):
    assert Hyphenation(given).undone(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("so\u00adft hy\u00adphens", "soft hyphens"),
        ("a soft\u00ad\nware", "a software"),
        ("a soft\u00ad \n\t ware", "a software"),
        ("Haupt\u00ad\nBahnhof", "HauptBahnhof"),
        ("at the end\u00ad", "at the end"),
        ("a paragraph\u00ad\n\nand another", "a paragraph\n\nand another"),
    ],
)
def test_soft_hyphens_are_dropped(given, expected):
    assert Hyphenation(given).undone(given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("late-\ninteraction, or: late-interaction", "late-interaction, or: late-interaction"),
        ("late-\ninteraction: the interaction is late", "late-interaction: the interaction is late"),
        ("some-\nthing that is something", "something that is something"),
        ("some-\nthing: a thing, somewhere", "something: a thing, somewhere"),
        ("a well-\nknown, self-\nmade man", "a well-known, self-made man"),
        ("x-\naxis and e-\nmail", "x-axis and e-mail"),
        ("state-of-the-\nart, mother-\nin-law", "state-of-the-art, mother-in-law"),
    ],
)
def test_compounds_keep_their_hyphen(given, expected):
    assert Hyphenation(given).undone(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "pre-\nand postwar",
        "Vor-\nund Nachteile",
        "Anglo-\nSaxon",
        "2024-\n2025, 10-\nfold",
        "http://example.org/late-\ninteraction",
        "late-\ninteraction@example.org",
        "--dry-\nrun -x-\nray foo_bar-\nbaz",
        "- item-\n- other",
        "pre-\npost-\nanti-\n",
        "> quoted-\n> text",
        "a -\nb",
        "an end -\nnot of a word",
        "a paragraph-\n\nanother",
        "x = first-\nsecond()",
    ],
)
def test_other_hyphens_at_line_ends_stay(given):
    assert Hyphenation(given).undone(given) == given


@pytest.mark.parametrize("suffix", [".txt", ".md", ".rst", ".html"])
def test_every_text_format(suffix):
    assert (
        passage("This is an exam-\nple of hy\u00adphe\u00ad\nnation.\n", suffix) == "This is an example of hyphenation."
    )


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        ("# A soft\u00adware\n\nText", ".md"),
        ("---\ntitle: A soft\u00adware\n---\nText", ".md"),
        ("A soft\u00adware\n==========\n\nText", ".rst"),
        ("<title>A soft&shy;ware</title>Text", ".html"),
        ("<h1>A soft&shy;ware</h1>Text", ".html"),
    ],
)
def test_titles(content, suffix):
    (document,) = split_document(content, source=f"a{suffix}", suffix=suffix)
    assert document.metadata["title"] == "A software"


def test_code_keeps_its_lines():
    code = "apt-\nget soft\u00ad\nware"
    assert passage(f"```\n{code}\n```", ".md") == "```\napt-\nget soft\nware\n```"
    assert passage(f"<pre>{code}</pre>", ".html") == "apt-\nget soft\nware"


def test_markup_of_web_pages():
    page = (
        "<p>exam-\n  ple soft&shy;ware in<wbr>side</p><ul><li>pre-</li><li>post-</li><li>Anti-</li></ul>"
        "<p>exam-<br>ple</p>"
    )
    assert passage(page, ".html") == "example software inside\n\npre-\npost-\nAnti-\n\nexample"


def test_pages_of_a_pdf(tmp_path):
    lines = ["This is an exam-", "ple of well-", "known pre-", "and postwar Anglo-", "Saxon words."]
    page = "".join(text(line, y=760 - 20 * number) for number, line in enumerate(lines))
    path = write_pdf(tmp_path / "a.pdf", [Page(page)])
    expected = "This is an example of well-known pre-\nand postwar Anglo-\nSaxon words."
    for modality in ("text", "image"):
        (document,) = read_paths([path], modalities=[modality])
        assert document.text == expected


@pytest.mark.parametrize(
    "part",
    ["a", "a-", "a - ", "\u00ad", "\u00ad ", "ab-\n", "a-\n", "aa-\nbb@", " ", "\t\u00ad", "é\u0301", "'a-"],
)
@pytest.mark.parametrize("start", ["", "aa-", "\u00ad"])
def test_the_time_is_linear(start, part):
    long = start + part * 30_000
    started = time.process_time()
    Hyphenation(long).undone(long)
    assert time.process_time() - started < 2


def test_no_passage_has_soft_hyphens_alone(tmp_path):
    for name, content in {"a.txt": "\u00ad\n\n\u00ad\n", "b.html": "<p>&shy;</p>", "c.md": "```\n\u00ad\n```"}.items():
        (tmp_path / name).write_text(content, "utf-8")
    assert [document.text for document in read_paths([tmp_path])] == ["```\n\n```"]
