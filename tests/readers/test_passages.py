from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from late_interaction.errors import InvalidRequestError
from late_interaction.readers import split_text
from late_interaction.readers.blocks import Block
from late_interaction.readers.passages import pack_blocks


def solid(text):
    return "".join(text.split())


# Text dense in the places where cutting is decided.
CUTTABLE = st.lists(
    st.sampled_from(
        ["a", "Word", " ", "  ", "\n", "\n\n", "\r\n", "\t", ". ", "! ", "?” ", "。", "」", "é", "e\u0301", "…"]
    )
).map("".join)


@given(st.text() | CUTTABLE, st.integers(1, 40))
def test_nothing_is_lost_and_every_passage_fits(text, max_chars):
    passages = split_text(text, max_chars=max_chars)

    assert solid("".join(passages)) == solid(text)
    assert all(passage.strip() and len(passage) <= max_chars for passage in passages)


@given(st.lists(st.tuples(CUTTABLE.map(str.strip).filter(bool), st.booleans())), st.integers(1, 40))
def test_nothing_is_lost_where_code_and_prose_mix(contents, max_chars):
    passages = pack_blocks((Block(text, verbatim=verbatim) for text, verbatim in contents), max_chars)

    assert solid("".join(passages)) == solid("".join(text for text, _ in contents))
    assert all(passage.strip() and len(passage) <= max_chars for passage in passages)


def test_paragraphs_are_packed_up_to_the_size():
    assert split_text("One.\n\nTwo.\n \n\nThree.", max_chars=12) == ["One.\n\nTwo.", "Three."]


def test_the_size_is_inclusive():
    assert split_text("One.\n\nTwo.", max_chars=10) == ["One.\n\nTwo."]
    assert split_text("One.\n\nTwo.", max_chars=9) == ["One.", "Two."]


def test_a_long_paragraph_is_cut_after_sentences():
    text = "It is here. Is it? “Yes, it is!” said he. So be it."

    assert split_text(text, max_chars=20) == ["It is here. Is it?", "“Yes, it is!” said", "he. So be it."]


def test_abbreviations_and_decimals_end_no_sentence():
    assert split_text("Some, e.g. cats, like 3.5 fish. Dogs do not.", max_chars=35) == [
        "Some, e.g. cats, like 3.5 fish.",
        "Dogs do not.",
    ]


def test_sentences_may_be_two_spaces_apart():
    assert split_text("First one.  Second one.", max_chars=15) == ["First one.", "Second one."]


def test_without_sentences_lines_stay_whole():
    assert split_text("- red apples\n- green pears\n- figs", max_chars=22) == ["- red apples", "- green pears\n- figs"]


def test_a_long_paragraph_without_sentence_ends_is_cut_between_words():
    assert split_text("one two three four five six", max_chars=10) == ["one two", "three four", "five six"]


def test_a_long_word_is_cut_inside():
    assert split_text("abcdefghij", max_chars=4) == ["abcd", "efgh", "ij"]


def test_chinese_is_cut_after_sentences():
    text = "今天下雨。他说：“走吧！”我们走了。"  # noqa: RUF001

    assert split_text(text, max_chars=13) == [text[:13], "我们走了。"]
    assert split_text(text, max_chars=12) == ["今天下雨。", text[5:13], "我们走了。"]


def test_chinese_without_punctuation_is_cut_inside():
    assert split_text("天" * 2500) == ["天" * 1000, "天" * 1000, "天" * 500]


def test_accents_stay_with_their_letter():
    assert split_text("abe\u0301d", max_chars=3) == ["ab", "e\u0301d"]


def test_a_short_lead_goes_with_the_start_of_what_is_too_long():
    assert split_text("Rules:\n\nOne is one. Two is two. Three is three.", max_chars=24) == [
        "Rules:\n\nOne is one.",
        "Two is two.",
        "Three is three.",
    ]


def test_what_fills_half_a_passage_stays_apart_from_what_is_too_long():
    assert split_text("These are rules:\n\nOne is one. Two is two. Three is three.", max_chars=24) == [
        "These are rules:",
        "One is one. Two is two.",
        "Three is three.",
    ]


def test_indentation_is_kept():
    assert split_text("    def f():\n        pass\n\n    f()") == ["    def f():\n        pass\n\n    f()"]


def test_code_is_cut_at_blank_lines_then_lines():
    code = Block("def f():\n    return 1. A\n\ndef g():\n    return 2\n    # the end of it", verbatim=True)

    assert pack_blocks([code], 30) == ["def f():\n    return 1. A", "def g():\n    return 2", "    # the end of it"]


@pytest.mark.parametrize("text", ["", " \n\t\n", "\r\n\r\n"])
def test_blank_text_has_no_passages(text):
    assert split_text(text) == []


@pytest.mark.parametrize("max_chars", [0, -1])
def test_a_size_below_one_is_refused(max_chars):
    with pytest.raises(InvalidRequestError, match="max_chars must be at least 1"):
        split_text("text", max_chars=max_chars)
