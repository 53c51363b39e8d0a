"""Builds tiny random checkpoints in the formats that are published, without a network.

Each builder fills a folder and returns it. The same arguments give the same files, so two folders hold the same model
exactly if they were built alike.
"""

from __future__ import annotations

import json
import shutil
import string
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
)

from late_interaction.encoders.minilm_package import minilm_folder

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN = 32
DIM = 16
MARKERS = ("[Q] ", "[D] ")
_BERT_WORDS = 30522
_SPREAD = 0.25  # wide enough that every token has a vector of its own after the layer norms
_CORPUS = (
    "the quick brown fox jumps over the lazy dog",
    "late interaction compares every word of the question with every word of the answer",
    "where and when the rain in spain stays mainly in the plain",
)


def stanford(
    folder: Path, *, dim: int = DIM, seed: int = 0, attend: bool = False, document_length: int = 180, query: int = 32
) -> Path:
    """Stanford ColBERT: ``HF_ColBERT``, the projection among the root's weights, settings in ``artifact.metadata``."""
    config, model = _bert(seed)
    _bert_tokenizer(folder)
    weights = {f"bert.{name}": weight for name, weight in model.state_dict().items()}
    weights["bert.embeddings.position_ids"] = torch.arange(512)[None]  # old checkpoints carry it
    weights["linear.weight"] = _matrix(dim, HIDDEN, seed=seed + 1)
    _save_weights(folder, weights)
    _write(folder / "config.json", {**config.to_dict(), "architectures": ["HF_ColBERT"], "dtype": None})
    _write(
        folder / "artifact.metadata",
        {
            "query_token_id": "[unused0]",
            "doc_token_id": "[unused1]",
            "query_token": "[Q]",
            "doc_token": "[D]",
            "query_maxlen": query,
            "doc_maxlen": document_length,
            "attend_to_mask_tokens": attend,
            "mask_punctuation": True,
            "dim": dim,
            "similarity": "cosine",
            "interaction": "colbert",
            "meta": {"version": "colbert-v0.4"},
        },
    )
    return folder


def pylate(
    folder: Path,
    *,
    dim: int = DIM,
    seed: int = 0,
    attend: bool = False,
    document_length: int = 180,
    prefixes: tuple[str, str] = MARKERS,
) -> Path:
    """PyLate 1 over BERT: ``modules.json`` with PyLate's Dense; the markers are tokens added to the vocabulary."""
    config, model = _bert(seed)
    _bert_tokenizer(folder)
    added = [
        {"id": _BERT_WORDS + at, "content": marker, "normalized": True, "special": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for at, marker in enumerate(MARKERS)
    ]
    _edit(folder / "tokenizer.json", lambda data: data["added_tokens"].extend(added))
    _edit(
        folder / "tokenizer_config.json",
        lambda data: data.update(
            tokenizer_class="BertTokenizerFast",
            added_tokens_decoder={
                str(token["id"]): {key: value for key, value in token.items() if key != "id"}
                for token in json.loads((folder / "tokenizer.json").read_text("utf-8"))["added_tokens"]
            },
        ),
    )
    weights = dict(model.state_dict())
    words = weights["embeddings.word_embeddings.weight"]
    weights["embeddings.word_embeddings.weight"] = torch.cat([words, _matrix(len(MARKERS), HIDDEN, seed=seed + 2)])
    _save_weights(folder, weights)
    _write(
        folder / "config.json",
        {
            **config.to_dict(),
            "architectures": ["BertModel"],
            "vocab_size": _BERT_WORDS + len(MARKERS),
            "dtype": None,
        },
    )
    _dense(folder / "1_Dense", HIDDEN, dim, seed=seed + 1)
    _pylate_settings(folder, ["1_Dense"], 32, document_length, prefixes, attend_to_expansion_tokens=attend)
    return folder


def modernbert(folder: Path, *, expansion: bool = False, seed: int = 0, dim: int = DIM, dense: bool = True) -> Path:
    """PyLate over ModernBERT, as GTE-ModernColBERT and its kin: byte-level BPE, two Dense, one with a residual."""
    tokenizer = _byte_level_tokenizer()
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=8192,
        local_attention=128,
        global_attn_every_n_layers=3,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
    )
    _save_weights(folder, _randomised(ModernBertModel(config), seed).state_dict())
    _write(folder / "config.json", {**config.to_dict(), "architectures": ["ModernBertModel"], "dtype": None})
    tokenizer.save_pretrained(folder)
    if dense:
        _dense(folder / "1_Dense", HIDDEN, 2 * HIDDEN, seed=seed + 1, residual=True)
        _dense(folder / "2_Dense", 2 * HIDDEN, dim, seed=seed + 3)
    heads = ["1_Dense", "2_Dense"] if dense else []
    _pylate_settings(folder, heads, 48, 300, MARKERS, attend_to_expansion_tokens=False, do_query_expansion=expansion)
    return folder


def bare_bert(folder: Path, *, seed: int = 0) -> Path:
    """A transformer and nothing else, such as ``bert-base-uncased``."""
    config, model = _bert(seed)
    _bert_tokenizer(folder)
    _save_weights(folder, model.state_dict())
    _write(folder / "config.json", {**config.to_dict(), "architectures": ["BertModel"], "dtype": None})
    return folder


def pooled_with_dense(folder: Path) -> Path:
    """A single-vector sentence-transformers model whose Dense follows a Pooling."""
    pylate(folder)
    (folder / "config_sentence_transformers.json").unlink()
    _write(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True})
    (folder / "1_Dense").rename(folder / "2_Dense")
    kinds = ("Transformer", "Pooling", "Dense")
    paths = ("", "1_Pooling", "2_Dense")
    _write(
        folder / "modules.json",
        [
            {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for at, (kind, path) in enumerate(zip(kinds, paths, strict=True))
        ],
    )
    return folder


def single_vector(folder: Path, *, seed: int = 0, prompts: dict[str, str] | None = None, length: int = 64) -> Path:
    """A SentenceTransformer: BERT, mean pooling, normalized, 32 dimensions."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    transformer = Transformer(str(bare_bert(folder / "bert", seed=seed)), max_seq_length=length)
    model = SentenceTransformer(modules=[transformer, Pooling(HIDDEN), Normalize()], device="cpu", prompts=prompts)
    return _saved(model, folder)


def sparse_encoder(folder: Path, *, seed: int = 0) -> Path:
    """A SPLADE SparseEncoder: BERT with its head for masked words, about the vocabulary as dimensions."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    _model_with_head(folder / "bert", BertForMaskedLM(_bert_config()), seed)
    transformer = Transformer(str(folder / "bert"), transformer_task="fill-mask")
    return _saved(SparseEncoder(modules=[transformer, SpladePooling("max")], device="cpu"), folder)


def cross_encoder(folder: Path, *, seed: int = 0, labels: int = 1) -> Path:
    """A CrossEncoder: BERT with a head for pairs of texts."""
    return _model_with_head(folder, BertForSequenceClassification(_bert_config(num_labels=labels)), seed)


def page_model(folder: Path, architecture: str = "ColQwen2ForRetrieval") -> Path:
    """The configuration of a transformers-native page-image model."""
    _write(folder / "config.json", {"architectures": [architecture], "model_type": "colqwen2"})
    return folder


def in_hub_cache(cache: Path, name: str, checkpoint: Path, *, revision: str = "main", commit: str = "a" * 40) -> Path:
    """Put the checkpoint where ``huggingface_hub`` keeps what it downloaded as ``name``."""
    repository = cache / f"models--{name.replace('/', '--')}"
    _write_text(repository / "refs" / revision, commit)
    snapshot = repository / "snapshots" / commit
    shutil.copytree(checkpoint, snapshot)
    return snapshot


def _bert(seed: int) -> tuple[BertConfig, BertModel]:
    config = _bert_config()
    return config, _randomised(BertModel(config), seed)


def _bert_config(**settings: int) -> BertConfig:
    return BertConfig(
        vocab_size=_BERT_WORDS,
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * HIDDEN,
        max_position_embeddings=512,
        **settings,
    )


def _model_with_head(folder: Path, model: torch.nn.Module, seed: int) -> Path:
    _bert_tokenizer(folder)
    _randomised(model, seed).save_pretrained(folder)
    return folder


def _saved(model: torch.nn.Module, folder: Path) -> Path:
    """Save a model of sentence-transformers in place of the files it was made from."""
    shutil.rmtree(folder / "bert")
    model.save(str(folder), create_model_card=False)
    return folder


def _randomised(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, _SPREAD, generator=generator)
    return model.eval()


def _matrix(rows: int, columns: int, *, seed: int) -> torch.Tensor:
    return _SPREAD * torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def _bert_tokenizer(folder: Path) -> None:
    """The tokenizer of BERT uncased, without the truncation and padding that MiniLM's file sets."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copyfile(minilm_folder() / name, folder / name)
    _edit(folder / "tokenizer.json", lambda data: data.update(truncation=None, padding=None))
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("cls", "sep", "pad", "mask", "unk")}
    _write(
        folder / "tokenizer_config.json",
        {
            **special,
            "do_lower_case": True,
            "model_max_length": 512,
            "strip_accents": None,
            "tokenize_chinese_chars": True,
            "tokenizer_class": "BertTokenizer",
        },
    )


def _byte_level_tokenizer() -> PreTrainedTokenizerFast:
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    tokenizer.add_tokens([AddedToken(marker, normalized=True) for marker in MARKERS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    names = {f"{token.strip('[]').lower()}_token": token for token in special}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=8192, **names)


def _dense(folder: Path, inputs: int, outputs: int, *, seed: int, residual: bool = False) -> None:
    weights = {"linear.weight": _matrix(outputs, inputs, seed=seed)}
    if residual:
        weights["residual.weight"] = _matrix(outputs, inputs, seed=seed + 1)
    _save_weights(folder, weights)
    _write(
        folder / "config.json",
        {
            "in_features": inputs,
            "out_features": outputs,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
            "use_residual": residual,
        },
    )


def _pylate_settings(
    folder: Path, heads: list[str], query: int, document: int, prefixes: tuple[str, str], **settings: bool
) -> None:
    modules = [
        ("", "sentence_transformers.models.Transformer"),
        *((head, "pylate.models.Dense.Dense") for head in heads),
    ]
    _write(
        folder / "modules.json",
        [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(modules)],
    )
    _write(folder / "sentence_bert_config.json", {"max_seq_length": document - 1, "do_lower_case": False})
    _write(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "4.0.2", "transformers": "4.48.2", "pytorch": "2.5.1"},
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "MaxSim",
            "query_prefix": prefixes[0],
            "document_prefix": prefixes[1],
            "query_length": query,
            "document_length": document,
            "skiplist_words": list(string.punctuation),
            **settings,
        },
    )


def _save_weights(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: weight.detach().clone().contiguous() for name, weight in weights.items()}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})


def _edit(path: Path, change: object) -> None:
    data = json.loads(path.read_text("utf-8"))
    change(data)
    _write(path, data)


def _write(path: Path, data: object) -> None:
    _write_text(path, json.dumps(data))


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
