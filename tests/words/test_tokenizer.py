"""The words of texts and queries: what is the same word, in which scripts, and what no text can do."""

from __future__ import annotations

import string
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction.engines import LocalEngine
from late_interaction.words import LANGUAGES, Tokenizer
from tests.engines.helpers import record

PLAIN = Tokenizer(None)
ENGLISH = Tokenizer("english")


def words_of(text, tokenizer=PLAIN):
    exact, forms = tokenizer.document(text)
    return exact.split(), forms.split()


SAME = [
    ("Straße", "STRASSE"),
    ("ΟΔΟΣ", "οδος"),
    ("İSTANBUL", "istanbul"),
    ("ﬁnal ﬀ", "final ff"),
    ("Ｆｕｌｌ　ｗｉｄｔｈ１２", "Full width12"),
    ("ｶﾞｲﾄﾞ", "ガイド"),
    ("①②Ⅳ", "12iv"),
    ("٣٤٥ ۶۷ ४२", "345 67 42"),
    ("hyphen\u00adated", "hyphenated"),
    ("zero\u200bwidth\ufeff", "zerowidth"),
    ("\u202aright\u202c", "right"),
    ("می\u200cخواهم", "میخواهم"),
    ("क\u094d\u200dष", "क\u094dष"),
    ("السَّلَامُ", "السلام"),
    ("كـتـاب", "كتاب"),
    ("שָׁלוֹם", "שלום"),
    ("сло\u0301во", "слово"),
    ("ինչպե՞ս", "ինչպես"),
    ("комп\u02bcютер", "комп'ютер"),
    ("น้ำ", "น้ํา"),
    ("葛\U000e0100飾", "葛飾"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_two_spellings_of_the_same_words(one, other):
    assert words_of(one) == words_of(other)


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("résumé", "resume"),
        ("Łódź", "lodz"),
        ("Ødegård", "odegard"),
        ("ısı", "isi"),
        ("Việt", "viet"),
        ("Αθήνα", "αθηνα"),
        ("ёлка", "елка"),
        ("أحمد", "احمد"),
        ("مکتبة", "مكتبه"),
        ("ज़मीन", "जमीन"),
        ("c++", "c"),
        ("C#", "c"),
        (".NET", "net"),
        ("parseHTMLText", "parsehtmltext parse html text"),
        ("iPhone15Pro", "iphone15pro i phone15 pro"),
    ],
)
def test_the_forms_that_a_word_is_also_found_by(written, form):
    exact, forms = words_of(written)
    assert exact == [written.casefold()]
    assert [word for word in form.split() if word not in exact] == forms


@pytest.mark.parametrize("word", ["й", "її", "किताब", "காபி", "ภาษา", "ガ", "mp3", "größer".replace("ö", "o")])
def test_letters_are_kept(word):
    plain = unicodedata.normalize("NFKC", word).casefold()
    exact, forms = words_of(word)
    assert forms == []
    assert exact[0].replace("_", "").startswith(plain[:1])
    assert "".join(exact).replace("_", "").startswith(plain if len(exact) == 1 else plain[:1])


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("node.js foo_bar COVID-19", "node js foo bar covid 19"),
        ("v1.2.3 192.168.0.1 a.b@c.de", "v1 2 3 192 168 0 1 a b c de"),
        ("https://www.example.org/a?b=c#d", "https www example org a b c d"),
        ("C++, C# and .NET... i++; #tag end.Next", "c++ c# and .net i++ tag end next"),
        ("l'homme won't", "l homme won t"),
        ("?! — 😀 \x00", ""),
        ("東京都 京", "東京 京都 都 京"),
        ("第3章", "第 3 章"),
        ("iPhone手机", "iphone 手机 机"),
        ("ไทย", "ไ_ท ท_ย ย_"),
    ],
)
def test_where_words_begin_and_end(text, exact):
    assert PLAIN.document(text)[0] == exact


TEXTS = {
    "c++": "I write C++ every day, and C",
    "c": "I write C every day, and some more C",
    "c#": "I write C# every day",
    "net": "a .NET library",
    "mesh": "a net library, with a net",
    "node": "a node.js server",
    "js": "js for a node in a graph, and a js node",
    "address": "host 192.168.0.1 is down",
    "numbers": "from 0 to 1 and 168, 192 and more of 0 and 1",
    "camel": "call parseHTMLText here",
    "parse": "parse the text of html",
    "snake": "set foo_bar to zero",
    "bar": "the foo of a bar",
    "korean": "서울에서 물을 마셨다",
    "schon": "wir sind schon da, schon lange da",
    "schoen": "ein schön langes und sehr schönes Lied in alten Sprachen",
    "runs": "she runs, and runs, and runs",
    "run": "one long run along the river to the sea in the rain",
}


@pytest.fixture(scope="module")
def engine(make_directory):
    with LocalEngine.open(make_directory("words") / "index", dim=8) as engine:
        engine.upsert([record(name, text=text) for name, text in TEXTS.items()])
        yield engine


@pytest.mark.parametrize(
    ("query", "first", "also"),
    [
        ("C++", "c++", "c"),
        ("c#", "c#", "c"),
        (".net", "net", "mesh"),
        ("net", "mesh", "net"),
        ("node.js", "node", "js"),
        ("192.168.0.1", "address", "numbers"),
        ("parsehtmltext", "camel", None),
        ("parseHTMLText", "camel", "parse"),
        ("html", "parse", "camel"),
        ("foo_bar", "snake", "bar"),
        ("서울", "korean", None),
        ("물", "korean", None),
        ("schön", "schoen", "schon"),
        ("schon", "schon", "schoen"),
        ("SCHÖN", "schoen", "schon"),
        ("runs", "runs", "run"),
        ("run", "run", "runs"),
    ],
)
def test_the_word_as_it_is_written_comes_first(engine, query, first, also):
    found = [match.id for match in engine.search_lexical(query, 20)]
    assert found[0] == first
    assert also is None or also in found[1:]


# Properties

ALPHABETS = [
    string.printable,
    "aàáâãäåæçøßıİłŁǅ",
    "αάΆϊΐς ΣᾳͅΩ",
    "йёЁїґў\u0301\u0300\u0306",
    "اأإآىةـ\u064b\u0651\u0670\u0653\u0654ک۴",
    "שׁוֹ\u05b0\u05c1ׂ״׳",
    "कषमज़\u093c\u094d\u200d\u200cिं४",
    "กเแำ\u0e33ั้ๆ๔",
    "မြန်\u1031ာ\u1037\u103aခ្មែរ\u17d2ພາ\u0eb3ຳ",
    "東京タガ\u3099\u309aーｶﾞ々〇",
    "서울ᄀ\u1161\u11a8\u3164",
    "\u00ad\u200b\ufe0f\U000e0100\u20e3\ufdfa½①ﬃ",
]
TEXT = st.one_of(
    st.text(max_size=40),
    *(st.text(alphabet, max_size=20) for alphabet in ALPHABETS),
    st.text("".join(ALPHABETS), max_size=30),
)


@settings(max_examples=300, deadline=None)
@given(text=TEXT)
def test_canonically_equivalent_texts_have_the_same_words(text):
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    for tokenizer in (PLAIN, ENGLISH):
        assert tokenizer.document(composed) == tokenizer.document(decomposed) == tokenizer.document(text)
        assert tokenizer.query(composed) == tokenizer.query(decomposed)


@settings(max_examples=300, deadline=None)
@given(text=TEXT)
def test_exact_words_are_their_own_words(text):
    for word in words_of(text)[0]:
        if not word.endswith("_") and "_" not in word:
            assert words_of(word)[0][0] == word


@settings(max_examples=200, deadline=None)
@given(text=st.text(string.printable, max_size=60))
def test_ascii_texts_have_no_rules_of_their_own(text):
    for tokenizer in (PLAIN, ENGLISH):
        exact, forms = tokenizer.document(text)
        beside = tokenizer.document(f"{text} é")
        assert [exact.split(), forms.split()] == [beside[0].split()[:-1], beside[1].split()[:-1]]


@settings(max_examples=200, deadline=None)
@given(text=TEXT)
def test_a_text_is_found_by_itself(text):
    """Each word that a query asks for is in the same text, as a word or as the beginning of one."""
    exact, forms = words_of(text, ENGLISH)
    for clause in ENGLISH.query(text):
        known = exact if clause.is_exact else [*exact, *forms]
        for word in clause.words:
            assert word in known or (clause.is_prefix and any(other.startswith(word) for other in known))


@settings(max_examples=200, deadline=None)
@given(query=st.one_of(TEXT, st.text(st.characters(), max_size=30), st.text('"*^:(){}+-ANDORTE. ', max_size=20)))
def test_no_query_is_an_error(engine, query):
    matches = engine.search_lexical(query, 3)
    assert not matches or engine.highest_lexical_score(query) > 0


@pytest.mark.parametrize(
    "query",
    [
        "word " * 100_000,
        " ".join(f"word{n}" for n in range(5000)),
        "a.b" * 5000,
        "x" * 200_000,
        "東京都" * 5000,
        "ภาษาไทย" * 5000,
        "서울에서" * 5000,
        " ".join(chr(0x4E00 + n) for n in range(5000)),
        "run \x00 \ud800 run",
    ],
)
def test_a_long_query_is_bounded(engine, query):
    assert len(ENGLISH.query(query)) <= 512
    assert max(len(clause.words) for clause in ENGLISH.query(query)) <= 16
    engine.search_lexical(query, 3)


@pytest.mark.parametrize("language", [None, *LANGUAGES])
def test_every_language_has_a_tokenizer(language):
    tokenizer = Tokenizer(language)
    assert tokenizer.document("Word слово λέξη शब्द كلمة 123")[0] == "word слово λέξη शब्द كلمة 123"
    assert tokenizer.version
