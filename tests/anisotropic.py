"""Encoders whose token vectors have a strong common direction, made of encoders whose vectors have a weak one."""

from __future__ import annotations

import numpy as np

STRENGTHS = {0.73: 0.72, 0.91: 0.9, 0.95: 0.95}
"""The mean cosine of two token vectors of MiniLM, .05 alone, by the strength of the direction that is mixed in."""


def mix(vectors, strength, jitter=0.1):
    """Unit vectors with a common direction; its coefficient varies from vector to vector."""
    if not len(vectors):
        return vectors
    direction = np.random.default_rng(0).normal(size=vectors.shape[1])
    direction /= np.linalg.norm(direction)
    noise = 1 + jitter * np.random.default_rng(len(vectors)).normal(size=(len(vectors), 1))
    mixed = np.sqrt(strength) * noise * direction + np.sqrt(1 - strength) * vectors
    return (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype(np.float32)


class Anisotropic:
    """An encoder with a common direction of some strength; everything else is that of the encoder it is made of."""

    def __init__(self, encoder, strength, jitter=0.1):
        self.encoder = encoder
        self.strength = strength
        self.jitter = jitter

    @property
    def fingerprint(self):
        return {
            "model": f"{self.encoder.fingerprint['model']}, mixed",
            "strength": self.strength,
            "jitter": self.jitter,
        }

    def __getattr__(self, name):
        if name == "encoder":
            raise AttributeError(name)
        return getattr(self.encoder, name)

    def encode_queries(self, texts):
        return [mix(vectors, self.strength, self.jitter) for vectors in self.encoder.encode_queries(texts)]

    def encode_documents(self, texts):
        return [mix(vectors, self.strength, self.jitter) for vectors in self.encoder.encode_documents(texts)]


class AnisotropicPages(Anisotropic):
    """The same, of an encoder that reads images."""

    def encode_images(self, images):
        return [mix(vectors, self.strength, self.jitter) for vectors in self.encoder.encode_images(images)]
