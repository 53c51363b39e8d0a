from __future__ import annotations

import textwrap

import pytest

from late_interaction.readers.blocks import Block
from late_interaction.readers.sections import read_sections


def read(text, suffix):
    """The title, and for each section the heading path and the texts of the blocks."""
    title, sections = read_sections(textwrap.dedent(text), suffix)
    return title, [(section.headings, [block.text for block in section.blocks]) for section in sections]


class TestMarkdown:
    def test_nested_headings(self):
        text = """\
            Before.

            # Guide
            Intro.
            ## Install
            ### On *Linux* & `arm`
            Use pip.

            Or apt.
            ### On Windows
            Pray.

            Setext
            ------
            Last.
            """

        assert read(text, ".md") == (
            "Guide",
            [
                ((), ["Before."]),
                (("Guide",), ["Intro."]),
                (("Guide", "Install", "On Linux & arm"), ["Use pip.", "Or apt."]),
                (("Guide", "Install", "On Windows"), ["Pray."]),
                (("Guide", "Setext"), ["Last."]),
            ],
        )

    def test_a_hash_in_code_is_no_heading(self):
        text = """\
            # Real
            Run:
            ```sh
            # not a heading

            make
            ```

                # nor this
            """
        _, (section,) = read_sections(textwrap.dedent(text), ".md")

        assert section.headings == ("Real",)
        assert section.blocks == [
            Block("Run:"),
            Block("```sh\n# not a heading\n\nmake\n```", verbatim=True),
            Block("    # nor this", verbatim=True),
        ]

    def test_code_in_a_list_is_one_block(self):
        text = "- Run\n\n  ```\n  a\n\n  b\n  ```\n- End\n"

        assert read(text, ".md") == (None, [((), ["- Run", "  ```\n  a\n\n  b\n  ```", "- End"])])

    def test_headings_in_lists_and_quotes_are_text(self):
        assert read("- # item\n\n> # quote\n", ".md") == (None, [((), ["- # item", "> # quote"])])

    def test_link_definitions_are_kept(self):
        assert read("See [x].\n\n[x]: http://x.org\n", ".md") == (None, [((), ["See [x].", "[x]: http://x.org"])])

    def test_a_heading_with_nothing_below_is_a_section(self):
        assert read("# A\n## B\n## C\n### D\n", ".md") == (
            "A",
            [(("A", "B"), ["B"]), (("A", "C", "D"), ["D"])],
        )

    def test_an_empty_heading_ends_the_section_before(self):
        assert read("# A\n## B\nx\n##\ny\n", ".md") == ("A", [(("A", "B"), ["x"]), (("A",), ["y"])])

    @pytest.mark.parametrize("line", ["title: My: page", "title:  'My: page' ", 'Title: "My: page"'])
    def test_front_matter_gives_the_title_and_is_left_out(self, line):
        text = f"---\ntags:\n  - a\n- b\n{line}\n---\n# Head\nBody.\n"

        assert read(text, ".md") == ("My: page", [(("Head",), ["Body."])])

    def test_front_matter_without_a_plain_title(self):
        assert read("---\ntitle: >\n  Folded\n---\nBody.\n", ".md") == (None, [((), ["Body."])])

    def test_text_between_thematic_breaks_is_no_front_matter(self):
        assert read("---\nPlain words.\n\n---\nBody.\n", ".md") == (None, [((), ["---\nPlain words.", "---\nBody."])])

    def test_front_matter_without_an_end_is_text(self):
        assert read("---\nkey: value\n", ".md") == (None, [((), ["---\nkey: value"])])


class TestHtml:
    def test_a_page(self):
        text = """\
            <!DOCTYPE html>
            <html><head><title>Site &ndash; Fish</title><style>p { color: red }</style>
            <script>if (a < b) { document.write("<p>no</p>") }</script></head>
            <body><nav><a href="/">Home</a></nav><!-- hidden -->
            <h1>Fish &amp;
                chips</h1>
            <p>Caf&eacute;&nbsp;<b>bo</b>ld, <i>1&lt;2</i>.<br>Next   line.</p>
            <div>Loose<p></p>ends</div>
            <template><p>no</p></template>
            <h2>Code</h2>
            <pre><code>if x:

                y()
            </code></pre>
            <ul><li>One</li><li>Two</li></ul>After.
            <table><tr><th>Name</th><th>Price</th></tr><tr><td>Cod</td><td>4</td></tr></table>
            </body></html>
            """

        assert read(text, ".html") == (
            "Fish & chips",
            [
                (("Fish & chips",), ["Café bold, 1<2.\nNext line.", "Loose", "ends"]),
                (("Fish & chips", "Code"), ["if x:\n\n    y()", "One\nTwo", "After.", "Name | Price\nCod | 4"]),
            ],
        )

    def test_pre_is_code(self):
        _, (section,) = read_sections("<p>a</p><pre>b</pre>", ".html")

        assert section.blocks == [Block("a"), Block("b", verbatim=True)]

    def test_the_title_element_stands_in_for_a_missing_h1(self):
        assert read("<title> My\npage </title><h2>A</h2>x", ".htm") == ("My page", [(("A",), ["x"])])

    def test_end_tags_may_be_missing(self):
        assert read("<head><title>T</title><body><h1>H<p>a<p>b<ul><li>c<li>d</ul><h2>I</h2>e", ".html") == (
            "H",
            [(("H",), ["a", "b", "c\nd"]), (("H", "I"), ["e"])],
        )

    def test_deep_nesting(self):
        assert read("<div>" * 5000 + "x", ".html") == (None, [((), ["x"])])

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("text", ["notes.html", "https://x.org/a", '<?xml version="1.0"?><page>notes</page>'])
    def test_no_warnings(self, text):
        assert len(read(text, ".html")[1]) == 1

    def test_half_a_surrogate_pair_can_be_stored(self):
        _, ((_, (text,)),) = read("<p>a&#xD800;b", ".html")

        assert text.encode()[:1] == b"a"


class TestRestructuredText:
    def test_titles(self):
        text = """\
            =====
            Guide
            =====

            Intro
            goes on.

            Install
            =======
            .. _linux:

            Linux & co
            ----------
            Use pip::

                # code

                more

            Use
            ===
            Now.
            """

        assert read(text, ".rst") == (
            "Guide",
            [
                (("Guide",), ["Intro\ngoes on."]),
                (("Guide", "Install"), [".. _linux:"]),
                (("Guide", "Install", "Linux & co"), ["Use pip::", "    # code", "    more"]),
                (("Guide", "Use"), ["Now."]),
            ],
        )

    @pytest.mark.parametrize(
        "text",
        [
            "a\n\n----\n\nb",  # a transition
            "==  ==\na   b\n==  ==",  # a simple table
            "+---+\n| a |\n+---+",  # a grid table
            "one line\nLine two\n--------",  # not the first line of its paragraph
            "A title\n--",  # the line is too short
            "::\n\n    Title\n    =====",  # indented code
        ],
    )
    def test_no_titles(self, text):
        title, sections = read_sections(text, ".rst")

        assert title is None
        assert [section.headings for section in sections] == [()]
        assert "".join("".join(block.text for block in sections[0].blocks).split()) == "".join(text.split())


def test_plain_text_has_no_headings():
    assert read("# A\n\nTitle\n=====\n", ".txt") == (None, [((), ["# A", "Title\n====="])])


@pytest.mark.parametrize("suffix", [".txt", ".md", ".rst", ".html"])
@pytest.mark.parametrize("text", ["", "\n \n"])
def test_blank_files_have_no_sections(text, suffix):
    assert read(text, suffix) == (None, [])
