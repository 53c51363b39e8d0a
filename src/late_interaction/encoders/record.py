"""`EncoderRecord`: what an index stores about its encoder. The catalog it is read from may be untrusted."""

from __future__ import annotations

import json
import ntpath
import posixpath
import re
import unicodedata
from dataclasses import asdict, dataclass, field
from typing import Any

from late_interaction.encoders.minilm_package import MINILM
from late_interaction.errors import InvalidDocumentError
from late_interaction.validation import plain_json

__all__ = ["EncoderRecord", "InvalidRecordError", "is_hub_name"]

_FIELDS = frozenset({"source", "revision", "options", "reduction", "modalities", "fingerprint"})
# Never trust_remote_code, which only the caller may set.
_OPTIONS = {"image_tokens_only": bool, "query_length": int, "document_length": int}
_MAX_LENGTH = 2**31 - 1  # tokens
_MODALITIES = ("text", "image")
_MAX_SOURCE_CHARACTERS = 4096
_MAX_REVISION_CHARACTERS = 255
_MAX_RECORD_CHARACTERS = 4_194_304  # as JSON; the probe of a model with 4,096 dimensions has 80,000
_MAX_REDUCTION = 1_000_000  # of a pooling factor or a dimension
_MAX_SHOWN_CHARACTERS = 80
_HUB_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9_][A-Za-z0-9._-]{0,95})?")
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})  # categories of Unicode: control characters, surrogates, line separators


class InvalidRecordError(ValueError):
    """The value is not a record of an encoder; the message says why."""


@dataclass(frozen=True)
class EncoderRecord:
    """What an index stores about its encoder.

    Attributes:
        source: What `load_encoder` loads it from: ``"minilm"``, a name on the Hugging Face hub, or the absolute path of
            a folder. None if only the caller can load it.
        revision: Branch, tag or commit of ``source``.
        options: Other keyword arguments of `load_encoder`; see `loading_problem`.
        reduction: Keyword arguments of `ReducedEncoder`: ``pooling`` and ``dim``; None if the encoder is not reduced.
        modalities: The documents it encodes: ``"text"``, ``"image"`` or both.
        fingerprint: See `late_interaction.encoders.fingerprint`.
    """

    source: str | None = None
    revision: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    reduction: dict[str, int] | None = None
    modalities: tuple[str, ...] = ("text",)
    fingerprint: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: object) -> EncoderRecord:
        """Return the record that `to_json` gave.

        Raises:
            InvalidRecordError: The value is not a record.
        """
        try:
            size = len(json.dumps(value))
            rule = f"encoder must have at most {_MAX_RECORD_CHARACTERS} characters as JSON"
            _check(size <= _MAX_RECORD_CHARACTERS, rule, size)
            record = plain_json(value, "encoder")
        except (InvalidDocumentError, TypeError) as error:  # TypeError: a type that JSON does not have
            raise InvalidRecordError(str(error).rstrip(".")) from None
        except RecursionError:
            raise InvalidRecordError("encoder is nested too deep") from None
        _check(isinstance(record, dict), "encoder must be an object", record)
        _check(record.keys() <= _FIELDS, f"encoder may have {', '.join(sorted(_FIELDS))}", sorted(record))
        options, fingerprint = record.get("options") or {}, record.get("fingerprint", {})
        _check(isinstance(options, dict), "encoder.options must be an object", options)
        _check(isinstance(fingerprint, dict), "encoder.fingerprint must be an object", fingerprint)
        return cls(
            _string("source", record.get("source"), _MAX_SOURCE_CHARACTERS),
            _string("revision", record.get("revision"), _MAX_REVISION_CHARACTERS),
            options,
            _reduction(record.get("reduction")),
            _modalities(record.get("modalities", ["text"])),
            fingerprint,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the values that `parse` reads."""
        return {**asdict(self), "modalities": list(self.modalities)}

    @property
    def load_options(self) -> dict[str, Any]:
        """Return all keyword arguments of `load_encoder` but the name. There must be no `loading_problem`."""
        return {"revision": self.revision, "local_files_only": True, **self.options}

    @property
    def loading_problem(self) -> str | None:
        """Return why `load_encoder` must not be called with this record; None if it may be."""
        if not all(type(value) is _OPTIONS.get(name) for name, value in self.options.items()) or not all(
            0 < value <= _MAX_LENGTH for value in self.options.values() if type(value) is int
        ):
            return (
                "encoder.options may have image_tokens_only (true or false), query_length and document_length (numbers "
                f"of tokens) and nothing else, got {_shown(self.options)}"
            )
        if self.source is not None and self.source != MINILM:
            if not is_hub_name(self.source) and not _is_on_this_machine(self.source):
                return (
                    "encoder.source must be 'minilm', a name on the Hugging Face hub or the absolute path of a folder "
                    f"on this machine, got {_shown(self.source)}"
                )
            # The cache of the hub has a file named after the revision.
            parts = (self.revision or "main").split("/")
            if {"", ".", ".."} & set(parts) or "\\" in parts[-1]:
                return f"encoder.revision must be a branch, tag or commit, got {_shown(self.revision)}"
        return None


def is_hub_name(source: str) -> bool:
    """Return whether a source has the form of a name on the Hugging Face hub."""
    return source != MINILM and _HUB_NAME.fullmatch(source) is not None and ".." not in source and "--" not in source


def _is_on_this_machine(source: str) -> bool:
    """Return whether a source is an absolute path, and not a network share, which would receive the user's login."""
    if source.startswith(("//", "\\\\")):
        return False
    return posixpath.isabs(source) or (ntpath.isabs(source) and bool(ntpath.splitdrive(source)[0]))


def _reduction(reduction: object) -> dict[str, int] | None:
    if reduction is None:
        return None
    if (
        isinstance(reduction, dict)
        and reduction.keys() == {"pooling", "dim"}
        and all(type(value) is int and 0 < value <= _MAX_REDUCTION for value in reduction.values())
    ):
        return reduction
    raise InvalidRecordError(
        f"encoder.reduction must have pooling and dim, both positive integers, got {_shown(reduction)}"
    )


def _modalities(modalities: object) -> tuple[str, ...]:
    if isinstance(modalities, list) and modalities and all(one in _MODALITIES for one in modalities):
        return tuple(modalities)
    raise InvalidRecordError(f"encoder.modalities must be a list of 'text' and 'image', got {_shown(modalities)}")


def _string(name: str, value: object, max_characters: int) -> str | None:
    if value is None:
        return None
    if (
        isinstance(value, str)
        and 0 < len(value) <= max_characters
        and not _CONTROL & set(map(unicodedata.category, value))
    ):
        return value
    raise InvalidRecordError(
        f"encoder.{name} must be a string of 1 to {max_characters} characters without control characters, "
        f"got {_shown(value)}"
    )


def _check(holds: bool, rule: str, value: object) -> None:  # noqa: FBT001
    if not holds:
        raise InvalidRecordError(f"{rule}, got {_shown(value)}")


def _shown(value: object) -> str:
    shown = ascii(value)  # without control sequences, which a terminal would execute
    return shown if len(shown) <= _MAX_SHOWN_CHARACTERS else f"{shown[:_MAX_SHOWN_CHARACTERS]}…"
