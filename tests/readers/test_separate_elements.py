"""The words of neighboring elements of a web page stay apart, as a browser shows them."""

from __future__ import annotations

import pytest

from late_interaction.readers import split_document


def words(html):
    (document,) = split_document(html, source="x", suffix=".html")
    return document.text.split()


@pytest.mark.parametrize(
    "html",
    [
        "<table><tr><td>a</td><td>b</td></tr></table>",
        "<table><tr><td>a</td>b</tr></table>",
        "<table><tr><td>a</td></tr>b</table>",
        "<table><tr><th>a</th></tr><tr><td>b</td></tr></table>",
        "a<br>b",
        "a<br/>b",
        "<ul><li>a</li><li>b</li></ul>",
        "<ul><li>a</li>b</ul>",
        "<ul><li>a<ul><li>b</li></ul></ul>",
        "<dl><dt>a</dt><dd>b</dd></dl>",
        "<dl><dd>a</dd>b</dl>",
        "<select><option>a</option><option>b</option></select>",
        "<select><option>a</option></select>b",
        "<button>a</button><button>b</button>",
        "<label>a</label>b",
        "<div>a</div>b",
        "a<div>b</div>",
        "<noscript>a</noscript>b",
        "<textarea>a</textarea>b",
        "a<input>b",
        "<svg><text>a</text><text>b</text></svg>",
        "<my-card>a</my-card><my-card>b</my-card>",
        '<span style="display: block">a</span><span>b</span>',
        '<span style="color:red;DISPLAY:inline-block">a</span>b',
        "<p>a<hr>b</p>",
        "<ruby>a<rt>b</rt></ruby>",
        "a<iframe></iframe>b",
    ],
)
def test_apart(html):
    assert words(html) == ["a", "b"]


@pytest.mark.parametrize(
    "html",
    [
        "<b>a</b>b",
        "a<wbr>b",
        "a<!-- -->b",
        "<span>a</span><span>b</span>",
        "a<sub>b</sub>",
        '<span style="display:inline">a</span>b',
        '<span style="display: inline !important">a</span>b',
    ],
)
def test_together(html):
    assert words(html) == ["ab"]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("10<sup>6</sup> m<sup>-2</sup>", "10^6 m^-2"),
        ("1<sup>st</sup> H<sub>2</sub>O", "1st H2O"),
        ("revenue<sup>1</sup>.", "revenue^1."),
        ("a <sup>2</sup>", "a 2"),
    ],
)
def test_a_raised_number_is_not_a_part_of_the_word_before(html, text):
    assert words(html) == text.split()
