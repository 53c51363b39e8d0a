"""`TextEncoder`: sentence-transformers' `MultiVectorEncoder`, made safe for threads and for untrusted text."""

from __future__ import annotations

import json
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders.batching import batches
from late_interaction.encoders.by_name import NamedEncoder
from late_interaction.encoders.fingerprint import PROBE_TEXT, library_versions, probe
from late_interaction.encoders.strings import checked, spans
from late_interaction.encoders.turns import FairLock
from late_interaction.errors import UnsupportedCheckpointError
from late_interaction.forking import openmp_is_used

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import MultiVectorEncoder

    from late_interaction.encoders.protocol import Span, Task

__all__ = ["TextEncoder"]

_BATCH_TOKENS = 8192
_NO_LIMIT = 2**31 - 1  # tokens; some checkpoints set 1e30, which overflows in tokenizers


class TextEncoder(NamedEncoder):
    """Encodes text with a `sentence_transformers.MultiVectorEncoder`.

    `load_encoder` creates one from a name. Construct one yourself to use a model that is already loaded.

    * Any thread may call. A mutex protects the model, because fast tokenizers keep state between calls. It is released
      between batches, so a query waits for one batch of a long indexing run, not for all of it.
    * Text is always text: a string that looks like a URL or a file name is never fetched or opened.
    * White space at either end is removed, as in the training of the checkpoints.
    * Batches are bounded by tokens and formed of inputs of similar length.

    Args:
        model: The model. Nothing else may use it at the same time.
        source: The name or path `load_encoder` can load the model from again; an index remembers it.
        revision: Branch, tag or commit of ``source``.
        batch_tokens: Maximum tokens of a batch, including padding. Bounds memory.

    Raises:
        UnsupportedCheckpointError: The model does not declare its dimension.
    """

    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        source: str | None = None,
        revision: str | None = None,
        batch_tokens: int = _BATCH_TOKENS,
    ) -> None:
        self.source = source
        self.revision = revision
        self._model = model
        self._batch_tokens = batch_tokens
        self._lock = FairLock()
        dim = model.get_embedding_dimension()
        if dim is None:
            raise UnsupportedCheckpointError(f"{source or model} does not declare the dimension of its vectors.")
        self._dim = int(dim)

    @property
    def dim(self) -> int:
        """Return the dimension of the token vectors."""
        return self._dim

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return everything that determines the vectors, as JSON values, with a probe. Encodes one short text twice."""
        transformer: Any = self._model[0]
        return {
            "model": self.source,
            "revision": self.revision,
            "dim": self.dim,
            "prompts": {task: prompt for task, prompt in self._model.prompts.items() if prompt},
            "query_expansion": transformer.query_expansion,
            "query_length": transformer.query_length,
            "document_length": transformer.document_length,
            "modules": [_describe(module) for module in self._model],
            "libraries": library_versions(),
            "probe": probe(self.encode_queries([PROBE_TEXT])[0], self.encode_documents([PROBE_TEXT])[0]),
        }

    def encode_queries(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the token vectors of each query, (query tokens, dim) float32, L2-normalized, in the order given."""
        return self._encode(texts, "query")

    def encode_documents(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the token vectors of each passage, (tokens, dim) float32, L2-normalized, in the order given.

        A passage is truncated at the maximum length of the model.
        """
        return self._encode(texts, "document")

    def token_spans(self, text: str, task: Task) -> list[Span | None]:
        """Return the span of each vector in the text, in order; None for markers and query expansion.

        None for all vectors of a model that pools tokens, because a vector then stands for several tokens.
        """
        if self._pools(task):
            return [None] * len(self._encode([text], task)[0])
        with self._lock:
            features = self._preprocessed({"text": self._read(text)}, task, return_offsets_mapping=True)
        offsets = features["offset_mapping"][0].tolist()
        return spans(text, compress(offsets, self._masked(features, task)), before=self._before(task))

    def _encode(self, texts: Sequence[str], task: Task) -> list[NDArray[np.float32]]:
        stripped = [self._read(text) for text in texts]
        encoded: list[NDArray[np.float32]] = [np.empty((0, self._dim), np.float32)] * len(stripped)
        openmp_is_used("torch")
        encode = self._model.encode_query if task == "query" else self._model.encode_document
        for batch in batches(self._lengths(stripped, task), self._batch_tokens):
            # A dict, because models that read images open a plain string that looks like a file name or URL.
            inputs: Any = [{"text": stripped[position]} for position in batch]
            with self._lock:
                vectors: Any = encode(inputs, batch_size=len(batch), convert_to_numpy=True, show_progress_bar=False)
            for position, array in zip(batch, vectors, strict=True):
                encoded[position] = np.asarray(array, np.float32)
        return encoded

    def _read(self, text: str) -> str:
        """Return what the model reads of the text: the text without white space at either end."""
        return checked(text).strip()

    def _before(self, task: Task) -> int:
        """Return the number of characters in front of a text in the model's input."""
        return len(self._model.prompts.get(task) or "")

    def _preprocessed(self, given: dict[str, Any], task: Task, **text_settings: bool) -> dict[str, Any]:
        """Return one input as the first module preprocesses it. The mutex must be held."""
        return self._model.preprocess(
            [given],
            prompt=self._model.prompts.get(task) or "",
            task=task,
            processing_kwargs={"text": text_settings},
        )

    def _masked(self, features: dict[str, Any], task: Task) -> list[bool]:
        """Return for each token of one preprocessed input whether the model returns its vector."""
        from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

        for module in self._model:
            if isinstance(module, MultiVectorMask):
                features = module(features, task=task)
        kept: list[bool] = features["attention_mask"][0].bool().tolist()
        return kept

    def _pools(self, task: Task) -> bool:
        """Return whether the model itself pools several tokens into one vector."""
        from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling

        return any(isinstance(module, BaseTokenPooling) and module.applies_to(task) for module in self._model)

    def _lengths(self, texts: Sequence[str], task: Task) -> list[int]:
        """Return the number of tokens the model reads of each text, including markers and query expansion."""
        if len(texts) <= 1:
            return [1] * len(texts)
        transformer: Any = self._model[0]
        expansion = transformer.query_expansion if task == "query" else None
        longest = transformer.query_length if task == "query" else transformer.document_length
        prompt = self._model.prompts.get(task) or ""
        with self._lock:
            ids = self._model.tokenizer(
                [prompt + text for text in texts],
                truncation=True,
                max_length=min(longest or transformer.max_seq_length or _NO_LIMIT, _NO_LIMIT),
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
            )["input_ids"]
        shortest = expansion["length"] if expansion else 0
        return [max(len(tokens), shortest) for tokens in ids]


def _describe(module: Any) -> dict[str, Any]:
    """Return the settings of a module as JSON values, except the transformer's, which the fingerprint has by name."""
    settings = module.get_config_dict() if hasattr(module, "get_config_dict") and module.config_keys else {}
    if "transformer_task" in settings:
        settings = {}
    return {"type": type(module).__name__, **json.loads(json.dumps(settings, default=str))}
