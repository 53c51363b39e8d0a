"""`Checkpoint`: a name or path resolved to the location of its files, before the model is loaded."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from late_interaction.encoders.minilm_package import MINILM, minilm_folder
from late_interaction.encoders.near_names import near_name
from late_interaction.errors import InvalidRequestError, UnsupportedCheckpointError

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["SETTINGS_FILES", "Checkpoint", "LoadOptions", "cache_folder", "cached_folder", "resolve"]


class Lengths(TypedDict, total=False):
    """How many tokens are read of a query and of a document; None for the checkpoint's own numbers."""

    query_length: int | None
    document_length: int | None


class LoadOptions(TypedDict, total=False):
    """The keyword arguments of `load_encoder`; the attributes of `Checkpoint` explain them."""

    device: str | None
    revision: str | None
    trust_remote_code: bool
    local_files_only: bool
    image_tokens_only: bool
    query_length: int | None
    document_length: int | None
    dtype: str | None


SETTINGS_FILES = ("config.json", "modules.json")
"""A checkpoint has at least one of these."""


@dataclass(frozen=True)
class Checkpoint:
    """The files of a model, and how to load it.

    Attributes:
        name: ``"minilm"``, the absolute path of a folder, or a name on the Hugging Face hub. Errors show it.
        place: The folder of the files, or the name on the hub from which they are downloaded.
        device: A torch device; None takes a GPU where there is one.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Whether Python code of the checkpoint may run.
        local_files_only: Whether the network must not be used.
        image_tokens_only: Whether to keep only the vectors of image patches.
        query_length: Tokens that are read of a query; None for the checkpoint's own number.
        document_length: Tokens that are read of a document; None for the checkpoint's own number.
        dtype: The precision of matrix products, see `precision`; None for the default of the device.
    """

    name: str
    place: str
    device: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    local_files_only: bool = False
    image_tokens_only: bool = False
    query_length: int | None = None
    document_length: int | None = None
    dtype: str | None = None

    @property
    def lengths(self) -> Lengths:
        """Return the lengths as keyword arguments of `TextEncoder`."""
        return {"query_length": self.query_length, "document_length": self.document_length}

    @property
    def source(self) -> str | None:
        """Return what `load_encoder` loads the encoder from again; None if it runs code of its checkpoint."""
        return None if self.trust_remote_code else self.name

    @property
    def library_options(self) -> dict[str, Any]:
        """Return the keyword arguments that sentence-transformers and transformers have in common."""
        return {
            "revision": self.revision,
            "trust_remote_code": self.trust_remote_code,
            "local_files_only": self.local_files_only,
        }

    @cached_property
    def config(self) -> dict[str, Any]:
        """Return the content of ``config.json``; empty if the file is missing."""
        return self.read("config.json", dict) or {}

    @cached_property
    def modules(self) -> list[Any] | None:
        """Return the content of ``modules.json``; None if the file is missing."""
        return self.read("modules.json", list)  # type: ignore[no-any-return]

    @property
    def architectures(self) -> list[str]:
        """Return the model classes that ``config.json`` names."""
        return self.config.get("architectures") or []

    def find(self, filename: str) -> str | None:
        """Return the path of a file of the checkpoint, downloaded if necessary; None if it does not exist."""
        from sentence_transformers.util import load_file_path

        return load_file_path(
            self.place,
            filename,
            cache_folder=cache_folder(),  # from which the model will be loaded
            revision=self.revision,
            local_files_only=self.local_files_only,
        )

    def read(self, filename: str, kind: type[Any]) -> Any:
        """Return the content of a JSON file of the checkpoint; None if the file is missing.

        Raises:
            UnsupportedCheckpointError: The content is not of this kind: dict or list.
            ValueError: The file is not JSON.
        """
        path = self.find(filename)
        content = None if path is None else json.loads(Path(path).read_text("utf-8"))
        if content is not None and not isinstance(content, kind):
            raise UnsupportedCheckpointError(f"{self.name}: {filename} must contain a {kind.__name__}.")
        return content

    def refuse_image_options(self) -> None:
        """Refuse the options that only models of page images have.

        Raises:
            InvalidRequestError: ``image_tokens_only`` is set.
        """
        if self.image_tokens_only:
            raise InvalidRequestError(f"image_tokens_only is for models of page images; {self.name} reads none.")

    def refuse_lengths(self) -> None:
        """Refuse the lengths of text.

        Raises:
            InvalidRequestError: One is set.
        """
        if given := [name for name, length in self.lengths.items() if length is not None]:
            raise InvalidRequestError(
                f"{' and '.join(given)} cannot be set for {self.name}, which reads page images as documents and each "
                "query whole."
            )


def resolve(name_or_path: str | os.PathLike[str], **options: Unpack[LoadOptions]) -> Checkpoint:
    """Resolve a name or path; the arguments are those of `load_encoder`.

    A folder is preferred to a model of the same name on the hub, and is loaded without the network.

    Raises:
        UnsupportedCheckpointError: The folder does not exist, or the model is not in the local cache and the network
            must not be used.
        OptionalDependencyError: ``"minilm"`` without its package.
    """
    if name_or_path == MINILM:  # from a Python package, which has one revision and no code
        minilm = Checkpoint(MINILM, str(minilm_folder()), **options)
        return replace(minilm, revision=None, trust_remote_code=False, local_files_only=True)
    if not str(name_or_path).strip():
        raise UnsupportedCheckpointError(f"The name of the encoder is empty, got {name_or_path!r}.")
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        name = str(path.resolve())
        options["local_files_only"] = True  # its settings may name models of the hub, for which the caller did not ask
        return Checkpoint(name, name, **options)
    if isinstance(name_or_path, os.PathLike) or str(name_or_path).startswith((".", "/", "~", os.sep)):
        raise UnsupportedCheckpointError(f"There is no folder {path}.{near_name(str(name_or_path))}")
    name = str(name_or_path)
    if not options.get("local_files_only"):
        return Checkpoint(name, name, **options)
    # By its folder in the cache: given a name, huggingface_hub uses the network even with local_files_only.
    folder = cached_folder(name, options.get("revision"))
    if folder is None:
        raise UnsupportedCheckpointError(
            f"{name} is not in the local cache, and the network must not be used.{near_name(name)} The encoder that "
            "needs no network is 'minilm'."
        )
    return Checkpoint(name, str(folder), **options)


def cached_folder(name: str, revision: str | None) -> Path | None:
    """Return the folder in which the cache of the Hugging Face hub keeps a model; None if it keeps none.

    Raises:
        UnsupportedCheckpointError: The name is not valid on the hub.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for filename in SETTINGS_FILES:
        try:
            path = try_to_load_from_cache(name, filename, cache_folder(), revision)
        except HFValidationError as error:
            raise UnsupportedCheckpointError(
                f"{name!r} is neither a folder nor a valid name on the hub.{near_name(name)} ({error})"
            ) from None
        if isinstance(path, str):
            return Path(path).parent
    return None


def cache_folder() -> str | None:
    """Return the cache folder of sentence-transformers, if it is not the one of huggingface_hub."""
    return os.environ.get("SENTENCE_TRANSFORMERS_HOME")
