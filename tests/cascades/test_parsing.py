"""The notation of stages on the command line."""

from __future__ import annotations

import pytest

from late_interaction.cascades import parse_stages
from late_interaction.errors import InvalidRequestError


def test_names_and_numbers():
    model = object()
    assert parse_stages("lexical:200,late:20,cross-encoder:10", {"cross-encoder": model}) == [
        ("lexical", 200),
        ("late", 20),
        (model, 10),
    ]
    assert parse_stages(" hybrid : 7 ") == [("hybrid", 7)]


@pytest.mark.parametrize(
    ("notation", "message"),
    [
        ("", "written as lexical:200,late:20"),
        (None, "written as"),
        ("late", "NAME:NUMBER with a positive number.* got 'late'"),
        ("late:", "NAME:NUMBER"),
        (":20", "NAME:NUMBER"),
        ("late:0", "NAME:NUMBER"),
        ("late:-3", "NAME:NUMBER"),
        ("late:٣", "NAME:NUMBER"),
        ("late:99999999999", "NAME:NUMBER"),
        ("late:20,", "NAME:NUMBER"),
        ("lexcial:20", "Unknown stage 'lexcial' .* Did you mean 'lexical'"),
        ("late:10, lexical:20", "'lexical:20' in .* must keep at most the 10 documents that the stage before keeps"),
        ("cross:20", "Known: late, lexical, hybrid, cross-encoder"),
    ],
)
def test_mistakes(notation, message):
    with pytest.raises(InvalidRequestError, match=message):
        parse_stages(notation, {"cross-encoder": object()})
