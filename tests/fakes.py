"""A fast encoder with real behaviour, for the tests of everything above encoders."""

from __future__ import annotations

import hashlib
import re
import threading
from functools import cache

import numpy as np

from late_interaction.errors import InvalidRequestError

_WORD = re.compile(r"\w+")


class WordEncoder:
    """One unit vector per word, made of nothing but the lower-cased word: equal words match with 1, others by chance.

    Queries and documents are encoded alike; a text without words has no vectors. Any thread may call.

    Args:
        dim: Dimension of the vectors.
        name: Encoders of another name give other vectors, and their fingerprints differ.

    Attributes:
        queries_encoded: Number of texts given to `encode_queries` so far.
        documents_encoded: Number of texts given to `encode_documents` so far.
    """

    def __init__(self, dim=16, name="words"):
        self.dim = dim
        self.name = name
        self.queries_encoded = 0
        self.documents_encoded = 0
        self._lock = threading.Lock()

    @property
    def fingerprint(self):
        return {"model": self.name, "dim": self.dim}

    @property
    def texts_encoded(self):
        """Number of texts encoded so far, queries and documents."""
        return self.queries_encoded + self.documents_encoded

    def encode_queries(self, texts):
        encoded = [self._encode(text) for text in texts]
        with self._lock:
            self.queries_encoded += len(texts)
        return encoded

    def encode_documents(self, texts):
        encoded = [self._encode(text) for text in texts]
        with self._lock:
            self.documents_encoded += len(texts)
        return encoded

    def token_spans(self, text, task):
        del task  # both alike
        return [match.span() for match in _WORD.finditer(text)]

    def vector(self, word):
        """The vector of one word, (dim,)."""
        return _vector(self.name, self.dim, word.lower())

    def _encode(self, text):
        if not isinstance(text, str):
            raise InvalidRequestError(f"Only strings can be encoded as text, not {type(text).__name__}.")
        vectors = [self.vector(word) for word in _WORD.findall(text)]
        return np.array(vectors, np.float32).reshape(len(vectors), self.dim)


class ShortEncoder(WordEncoder):
    """Reads the first words of a text, and can tell which texts are longer.

    Args:
        query_length: Words that are read of a query.
        document_length: Words that are read of a document.
    """

    def __init__(self, query_length=4, document_length=6, **kwargs):
        super().__init__(**kwargs)
        self.query_length = query_length
        self.document_length = document_length

    def truncated(self, texts, task):
        length = self.query_length if task == "query" else self.document_length
        return [position for position, text in enumerate(texts) if len(_WORD.findall(text)) > length]

    def token_spans(self, text, task):
        length = self.query_length if task == "query" else self.document_length
        return super().token_spans(text, task)[:length]

    def encode_queries(self, texts):
        return [vectors[: self.query_length] for vectors in super().encode_queries(texts)]

    def encode_documents(self, texts):
        return [vectors[: self.document_length] for vectors in super().encode_documents(texts)]


class PlainEncoder(WordEncoder):
    """A `WordEncoder` that can be pickled: its mutex stays here."""

    def __getstate__(self):
        return {"dim": self.dim, "name": self.name}

    def __setstate__(self, state):
        self.__init__(**state)


@cache
def _vector(name, dim, word):
    drawn = np.frombuffer(hashlib.shake_256(f"{name}\0{word}".encode()).digest(2 * dim), "<u2")
    centred = drawn - np.float64(2**16 - 1) / 2
    return centred / np.linalg.norm(centred)


class ColourEncoder(WordEncoder):
    """A page encoder with real behaviour: one vector for each cell of a grid over the page, that of its colour's word.

    So the query "red" finds pages with something red on them, and the cells where it is. White is a word like others.
    Text is read too, unless ``modalities`` says otherwise.

    Args:
        rows: Rows of the grid, and columns.
        modalities: What it says it reads.

    Attributes:
        images_encoded: Number of images given to `encode_images` so far.
    """

    def __init__(self, dim=16, name="colours", rows=8, modalities=("text", "image")):
        super().__init__(dim, name)
        self.rows = rows
        self.modalities = frozenset(modalities)
        self.images_encoded = 0

    def encode_documents(self, texts):
        if texts and "text" not in self.modalities:
            raise InvalidRequestError("This encoder reads pages.")
        return super().encode_documents(texts)

    def encode_images(self, images):
        encoded = [self._encode_image(image) for image in images]
        with self._lock:
            self.images_encoded += len(images)
        return encoded

    def viewed_size(self, width, height):
        side = 32 * self.rows
        return side, round(side * height / width)

    def patch_boxes(self, size):
        del size  # the same grid for all
        step = 1 / self.rows
        cells = [(column * step, row * step) for row in range(self.rows) for column in range(self.rows)]
        return [None, *((left, top, left + step, top + step) for left, top in cells)]

    def _encode_image(self, image):
        """A marker, then the cells row by row: the colour in which a cell differs from white, if there is any."""
        small = image.convert("RGB").resize((4 * self.rows, 4 * self.rows), resample=4)  # box: means of pixels
        pixels = np.asarray(small, np.float32).reshape(self.rows, 4, self.rows, 4, 3)
        cells = pixels.transpose(0, 2, 1, 3, 4).reshape(self.rows**2, 16, 3)
        words = ["page", *(_colour_word(cell) for cell in cells)]
        return np.array([self.vector(word) for word in words], np.float32)


COLOURS = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "red": (255, 0, 0),
    "green": (0, 160, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 230, 0),
}


def _colour_word(pixels):
    farthest = pixels[np.abs(pixels - 255).sum(axis=1).argmax()]
    return min(COLOURS, key=lambda word: float(np.abs(farthest - np.array(COLOURS[word])).sum()))
