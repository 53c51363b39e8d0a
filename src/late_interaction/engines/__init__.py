"""Engines keep token vectors and documents, and search them. They never see an encoder: vectors go in and out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from late_interaction.engines.base import Capabilities, Engine
from late_interaction.engines.records import Match, Record, Verification
from late_interaction.engines.registry import ENGINES, engine_class

if TYPE_CHECKING:
    from late_interaction.engines.lancedb import LanceDBEngine
    from late_interaction.engines.local import LocalEngine
    from late_interaction.engines.qdrant import QdrantEngine
    from late_interaction.transferring import TransferReport, transfer

__all__ = [
    "Capabilities",
    "Engine",
    "LanceDBEngine",
    "LocalEngine",
    "Match",
    "QdrantEngine",
    "Record",
    "TransferReport",
    "Verification",
    "transfer",
]

_TRANSFERRING = ("TransferReport", "transfer")
"""Names of a package above this one: a transfer may encode documents again, and engines know no encoder."""


def __getattr__(name: str) -> Any:
    if name in ENGINES:
        return engine_class(name)
    if name in _TRANSFERRING:
        return getattr(import_module("late_interaction.transferring"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
