"""Sources for the tests of importing: words as token vectors, so that an encoder and an oracle are at hand."""

from __future__ import annotations

import numpy as np

from late_interaction import Document
from tests.fakes import WordEncoder

ENCODER = WordEncoder(dim=16)


def texts(count):
    """Texts of 1 to 8 words, of which some occur in several."""
    return [" ".join(f"w{(7 * number + place) % 90}" for place in range(1 + number % 8)) for number in range(count)]


def documents(count):
    return [Document(text, id=f"d{number}", metadata={"n": number}) for number, text in enumerate(texts(count))]


def vectors(count):
    return ENCODER.encode_documents(texts(count))


def flat_folder(folder, count, *, dtype=np.float32, lengths="doclens.npy"):
    """A folder with one array of all vectors, their lengths and ids; returns it."""
    import json

    folder.mkdir()
    arrays = vectors(count)
    np.save(folder / "vectors.npy", np.concatenate(arrays).astype(dtype))
    sizes = [len(one) for one in arrays]
    if lengths.startswith("offsets"):
        sizes = [0, *np.cumsum(sizes).tolist()]
    if lengths.endswith(".npy"):
        np.save(folder / lengths, np.array(sizes))
    else:
        (folder / lengths).write_text(json.dumps(sizes))
    (folder / "ids.json").write_text(json.dumps([f"d{number}" for number in range(count)]))
    return folder


def maxsim(query, vectors):
    """The exact score of a document, by the definition."""
    return float((query.astype(np.float64) @ vectors.astype(np.float64).T).max(axis=1).sum()) if len(vectors) else 0.0
