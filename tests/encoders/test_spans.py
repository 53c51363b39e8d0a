"""`token_spans`: which characters each vector stands for."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from late_interaction import load_encoder
from late_interaction.errors import InvalidRequestError
from tests.encoders.conftest import encode
from tests.encoders.texts import TEXTS

TASKS = ("query", "document")

# GPT-2's table of byte-level BPE: printable bytes stand for themselves, the others for characters from 256 on.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_BYTES = {chr(byte): byte for byte in _PRINTABLE} | {
    chr(256 + at): byte for at, byte in enumerate(sorted(set(range(256)) - set(_PRINTABLE)))
}


def plain(text):
    """As BERT uncased reads it: lower case, no accents, no control characters."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    return "".join(one for one in decomposed if unicodedata.category(one) not in ("Mn", "Cc", "Cf"))


def stands_for(token, part, accents, *, byte_level):
    """Whether a token of the vocabulary can stand for this part of a text, which these combining accents follow."""
    if token in ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "[q] ", "[Q] "):
        return token == "[UNK]" or part.lower() == token.lower().strip()
    if byte_level:
        # Of a letter with a combining accent, the tokenizer names the letter alone. A character of several bytes may be
        # spread over several tokens, each with the span of the whole character.
        return bytes(_BYTES[one] for one in token).strip() in unicodedata.normalize("NFC", part + accents).encode()
    return token.removeprefix("##") == plain(part)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", TEXTS)
def test_spans(case, task, name):
    text = TEXTS[name]
    byte_level = "modernbert" in case.folder.name
    spans = case.encoder.token_spans(text, task)
    [vectors] = case.encode([text], task)
    assert len(spans) == len(vectors)
    expected = [token for token in case.oracle.read(text, task) if token.kept]
    assert len(spans) == len(expected)
    for span, token in zip(spans, expected, strict=True):
        assert (span is None) == (token.span is None), token
        if span is not None:
            start, end = span
            assert 0 <= start < end <= len(text)
            accents = re.match("[\u0300-\u036f]*", text[end:])[0]
            assert stands_for(token.text, text[start:end], accents, byte_level=byte_level), (token, text[start:end])
    assert spans == [token.span for token in expected]
    starts = [span[0] for span in spans if span is not None]
    assert starts == sorted(starts)


@pytest.mark.parametrize("task", TASKS)
def test_the_span_of_each_word(case, task):
    text = "  Cats and  dogs\n"
    found = [text[span[0] : span[1]] for span in case.encoder.token_spans(text, task) if span is not None]
    assert "".join(part.strip() for part in found) == "Catsanddogs"
    if "modernbert" not in case.folder.name:
        assert found == ["Cats", "and", "dogs"]


def test_markers_and_expansion_have_no_span(stanford_checkpoint, modernbert_checkpoint):
    stanford, modernbert = load_encoder(stanford_checkpoint), load_encoder(modernbert_checkpoint)
    assert stanford.token_spans("cats", "query") == [None, None, (0, 4)] + [None] * 29
    assert stanford.token_spans("cats!", "document") == [None, None, (0, 4), None]
    assert stanford.token_spans("", "document") == [None, None, None]
    spans = modernbert.token_spans(" x", "query")
    assert spans == [None, None, (1, 2), None]


@pytest.fixture(scope="module", params=["pylate", "modernbert"])
def tiny(request):
    return load_encoder(request.getfixturevalue(f"{request.param}_checkpoint"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=40), st.sampled_from(TASKS))
def test_any_text_has_a_span_for_each_vector(tiny, text, task):
    spans = tiny.token_spans(text, task)
    assert len(spans) == len(encode(tiny, [text], task)[0])
    assert all(0 <= start < end <= len(text) for start, end in filter(None, spans))


def test_spans_of_what_is_not_a_string_are_refused(tiny):
    for bad in (None, 5, ["text"]):
        with pytest.raises(InvalidRequestError):
            tiny.token_spans(bad, "query")


def test_a_model_that_pools_tokens(pylate_checkpoint):
    """Pooled vectors stand for several tokens; whatever is answered, there must be one answer for each vector."""
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    from late_interaction.encoders import TextEncoder

    model = MultiVectorEncoder(str(pylate_checkpoint))
    model.append(HierarchicalTokenPooling(pool_factor=2))
    encoder = TextEncoder(model)
    text = "a model that pools tokens, several into one vector"
    [vectors] = encoder.encode_documents([text])
    assert len(vectors) < 9
    assert len(encoder.token_spans(text, "document")) == len(vectors)
