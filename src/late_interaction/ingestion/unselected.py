"""Find indexed files that exist and were not selected for reading, whose passages an update keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.ingestion.places import Places
from late_interaction.ingestion.roots import Roots

if TYPE_CHECKING:
    import os
    from collections.abc import Collection
    from pathlib import Path

    from late_interaction.index import Index

__all__ = ["unselected_files"]


def unselected_files(index: Index, places: Collection[str | os.PathLike[str]], selected: Collection[Path]) -> set[Path]:
    """Return the files of stored passages that exist, are at or below a place, and are not among the selected files.

    Args:
        index: The index.
        places: The files and folders that are read.
        selected: The files that are read.
    """
    known = Places(places)
    chosen = known.paths_of(selected)
    found: set[Path] = set()
    roots = Roots(index.engine, dry_run=True)
    roots.follow(known.real)
    for root in roots:
        names = {
            fields.metadata.get("source")
            for fields in index.engine.scan(root=root.number, fields=("metadata",))
            if fields.metadata is not None
        }
        paths = {root.path_of(name) for name in names if isinstance(name, str)} - chosen
        found |= {path for path in paths if any(path.is_relative_to(place) for place in known.real) and path.is_file()}
    return found
