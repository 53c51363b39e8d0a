"""Check the files of a checkpoint that is loaded without ``trust_remote_code``.

sentence-transformers and transformers refuse the Python code of a checkpoint. But its settings can still name classes,
arguments and other locations: ``weights_only: false`` lets PyTorch unpickle code, and ``modules.json`` and the settings
of some module types can name any importable class. So both are restricted to allow-lists.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, Protocol

from late_interaction.errors import UnsupportedCheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_config", "check_files", "check_modules", "check_weights", "is_dense"]

_MODULE_TYPES = frozenset(
    {"Transformer", "Dense", "Normalize", "MultiVectorMask", "HierarchicalTokenPooling", "LayerNorm", "Dropout"}
)
"""Classes of sentence-transformers. Its other modules load classes or code that their settings name, or pool to a
single vector."""
_PYLATE_DENSE = "pylate.models.Dense.Dense"  # sentence-transformers loads it with its own class
_ACTIVATION = re.compile(r"torch\.nn\.(modules\.(activation|linear)\.)?[A-Za-z0-9]+")
_METHOD = re.compile(r"forward|get_[a-z]+_features")
_TRANSFORMER_SETTINGS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)  # sentence-transformers uses the first that exists
_ARGUMENTS = ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs")
_KNOWN_ARGUMENTS = frozenset(
    {
        *("attn_implementation", "dtype", "torch_dtype", "add_pooling_layer", "unpad_inputs"),
        *("use_memory_efficient_attention", "padding_side", "truncation_side", "model_max_length", "use_fast"),
        *("add_bos_token", "add_eos_token", "add_prefix_space", "do_lower_case", "strip_accents", "legacy"),
        *("tokenize_chinese_chars", "clean_up_tokenization_spaces", "min_pixels", "max_pixels"),
    }
)
_WORD = re.compile(r"[A-Za-z0-9_.]{1,64}")
_TEXT_FILES = frozenset({".json", ".jinja", ".md", ".metadata", ".model", ".txt"})
_MAX_TEXT_BYTES = 134_217_728  # per file; the largest tokenizers have 40 MB
_MIN_SAFE_TORCH = (2, 6)  # in earlier releases, a weights file can run code (CVE-2025-32434)


class _Read(Protocol):
    """Return the content of a JSON file of the checkpoint, of type ``kind``; None if the file is missing."""

    def __call__(self, filename: str, kind: type[Any]) -> Any: ...


def check_files(folder: Path) -> None:
    """Refuse a folder that contains special files, such as devices and pipes, or very large text files.

    Raises:
        UnsupportedCheckpointError: The message names the file.
    """
    for path in _entries(folder):
        try:
            found = path.stat()
        except OSError:  # a dangling link, which no library can open
            continue
        if stat.S_ISDIR(found.st_mode):
            continue
        if not stat.S_ISREG(found.st_mode):
            raise UnsupportedCheckpointError(f"{path} is not a regular file, so reading it might never end.")
        if path.suffix in _TEXT_FILES and found.st_size > _MAX_TEXT_BYTES:
            raise UnsupportedCheckpointError(
                f"{path} is too large: {found.st_size:,} bytes, at most {_MAX_TEXT_BYTES:,} are allowed."
            )


def _entries(folder: Path) -> Iterator[Path]:
    """Yield the entries of the folder and of its subfolders, in which the modules of a checkpoint are."""
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir():
            yield from sorted(path.iterdir())


def check_config(name: str, config: dict[str, Any]) -> None:
    """Refuse a ``config.json`` that names attention code on the hub, which transformers would download and run.

    Raises:
        UnsupportedCheckpointError: The message names the setting.
    """
    for key, value in _items(config):
        if "implementation" in key and any("/" in text for text in _strings(value)):
            raise _untrusted(name, f"config.json sets {key!r} to code of another repository")


def check_modules(name: str, modules: list[Any], read: _Read, *, also: frozenset[str] = frozenset()) -> None:
    """Refuse modules and settings that encoders do not need.

    Args:
        name: The checkpoint, for errors.
        modules: The content of ``modules.json``.
        read: Reads a JSON file of the checkpoint.
        also: Further classes of sentence-transformers that are allowed, besides those of late-interaction encoders.

    Raises:
        UnsupportedCheckpointError: The message names the class or setting.
    """
    for module in modules:
        if not isinstance(module, dict) or not all(isinstance(module.get(key), str) for key in ("path", "type")):
            raise UnsupportedCheckpointError(f"{name}: modules.json must contain objects with a path and a type.")
        folder, kind = module["path"], module["type"]
        windows = PureWindowsPath(folder)
        if windows.anchor or ".." in windows.parts:
            raise _untrusted(name, f"modules.json names a folder outside the checkpoint ({folder!a:.80})")
        package, _, class_name = kind.rpartition(".")
        is_known = package.startswith("sentence_transformers.") and class_name in _MODULE_TYPES | also
        if kind != _PYLATE_DENSE and not is_known:
            raise _untrusted(name, f"modules.json names the class {kind!a:.80}")
        if is_dense(kind):
            _check_dense(name, folder, read)
        if class_name == "Transformer":
            _check_transformer(name, folder, read)


def is_dense(module_type: str) -> bool:
    """Return whether a module of this type is a projection, which has its own weights."""
    return module_type.rpartition(".")[2] == "Dense"


def _check_dense(name: str, folder: str, read: _Read) -> None:
    activation = (read(_in(folder, "config.json"), dict) or {}).get("activation_function")
    if isinstance(activation, str) and activation.startswith("torch.") and not _ACTIVATION.fullmatch(activation):
        raise _untrusted(name, f"the settings of {folder} name the class {activation!a:.80}")


def _check_transformer(name: str, folder: str, read: _Read) -> None:
    for filename in _TRANSFORMER_SETTINGS:
        settings: dict[str, Any] = read(_in(folder, filename), dict) or {}
        if settings:
            break
    if "tokenizer_name_or_path" in settings:
        raise _untrusted(name, f"{filename} names a tokenizer outside the checkpoint")
    for group in _ARGUMENTS:
        for key, value in (settings.get(group) or {}).items():
            is_plain = value is None or isinstance(value, (bool, int, float))
            is_word = isinstance(value, str) and _WORD.fullmatch(value) is not None
            if key not in _KNOWN_ARGUMENTS or not (is_plain or is_word):
                raise _untrusted(name, f"{filename} sets {group}[{key!a:.80}] to {value!a:.80}")
    for entry in (settings.get("modality_config") or {}).values():
        method = entry.get("method")
        if not isinstance(method, str) or not _METHOD.fullmatch(method):
            raise _untrusted(name, f"{filename} names the method {method!a:.80}")


def check_weights(name: str, has_safetensors: bool) -> None:  # noqa: FBT001
    """Refuse pickled weights if the installed release of PyTorch cannot load them safely.

    Raises:
        UnsupportedCheckpointError: The checkpoint has only pickled weights.
    """
    from importlib.metadata import version

    release = tuple(int(part) for part in version("torch").split("+")[0].split(".")[:2])
    if not has_safetensors and release < _MIN_SAFE_TORCH:
        raise _untrusted(name, "its weights are pickled, which torch loads safely only since 2.6")


def _in(folder: str, filename: str) -> str:
    return f"{folder}/{filename}" if folder else filename


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of nested JSON objects."""
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            yield from current.items()
            pending += current.values()
        elif isinstance(current, list):
            pending += current


def _strings(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, str):
            yield current
        elif isinstance(current, (dict, list)):
            pending += current.values() if isinstance(current, dict) else current


def _untrusted(name: str, what: str) -> UnsupportedCheckpointError:
    return UnsupportedCheckpointError(
        f"{name} is not loaded: {what}. If you have read its files and trust them, use "
        "load_encoder(…, trust_remote_code=True); of a single-vector model, load the SentenceTransformer and pass it."
    )
