"""Late-interaction encoding spelled out: one text at a time, with a plain transformer and matrix products.

Nothing here comes from sentence-transformers or from the package under test; the settings of a checkpoint are written
down by the tests that use it, not read from its files.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoConfig, BertModel, ModernBertModel

_MODELS = {"bert": BertModel, "modernbert": ModernBertModel}


@dataclass(frozen=True)
class Token:
    """A position of what the model reads; ``span`` is None for markers and query expansion."""

    id: int
    text: str
    span: tuple[int, int] | None
    attended: bool = True
    kept: bool = True


class Oracle:
    """Encodes with the checkpoint in ``folder``.

    Args:
        folder: The checkpoint.
        markers: Tokens that follow [CLS] in queries and in documents, as in the vocabulary; None for none.
        lengths: Most tokens of a query and of a document, everything counted.
        expansion: Whether [MASK] fills queries: None, "skipped" (no token attends to it) or "attended".
        heads: Folders of projections; "." for the one among the weights of a Stanford checkpoint.
    """

    def __init__(self, folder, *, markers, lengths, expansion=None, heads=()):
        folder = Path(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.markers = dict(zip(("query", "document"), markers or (None, None), strict=True))
        self.lengths = dict(zip(("query", "document"), lengths, strict=True))
        self.expansion = expansion
        self.punctuation = {self.tokenizer.token_to_id(sign) for sign in string.punctuation} - {None}
        weights = load_file(folder / "model.safetensors")
        self.heads = [
            self._head(weights if head == "." else load_file(folder / head / "model.safetensors")) for head in heads
        ]
        config = AutoConfig.from_pretrained(folder)
        self.model = _MODELS[config.model_type]._from_config(config, attn_implementation="eager").eval()
        own = {name.removeprefix("bert."): weight for name, weight in weights.items()}
        own = {name: own[name] for name in self.model.state_dict()}  # KeyError: the checkpoint is not complete
        self.model.load_state_dict(own)

    def read(self, text, task):
        """What the model reads, token by token."""
        stripped = text.strip()
        encoding = self.tokenizer.encode(stripped, add_special_tokens=False)
        shift = text.index(stripped)
        words = [
            Token(id=token_id, text=token, span=_trimmed(text, start + shift, end + shift))
            for token_id, token, (start, end) in zip(encoding.ids, encoding.tokens, encoding.offsets, strict=True)
        ]
        front = [self._special("[CLS]")]
        if self.markers[task] is not None:
            front.append(self._special(self.markers[task]))
        length = self.lengths[task]
        tokens = [*front, *words[: length - len(front) - 1], self._special("[SEP]")]
        if task == "query" and self.expansion is not None:
            filler = self._special("[MASK]", attended=self.expansion == "attended")
            tokens += [filler] * (length - len(tokens))
        if task == "document":
            tokens = [
                Token(token.id, token.text, token.span, kept=token.id not in self.punctuation) for token in tokens
            ]
        return tokens

    def encode(self, text, task):
        """The token vectors of one text, (tokens, dim)."""
        tokens = self.read(text, task)
        with torch.inference_mode():
            vectors = self.model(
                input_ids=torch.tensor([[token.id for token in tokens]]),
                attention_mask=torch.tensor([[int(token.attended) for token in tokens]]),
            ).last_hidden_state[0]
        vectors = vectors.numpy().astype(np.float64)
        for weight, residual in self.heads:
            vectors = vectors @ weight.T + (vectors @ residual.T if residual is not None else 0.0)
        vectors = vectors[[token.kept for token in tokens]]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    @staticmethod
    def _head(weights):
        return tuple(
            weights[name].numpy().astype(np.float64) if name in weights else None
            for name in ("linear.weight", "residual.weight")
        )

    def _special(self, token, *, attended=True):
        token_id = self.tokenizer.token_to_id(token)
        assert token_id is not None, token
        return Token(token_id, token, span=None, attended=attended)


def _trimmed(text, start, end):
    """Byte-level tokens carry the space before a word; a span is the word alone."""
    inside = text[start:end]
    if not inside.strip():
        return start, start + 1  # nothing but white space: its first character
    return start + len(inside) - len(inside.lstrip()), end - (len(inside) - len(inside.rstrip()))
