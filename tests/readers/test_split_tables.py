"""A table that is split keeps its header in each passage."""

from __future__ import annotations

import time

import pytest

from late_interaction.readers import split_document

ROWS = [(f"item{number}", f"{number * 7} EUR") for number in range(40)]


def markdown(rows):
    return "| Name | Price |\n|------|------:|\n" + "\n".join(f"| {name} | {price} |" for name, price in rows)


def html(rows, head="<thead><tr><th>Name</th><th>Price</th></tr></thead>"):
    body = "".join(f"<tr><td>{name}</td><td>{price}</td></tr>" for name, price in rows)
    return f"<table><caption>Our prices</caption>{head}<tbody>{body}</tbody></table>"


def html_lines(rows, cell, end="\n"):
    head = f"<tr><{cell}>Name</{cell}><{cell}>Price</{cell}></tr>"
    head = f"<thead>{head}</thead>" if cell == "th" else head
    body = end.join(f"  <tr><td> {name} </td><td>{price} </td></tr>" for name, price in rows)
    return f"<table>\n  {head}{end}{body}\n</table>"


def grid(rows):
    line = "+--------+---------+"
    return (
        f"{line}\n| Name   | Price   |\n+========+=========+\n"
        + f"\n{line}\n".join(f"| {name:6} | {price:7} |" for name, price in rows)
        + f"\n{line}"
    )


def simple(rows):
    line = "======  ======="
    return f"{line}\nName    Price\n{line}\n" + "\n".join(f"{name:6}  {price}" for name, price in rows) + f"\n{line}"


def list_table(rows):
    items = "\n\n".join(f"   * - {name}\n     - {price}" for name, price in rows)
    return f".. list-table:: Goods\n   :header-rows: 1\n\n   * - Name\n     - Price\n{items}"


def csv_table(rows, head="   :header: Name, Price\n"):
    return f".. csv-table:: Goods\n{head}\n" + "\n".join(f'   {name}, "{price}"' for name, price in rows)


FORMATS = {
    "markdown": (".md", markdown, "| Name | Price |\n|------|------:|\n| "),
    "html": (".html", html, "Name | Price\nitem"),
    "html without thead": (".htm", lambda rows: html(rows, "<tr><th>Name<th>Price</tr>"), "Name | Price\nitem"),
    "html with th": (".htm", lambda rows: html(rows, "<tr><th>Name</th><th>Price</th></tr>"), "Name | Price\nitem"),
    "html with bold names": (
        ".htm",
        lambda rows: html(rows, "<tr><td><b>Name</b></td><td><p><strong>Price</strong></td></tr>"),
        "Name | Price\nitem",
    ),
    "html without names": (".htm", lambda rows: html(rows, "<tr><td><b>item</b></td><td>Price</td></tr>"), "item"),
    "html in markdown": (
        ".md",
        lambda rows: html_lines(rows, "th"),
        "<table>\n  <thead><tr><th>Name</th><th>Price</th></tr></thead>\n  <tr><td> item",
    ),
    "grid": (".rst", grid, "+--------+---------+\n| Name   | Price   |\n+========+=========+\n"),
    "simple": (".rst", simple, "======  =======\nName    Price\n======  =======\nitem"),
    "list": (
        ".rst",
        list_table,
        ".. list-table:: Goods\n   :header-rows: 1\n\n   * - Name\n     - Price\n   * - item",
    ),
    "csv": (".rst", csv_table, ".. csv-table:: Goods\n   :header: Name, Price\n\n   item"),
    "csv with a row of names": (
        ".rst",
        lambda rows: csv_table([("Name", "Price"), *rows], "   :header-rows: 1\n"),
        '.. csv-table:: Goods\n   :header-rows: 1\n\n   Name, "Price"\n   item',
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_each_passage_begins_with_the_header(name):
    suffix, table, header = FORMATS[name]
    passages = split_document(table(ROWS), source=f"a{suffix}", suffix=suffix, max_chars=200)
    texts = [passage.text for passage in passages if "Our prices" not in passage.text]
    assert len(texts) > 3
    assert all(len(text) <= 200 for text in texts)
    assert all(text.startswith(header) for text in texts)
    joined = "\n".join(texts).replace(",", "").split()
    assert [word for word in joined if word.startswith("item") and word != "item"] == [row[0] for row in ROWS]


def test_no_row_of_html_is_cut():
    rows = [(f"item{number}", "It is 7. No more? No. EUR") for number in range(40)]
    for max_chars in range(200, 220):
        for passage in split_document(html(rows, ""), source="a", suffix=".html", max_chars=max_chars):
            lines = [line for line in passage.text.split("\n") if line not in ("Our prices", "")]
            assert all(line.startswith("item") and line.endswith(" | It is 7. No more? No. EUR") for line in lines)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("<tr><td>a<td>b</tr><tr><td>c<td>d</tr>", "a | b\nc | d"),
        ("<tr><td>a<td>b</tr><tr><td><td>d</tr>", "a | b\n| d"),
        ("<tr><th>a<td>b</tr><tr><th>c<td>d</tr>", "a | b\nc | d"),
        ("<tr><th>a<th>b</tr><tr><th>c<th>d</tr>", "a | b\nc | d"),
        ("<tr><td>a<td>b<td>c</td></td></td><td>d<td>e</tr><tr><td>f</tr>", "a | b | c | d | e\nf"),
        ("<tr><td>a<td>b</tr>", "a b"),  # a layout, as are those below
        ("<tr><td>a</tr><tr><td>b</tr>", "a\nb"),
        ("<tr><td>a<td>b</tr><tr><td><p>c</p><p>d</p></tr>", "a b\n\nc\n\nd"),
        ("<tr><td>a<td>b</tr><tr><td><ul><li>c</ul></tr>", "a b\n\nc"),
    ],
)
def test_tables_without_header(rows, text):
    (document,) = split_document(f"<table>{rows}</table>", source="x", suffix=".html")
    assert document.text == text


@pytest.mark.parametrize("name", ["grid", "simple", "list", "csv"])
def test_no_row_of_restructuredtext_is_cut(name):
    suffix, table, _ = FORMATS[name]
    rows = [(f"item{number}", f"{number * 7} EUR") for number in range(100, 140)]
    text = table(rows)
    for max_chars in range(190, 230):
        passages = split_document(text, source="a", suffix=suffix, max_chars=max_chars)
        for passage in passages:
            assert 0 < passage.text.count("item") == passage.text.count("EUR")
            if name == "grid":
                assert passage.text.endswith("+--------+---------+")


@pytest.mark.parametrize(
    ("table", "header"),
    [
        (html_lines(ROWS, "th", "\n\n"), "<th>Price"),
        (html_lines(ROWS, "th").replace("thead", "tbody"), "<th>Price"),
        (html_lines(ROWS, "td").replace("Name", "<b>Name</b>").replace("Price", "**Price**"), "**Price**"),
        (html_lines(ROWS, "td"), None),
        (html_lines(ROWS, "td").replace("Name", "<b>Name</b>"), None),
        (html_lines(ROWS, "td").replace("td>", "th>"), None),
        (html_lines(ROWS, "td").replace("Price", "<table>"), None),
    ],
)
def test_an_html_table_in_markdown(table, header):
    text = f"Before.\n{table}\n\n# After\n\nIt."
    passages = split_document(text, source="a", suffix=".md", max_chars=300)
    assert passages[-1].text == "It."
    assert "".join(passage.text for passage in passages).count("item") == len(ROWS)
    inside = [passage.text for passage in passages if "item" in passage.text]
    assert len(inside) > 3
    assert all(len(text) <= 300 for text in inside)
    if header:
        assert all(header in text for text in inside)
    if "<table></td>" not in table:
        assert all(text.count("<tr>") == text.count("</tr>") for text in inside)


def test_headings_and_code_are_not_in_a_table_without_an_end():
    text = "<table>\n<tr><td>a\n\n# b\n\n```\nc\n```\n\n</table>\n\n<table>\n\n<table>\n"
    documents = split_document(text, source="a", suffix=".md")
    assert [document.text for document in documents] == [
        "<table>\n<tr><td>a",
        "```\nc\n```\n\n</table>\n\n<table>\n\n<table>",
    ]


LINE = "======  ======="
ROWS_OF_LINES = {
    "simple": f"{LINE}\n" + 'a1      one\n        two\na1      "one\n--------------\n        two"\n' * 9 + LINE,
    "csv": ".. csv-table:: Goods\n\n" + '   a1, "one\n   two"\n' * 20,
    "list": ".. list-table:: Goods\n\n" + "   * - a1\n\n       one\n     - * two\n" * 20,
}


@pytest.mark.parametrize("name", ROWS_OF_LINES)
@pytest.mark.parametrize("max_chars", range(100, 120))
def test_rows_of_several_lines_are_not_cut(name, max_chars):
    passages = split_document(ROWS_OF_LINES[name], source="a", suffix=".rst", max_chars=max_chars)
    assert len(passages) > 3
    assert all(0 < passage.text.count("a1") == passage.text.count("two") for passage in passages)


@pytest.mark.parametrize("text", [".. csv-table:: Goods\n   :file: goods.csv", ".. list-table::\n\na", "==  ==\na   b"])
def test_a_table_without_rows_in_the_file(text):
    assert [passage.text for passage in split_document(text, source="a", suffix=".rst")] == [text]


def test_the_text_before_and_after_stays_outside():
    text = f"# Prices\n\nBefore.\n\n{markdown(ROWS)}\n\nAfter.\n"
    passages = [passage.text for passage in split_document(text, source="a", suffix=".md", max_chars=200)]
    assert passages[0].startswith("Before.")
    assert passages[-1].endswith("After.")
    assert sum("| Name |" in passage for passage in passages) == sum("item" in passage for passage in passages)


def test_a_table_that_fits_is_as_it_was():
    text = f"Before.\n\n{markdown(ROWS[:2])}\n\nAfter."
    assert [passage.text for passage in split_document(text, source="a", suffix=".md")] == [text]


def test_a_long_row_is_split_and_keeps_the_header_too():
    text = markdown([("a", "word " * 100), ("b", "1")])
    passages = [passage.text for passage in split_document(text, source="a", suffix=".md", max_chars=200)]
    assert all(passage.startswith("| Name | Price |\n|---") for passage in passages)
    assert sum(passage.count("word") for passage in passages) == 100


def test_a_header_of_most_of_a_passage_is_not_repeated():
    text = markdown(ROWS).replace("Price", "Price " * 20)
    passages = [passage.text for passage in split_document(text, source="a", suffix=".md", max_chars=200)]
    assert sum("Name" in passage for passage in passages) == 1
    assert sum(passage.count("item") for passage in passages) == 40


@pytest.mark.parametrize(
    "text",
    [
        "<table><tr><td>a</td><td>b</td></tr></table>",  # of no header
        "<table><tr><th>a</th><td>b</td></tr><tr><th>c</th><td>d</td></tr></table>",  # headers of rows
        "<table><tr><th>a</th></tr><tr><td><table><tr><td>b</td></tr></table></td></tr></table>",
        "<table><tr><th>a<tr><td>b</table>",
        "<table><thead><tr><th>a</th></tr></thead>b<tfoot><tr><td>c</td></tr></tfoot>d<tr><td><p>e</p>f</table>",
        "<table><caption>a<p>b</caption><tr><th></th></tr><tr><td>c</td></tr><tr><td><h2>d</h2></td></tr></table>",
    ],
)
def test_no_text_of_an_odd_table_is_lost(text):
    words = {word for word in "abcdef" if f">{word}" in text}
    documents = split_document(text, source="x", suffix=".html", max_chars=200)
    found = " ".join(f"{document.metadata.get('heading', '')} {document.text}" for document in documents).split()
    assert set(found) - {"|"} == words


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("<tr><th>A</th><th>B</th><th>C</th></tr><tr><td>1</td><td></td><td>3</td></tr>", "A | B | C\n1 | | 3"),
        ("<tr><th>A</th><!-- x --><th>B</th></tr><tr><td>1</td>x<td>2</td></tr>", "A | B\n1 x 2"),
        ("<tr><th>A<th>B<th>C</tr><tr><td>1<td><td>3</tr>", "A | B | C\n1 | | 3"),
        ("<tr>\n<th>A</th>\n<th>B</th>\n</tr>\n<tr>\n<td> </td>\n<td>2<br>3</td></tr>", "A | B\n| 2 3"),
        ("<tr><td></td><th>B</th></tr><tr><th>x</th><td>1</td></tr>", "| B\nx | 1"),
        ("<tr><th colspan='2'>A</th><th>C</th></tr><tr><td>1</td><td>2</td><td>3</td></tr>", "A | | C\n1 | 2 | 3"),
        (
            "<tr><th>A<th>B<th>C</tr><tr><td rowspan=2>1<td>2<td rowspan=3>3</tr><tr><td>4</tr><tr><td>5<td>6</tr>",
            "A | B | C\n1 | 2 | 3\n| 4\n5 | 6",
        ),
        ("<tr><th>A</th></tr><tr><td></td></tr><tr><td colspan='x'>1</td></tr>", "A\n1"),
        ("<tr><th>A</th></tr><tr><td colspan='99999'>1</td></tr>", f"A\n1{' |' * 63}"),
    ],
)
def test_cells_stay_in_their_columns(rows, text):
    (document,) = split_document(f"<table>{rows}</table>", source="x", suffix=".html")
    assert document.text == text


def test_many_cells_without_end_tags_are_read_in_linear_time():
    text = f"<table><tr>{'<td>a' * 10_000}</tr><tr><td>b</td></tr></table>"
    started = time.process_time()
    passages = split_document(text, source="x", suffix=".html")
    assert time.process_time() - started < 8
    assert sum(passage.text.count("a") for passage in passages) == 10_000
