"""The commands of ``late-interaction``, in the order of its help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.cli.commands.documents import delete, export, get, list_sources
from late_interaction.cli.commands.evaluating import evaluate
from late_interaction.cli.commands.importing import import_index
from late_interaction.cli.commands.indexing import index
from late_interaction.cli.commands.maintenance import compact, demo, info, verify
from late_interaction.cli.commands.searching import explain, rerank, search
from late_interaction.cli.commands.transferring import transfer

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COMMANDS"]

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "index": index,
    "search": search,
    "rerank": rerank,
    "explain": explain,
    "list": list_sources,
    "get": get,
    "export": export,
    "delete": delete,
    "info": info,
    "verify": verify,
    "compact": compact,
    "import-index": import_index,
    "transfer": transfer,
    "evaluate": evaluate,
}
