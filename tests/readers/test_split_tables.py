"""A table that is split keeps its header in each passage."""

from __future__ import annotations

import pytest

from late_interaction.readers import split_document

ROWS = [(f"item{number}", f"{number * 7} EUR") for number in range(40)]


def markdown(rows):
    return "| Name | Price |\n|------|------:|\n" + "\n".join(f"| {name} | {price} |" for name, price in rows)


def html(rows, head="<thead><tr><th>Name</th><th>Price</th></tr></thead>"):
    body = "".join(f"<tr><td>{name}</td><td>{price}</td></tr>" for name, price in rows)
    return f"<table><caption>Our prices</caption>{head}<tbody>{body}</tbody></table>"


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


FORMATS = {
    "markdown": (".md", markdown, "| Name | Price |\n|------|------:|\n| "),
    "html": (".html", html, "Name | Price\nitem"),
    "html without thead": (".htm", lambda rows: html(rows, "<tr><th>Name<th>Price</tr>"), "Name | Price\nitem"),
    "html with th": (".htm", lambda rows: html(rows, "<tr><th>Name</th><th>Price</th></tr>"), "Name | Price\nitem"),
    "grid": (".rst", grid, "+--------+---------+\n| Name   | Price   |\n+========+=========+\n"),
    "simple": (".rst", simple, "======  =======\nName    Price\n======  =======\nitem"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_each_passage_begins_with_the_header(name):
    suffix, table, header = FORMATS[name]
    passages = split_document(table(ROWS), source=f"a{suffix}", suffix=suffix, max_chars=200)
    texts = [passage.text for passage in passages if "Our prices" not in passage.text]
    assert len(texts) > 3
    assert all(len(text) <= 200 for text in texts)
    assert all(text.startswith(header) for text in texts)
    joined = "\n".join(texts).split()
    assert [word for word in joined if word.startswith("item")] == [row[0] for row in ROWS]


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
    assert set(found) == words


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
