"""Everything one can ask an index, as JSON values that can be compared."""

from __future__ import annotations

import hashlib
import re
import traceback

from late_interaction.errors import LateInteractionError
from tests.torture.samples import COUNT, SEEN_TEXT, documents

ERROR = "error"
_IDS = [f"d{n}" for n in range(COUNT + 2)]
_FILTERS = [
    {"lang": "en"},
    {"lang": {"$ne": "en"}},
    {"n": {"$gte": 20, "$lt": 45}},
    {"price": {"$in": [1.5, 15, 60, 82.5]}},
    {"flag": True, "deep.x.y": 2},
    {"tags": {"$contains": "t3"}},
    {"tags": {"$all": ["all", 2]}},
    {"rare": {"$exists": True}},
    {"$or": [{"deep.list.z": "z4"}, {"$not": {"n": {"$lte": 55}}}]},
    {"lang": {"$nin": ["en", "ja"]}, "rare": {"$exists": False}},
]
_QUERIES = [
    "aspirin water number14",
    "東京 首都",
    "राजधानी",
    "عاصمة مصر",
    "река номер5",  # noqa: RUF001  # Cyrillic is meant
    "resume strasse yellow",
    "ten",
]
_WORDS = ["run mg", "日本", "फ्रांस", "رقم4", "волга", "resume zurich", SEEN_TEXT, "number31 number3", "later"]


def _document(document):
    image = document.image
    page = None if image is None else [image.to_json(), _digest(image.thumbnail or b"")]
    return [document.id, document.text, document.encoded_text, dict(document.metadata), page]


def _digest(data):
    return hashlib.sha256(data).hexdigest()


def _hits(hits):
    return [[*_document(hit.document), f"{hit.score:.4f}", f"{hit.relevance:.4f}"] for hit in hits]


def _info(index):
    info = index.info()
    return {key: value for key, value in info.items() if key not in ("path", "catalog_bytes")}


def _vectors(index):
    return {name: [list(rows.shape), _digest(rows.tobytes())] for name, rows in index.engine.vectors(_IDS).items()}


def _questions():
    yield "info", _info
    yield "encoder record", lambda index: index.engine.encoder_record
    yield "settings", lambda index: [index.engine.dim, index.engine.bits, list(index.modalities)]
    yield "len", len
    yield "scan", lambda index: [_document(document) for document in index.scan()]
    yield "get", lambda index: [_document(document) for document in index.get(_IDS)]
    yield "vectors", _vectors
    for where in _FILTERS:
        yield f"count {where}", lambda index, where=where: index.count(where=where)
        yield f"scan {where}", lambda index, where=where: [document.id for document in index.scan(where=where)]
    for query in _QUERIES:
        yield f"late {query}", lambda index, query=query: _hits(index.search(query, 8))
    for words in _WORDS:
        yield f"lexical {words}", lambda index, words=words: _hits(index.search(words, COUNT, mode="lexical"))
    for query, where in zip(_QUERIES, _FILTERS, strict=False):
        yield (
            f"hybrid {query} {where}",
            lambda index, query=query, where=where: _hits(index.search(query, 5, where=where, mode="hybrid")),
        )
    yield "rerank", lambda index: [[hit.id, f"{hit.score:.4f}"] for hit in index.rerank(_QUERIES[0], ids=_IDS[4:20])]


def _more_questions():
    """Every value of every field, and every word: what filters and words alone know of a document."""
    values, words = {}, set()
    for document in documents(range(COUNT)):
        words |= set(_WORD.findall(document.text))
        for path, value in _leaves(document.metadata):
            values[f"{path} {value!r}"] = {path: value}
    for name, where in values.items():
        yield f"scan {name}", lambda index, where=where: [document.id for document in index.scan(where=where)]
    for word in sorted(words):
        yield f"lexical {word}", lambda index, word=word: [hit.id for hit in index.search(word, COUNT, mode="lexical")]


def _leaves(value, path=""):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, value


_WORD = re.compile(r"\w+")
_QUESTIONS = dict(_questions())
_MORE_QUESTIONS = dict(_more_questions())


def ask(index, faults):
    """Answers by question, `ERROR` where the index said that something is wrong; raw errors are faults."""
    return _answers(index, _QUESTIONS, faults)


def ask_more(index, faults):
    """Answers to questions that together look at every entry of the filters and of the words."""
    return _answers(index, _MORE_QUESTIONS, faults)


def _answers(index, questions, faults):
    answers = {}
    for name, question in questions.items():
        try:
            answers[name] = question(index)
        except LateInteractionError:
            answers[name] = ERROR
        except Exception:  # noqa: BLE001  # reported
            answers[name] = ERROR
            faults.append(raw_error(name, traceback.format_exc()))
    return answers


def raw_error(what, error):
    """A fault: what was called, and an error that is not one of the package's."""
    return f"raw error of {what}: {error.strip().splitlines()[-1]}\n{error}"


def wrong(answers, expected):
    """The questions whose answers are wrong."""
    return [name for name, answer in answers.items() if answer not in (ERROR, expected.get(name))]
