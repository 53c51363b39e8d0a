"""Documents, queries and the oracle that the tests of `Index` share."""

from __future__ import annotations

import random
import re

import numpy as np

from late_interaction import Document
from tests.fakes import WordEncoder

WORDS = re.findall(r"\w+", "river nile amazon capital paris berlin water stone bread wine old new long deep city sea")
QUERIES = ["nile river", "the old capital", "Deep SEA water, deep!", "bread", "something else entirely"]
WINDOW = 128  # documents that may be in the encoder's hands at once

FACTS = [
    Document("the nile is a river in africa", id="nile", metadata={"kind": "river", "length": 6650}),
    Document("the amazon is a river in america", id="amazon", metadata={"kind": "river", "length": 6400}),
    Document("paris is the capital of france", id="paris", metadata={"kind": "city", "tags": ["seine", "old"]}),
    Document("berlin is the capital of germany", id="berlin", metadata={"kind": "city"}),
    Document("!!!", id="mute"),
]


def true_maxsim(query, text, encoder=None):
    """MaxSim by its definition in float64, the document's vectors rounded to float16 as the index keeps them."""
    encoder = encoder or WordEncoder()
    total = 0.0
    document = [encoder.vector(word) for word in re.findall(r"\w+", text)]
    document = [vector.astype(np.float32).astype(np.float16).astype(np.float64) for vector in document]
    for word in re.findall(r"\w+", query):
        token = encoder.vector(word).astype(np.float32).astype(np.float64)
        total += max((float(np.dot(token, vector)) for vector in document), default=0.0)
    return total


def random_documents(count, seed=0):
    draw = random.Random(seed)
    return [
        Document(
            f"{' '.join(draw.choices(WORDS, k=draw.randint(1, 12)))} number{number}",
            id=f"d{number}",
            metadata={"number": number, "even": number % 2 == 0},
        )
        for number in range(count)
    ]


def state(index):
    """All that a write may change: the documents, the sizes and the files."""
    info = index.info()
    sizes = {key: info[key] for key in ("documents", "tokens", "segments", "deleted_documents", "vector_bytes")}
    files = sorted(str(path) for path in (index.engine.path / "segments").rglob("*"))
    return list(index.scan()), sizes, files
