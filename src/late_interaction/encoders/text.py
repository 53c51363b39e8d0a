"""`TextEncoder`: sentence-transformers' `MultiVectorEncoder`, made safe for threads and for untrusted text."""

from __future__ import annotations

import copy
import json
from functools import cached_property
from itertools import compress, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders.batching import batches
from late_interaction.encoders.by_name import NamedEncoder
from late_interaction.encoders.fingerprint import PROBE_TEXT, library_versions, probe
from late_interaction.encoders.lengths import max_tokens, set_lengths
from late_interaction.encoders.precision import autocast, chosen_dtype
from late_interaction.encoders.strings import checked, fits_in_bytes, spans
from late_interaction.encoders.turns import FairLock
from late_interaction.errors import UnsupportedCheckpointError
from late_interaction.forking import openmp_is_used

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from sentence_transformers import MultiVectorEncoder
    from typing_extensions import Self

    from late_interaction.encoders.protocol import Span, Task

__all__ = ["TextEncoder"]

_MAX_BATCH_TOKENS = 8192
_BATCH_TOKENS_OF_THREAD = 1024  # on a processor; with more, what a layer computes leaves the caches
_SPECIAL_TOKENS = 8  # more than a tokenizer adds at both ends, with the prefix of the first word


class TextEncoder(NamedEncoder):
    """Encodes text with a `sentence_transformers.MultiVectorEncoder`.

    `load_encoder` creates one from a name. Construct one yourself to use a model that is already loaded.

    * Any thread may call. A mutex protects the model, because fast tokenizers keep state between calls. It is released
      between batches, so a query waits for one batch of a long indexing run, not for all of it.
    * Text is always text: a string that looks like a URL or a file name is never fetched or opened.
    * White space at either end is removed, as in the training of the checkpoints.
    * Batches are bounded by tokens and formed of inputs of similar length.
    * A text longer than the model reads is truncated; `truncated` says which are.

    Args:
        model: The model. Nothing else may use it at the same time.
        source: The name or path `load_encoder` can load the model from again; an index remembers it.
        revision: Branch, tag or commit of ``source``.
        batch_tokens: Maximum tokens of a batch, including padding. Bounds memory. None takes what is fastest on the
            device: 8,192, and on a processor 1,024 for each thread of torch, up to as many.
        query_length: Tokens that are read of a query (see `load_encoder`); None for the model's own.
        document_length: Tokens that are read of a document; None for the model's own.
        dtype: Precision of matrix products, as for `load_encoder`. The weights of the model are not changed. None keeps
            the precision of weights that are not in float32.

    Raises:
        UnsupportedCheckpointError: The model does not declare its dimension.
        InvalidRequestError: A length is not one that the model can have, or ``dtype`` is unknown.
    """

    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        source: str | None = None,
        revision: str | None = None,
        batch_tokens: int | None = None,
        query_length: int | None = None,
        document_length: int | None = None,
        dtype: str | None = None,
    ) -> None:
        lengths = {"query_length": query_length, "document_length": document_length}
        self._lengths_given = {name: length for name, length in lengths.items() if length is not None}
        set_lengths(model, source or type(model).__name__, **self._lengths_given)
        self.source = source
        self.revision = revision
        self._model = model.eval()
        self._given_batch_tokens = batch_tokens
        self.given_dtype = dtype
        self._dtype = chosen_dtype(model, dtype)
        self._autocast = autocast(model, self._dtype)
        self._lock = FairLock()
        self._counted: tuple[Task, list[str], list[int]] | None = None
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

    @property
    def dtype(self) -> str:
        """Return the precision of matrix products. The vectors are float32."""
        return self._dtype

    @property
    def options(self) -> dict[str, Any]:
        """Return the keyword arguments with which `load_encoder` loads this encoder from its source."""
        return dict(self._lengths_given)

    @property
    def query_length(self) -> int:
        """Return how many tokens are read of a query, markers included."""
        return max_tokens(self._model, "query")

    @property
    def document_length(self) -> int:
        """Return how many tokens are read of a document, markers included."""
        return max_tokens(self._model, "document")

    @property
    def prompts(self) -> dict[str, str]:
        """Return the prompts of the model by name; ``query`` and ``document`` are put in front of texts."""
        return {name: prompt for name, prompt in self._model.prompts.items() if prompt is not None}

    def with_prompts(self, prompts: Mapping[str, str]) -> Self:
        """Return this encoder with other prompts, for example for one task. Both use one model and one mutex.

        It cannot be loaded by name, so its ``source`` is None.

        Args:
            prompts: Prompts by name, ``query`` or ``document``; the others stay.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.__dict__.pop("fingerprint", None)  # cached
        other._model = copy.copy(self._model)  # shares all modules
        other._model.prompts = {**self._model.prompts, **prompts}
        other.source = None
        other._counted = None
        return other

    def encode_queries(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the token vectors of each query, (query tokens, dim) float32, L2-normalized, in the order given."""
        return self._encode(texts, "query")

    def encode_documents(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the token vectors of each passage, (tokens, dim) float32, L2-normalized, in the order given.

        A passage is truncated at the maximum length of the model.
        """
        return self._encode(texts, "document")

    def truncated(self, texts: list[str], task: Task) -> list[int]:
        """Return the positions of the texts that are longer than the model reads, in order.

        Encoding the same texts next does not count their tokens again.
        """
        read = [self._read(text) for text in texts]
        limit = max_tokens(self._model, task)
        [around], _ = self._inputs([""], task)
        surely_read = limit - len(around.encode()) - _SPECIAL_TOKENS
        if all(fits_in_bytes(text, surely_read) for text in read):
            return []  # a token has at least one byte
        counts = self._counts(read, task)
        self._counted = task, read, counts
        return [position for position, count in enumerate(counts) if count > limit]

    def token_spans(self, text: str, task: Task) -> list[Span | None]:
        """Return the span of each vector in the text, in order; None for markers and query expansion.

        None for all vectors of a model that pools tokens, because a vector then stands for several tokens.
        """
        if self._pools(task):
            return [None] * len(self._encode([text], task)[0])
        with self._lock:
            features = self._preprocessed([{"text": self._read(text)}], task, return_offsets_mapping=True)
        offsets = features["offset_mapping"][0].tolist()
        return spans(text, compress(offsets, self._masked(features, task)), before=self._before(task))

    def _encode(self, texts: Sequence[str], task: Task) -> list[NDArray[np.float32]]:
        stripped = [self._read(text) for text in texts]
        encoded: list[NDArray[np.float32]] = [np.empty((0, self._dim), np.float32)] * len(stripped)
        openmp_is_used("torch")
        for batch in batches(self._lengths(stripped, task), self._batch_tokens):
            # A dict, because models that read images open a plain string that looks like a file name or URL.
            outputs = self._run([{"text": stripped[position]} for position in batch], task)
            vectors = self._kept_vectors(outputs["token_embeddings"], outputs["attention_mask"].bool())
            for position, array in zip(batch, vectors, strict=True):
                encoded[position] = array
        return encoded

    @property
    def _batch_tokens(self) -> int:
        """Maximum tokens of a batch, including padding."""
        import torch

        if self._given_batch_tokens is not None:
            return self._given_batch_tokens
        if self._model.device.type != "cpu":
            return _MAX_BATCH_TOKENS
        return min(_MAX_BATCH_TOKENS, _BATCH_TOKENS_OF_THREAD * torch.get_num_threads())

    def _run(self, inputs: list[dict[str, Any]], task: Task) -> dict[str, Any]:
        """Return what the model computes of a batch, on its device.

        As `MultiVectorEncoder.encode` does, without looking at every weight for its device first.
        """
        import torch
        from sentence_transformers.util import batch_to_device

        with self._lock, torch.inference_mode(), self._autocast():
            if self._model.training:  # eval() takes a millisecond
                self._model.eval()
            features = batch_to_device(self._preprocessed(inputs, task), self._model.device)
            return self._model(features, task=task)  # type: ignore[no-any-return]

    def _kept_vectors(self, embeddings: Any, kept: Any) -> list[NDArray[np.float32]]:
        """Return the vectors of each input of a batch, (kept tokens, dim).

        Args:
            embeddings: The vectors of the model, (inputs, tokens, dim), a tensor.
            kept: Which of them are kept, (inputs, tokens), a tensor of bool.
        """
        vectors = embeddings[kept].float()
        if self._normalizes and self._dtype != "float32":  # the model did it in the lower precision
            vectors = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
        ends = kept.sum(1).cumsum(0).tolist()
        together: NDArray[np.float32] = vectors.cpu().numpy()
        return [together[start:end].copy() for start, end in pairwise([0, *ends])]

    @cached_property
    def _normalizes(self) -> bool:
        """Whether the model normalizes its token vectors."""
        from sentence_transformers.sentence_transformer.modules import Normalize

        return any(isinstance(module, Normalize) for module in self._model)

    def _read(self, text: str) -> str:
        """Return what the model reads of the text: the text without white space at either end."""
        return checked(text).strip()

    def _before(self, task: Task) -> int:
        """Return the number of characters in front of a text in the model's input."""
        return len(self._model.prompts.get(task) or "")

    def _preprocessed(self, inputs: list[dict[str, Any]], task: Task, **text_settings: bool) -> dict[str, Any]:
        """Return inputs as the first module preprocesses them. The mutex must be held."""
        return self._model.preprocess(
            inputs,
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
        shortest = expansion["length"] if expansion else 0
        longest = max_tokens(self._model, task)
        counted = self._counted  # read once, because another thread may replace it
        self._counted = None
        counts = counted[2] if counted is not None and counted[:2] == (task, texts) else self._counts(texts, task)
        return [max(min(count, longest), shortest) for count in counts]

    def _counts(self, texts: Sequence[str], task: Task) -> list[int]:
        """Return the number of tokens of each text without truncation, with the prompt and markers."""
        inputs, has_markers = self._inputs(texts, task)
        with self._lock:
            ids = self._model.tokenizer(
                inputs,
                add_special_tokens=not has_markers,
                truncation=False,
                padding=False,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,  # it would warn about the texts that `truncated` names
            )["input_ids"]
        return [len(tokens) for tokens in ids]

    def _inputs(self, texts: Sequence[str], task: Task) -> tuple[list[str], bool]:
        """Return what the tokenizer is given for these texts, and whether that has the markers at both ends."""
        prompt = self._model.prompts.get(task) or ""
        return [prompt + text for text in texts], False


def _describe(module: Any) -> dict[str, Any]:
    """Return the settings of a module as JSON values, except the transformer's, which the fingerprint has by name."""
    settings = module.get_config_dict() if hasattr(module, "get_config_dict") and module.config_keys else {}
    if "transformer_task" in settings:
        settings = {}
    return {"type": type(module).__name__, **json.loads(json.dumps(settings, default=str))}
