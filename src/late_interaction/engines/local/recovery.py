"""What a damaged log has cost, and keeping what is left of it.

SQLite drops every commit from the first wrong bit of its log on. The number of the last commit, kept beside the
catalog, tells that this has happened. The log and the complete segments that no commit names any more are then set
aside instead of being written over and removed: they are evidence, and may be all that is left of some documents.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.storage.files import (
    CATALOG,
    CODEBOOKS,
    SEGMENTS,
    SET_ASIDE,
    copy_file,
    is_directory,
    is_name,
    make_directories,
    sync_directory,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

__all__ = ["lost_commits_problem", "set_aside", "set_aside_problems"]

_LOG = f"{CATALOG}-wal"


def lost_commits_problem(root: Path, last_commit: int, generation: int) -> str:
    """Return a sentence about commits that were acknowledged and are gone."""
    return (
        f"{root / CATALOG} has lost its last {last_commit - generation} acknowledged commits: {_LOG}, the log, is "
        "damaged or missing. The next open for writing keeps the log and the segments of those commits in "
        f"{root / SET_ASIDE}. Restore the index from a copy, or add the documents again."
    )


def set_aside(root: Path, last_commit: int, needed: Collection[str]) -> Path:
    """Move away what lost commits have left: complete segments and codebooks, with a copy of the log.

    Args:
        root: The directory of the index.
        last_commit: The number of the last commit before the loss.
        needed: Names that the catalog still knows.

    Returns:
        The directory that holds them now.

    Raises:
        OSError: The disk does not take it. Nothing is lost: the next open tries again.
    """
    aside = root / SET_ASIDE / str(last_commit)
    make_directories(aside)
    if (root / _LOG).exists() and not (aside / _LOG).exists():
        copy_file(root / _LOG, aside / _LOG)
    for parent in (SEGMENTS, CODEBOOKS):
        for name in _complete(root / parent):
            if name not in needed:
                make_directories(aside / parent)
                os.replace(root / parent / name, aside / parent / name)  # noqa: PTH105
                sync_directory(aside / parent)
                sync_directory(root / parent)
    sync_directory(aside)
    return aside


def set_aside_problems(root: Path) -> Iterator[str]:
    """Yield a sentence for each time that something was set aside, with what can be had back."""
    for aside in sorted((root / SET_ASIDE).iterdir()) if is_directory(root / SET_ASIDE) else ():
        documents = [_documents(aside / SEGMENTS / name) for name in _complete(aside / SEGMENTS)]
        yield (
            f"{aside} holds what a damaged log has left: the log{'' if (aside / _LOG).exists() else ' (missing)'} and "
            f"{len(documents)} segments with the vectors of {sum(documents)} documents, which may include documents "
            "added again since. Add what is missing again, or restore the index from a copy; then remove this folder."
        )


def _complete(parent: Path) -> list[str]:
    """The segments or codebooks in a folder whose files look whole."""
    if not is_directory(parent):
        return []
    wanted = ("offsets.npy", "centroids.npy")
    return sorted(
        path.name
        for path in parent.iterdir()
        if is_name(path.name) and is_directory(path) and any((path / name).is_file() for name in wanted)
    )


def _documents(segment: Path) -> int:
    """How many documents a segment has."""
    try:
        return max(0, len(np.load(segment / "offsets.npy", mmap_mode="r", allow_pickle=False)) - 1)
    except (OSError, ValueError):
        return 0
