"""Detect commits that were lost with a damaged log, and keep their files.

SQLite drops every commit from the first wrong bit of its log on. The number of the last commit, in a file beside the
catalog, shows that this has happened. The log, and complete segments that the catalog no longer names, are then moved
to ``set-aside`` instead of being overwritten and removed: they may be all that is left of some documents.
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
    """Return a sentence about acknowledged commits that were lost."""
    return (
        f"{root / CATALOG} has lost its last {last_commit - generation} acknowledged commits: {_LOG}, the log, is "
        "damaged or missing. The next open for writing keeps the log and the segments of those commits in "
        f"{root / SET_ASIDE}. Restore the index from a copy, or add the documents again."
    )


def set_aside(root: Path, last_commit: int, needed: Collection[str]) -> Path:
    """Move the files of lost commits into ``set-aside``: complete segments and codebooks, and a copy of the log.

    Args:
        root: The directory of the index.
        last_commit: The number of the last commit before the loss.
        needed: The names of segments and codebooks that the catalog still uses.

    Returns:
        The directory that contains them now.

    Raises:
        OSError: A file cannot be moved. Nothing is lost: the next open tries again.
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
    """Yield a sentence for each directory in ``set-aside``, with what it contains."""
    for aside in sorted((root / SET_ASIDE).iterdir()) if is_directory(root / SET_ASIDE) else ():
        documents = [_documents(aside / SEGMENTS / name) for name in _complete(aside / SEGMENTS)]
        yield (
            f"{aside} contains the files of lost commits: the log{'' if (aside / _LOG).exists() else ' (missing)'} and "
            f"{len(documents)} segments with the vectors of {sum(documents)} documents, some of which may have been "
            "added again since. Add missing documents again, or restore the index from a copy. Then remove this folder."
        )


def _complete(parent: Path) -> list[str]:
    """Return the names of the segments or codebooks in a folder that look complete."""
    if not is_directory(parent):
        return []
    columns = ("offsets.npy", "centroids.npy")
    return sorted(
        path.name
        for path in parent.iterdir()
        if is_name(path.name) and is_directory(path) and any((path / name).is_file() for name in columns)
    )


def _documents(segment: Path) -> int:
    """Return the number of documents in a segment; 0 if it cannot be read."""
    try:
        return max(0, len(np.load(segment / "offsets.npy", mmap_mode="r", allow_pickle=False)) - 1)
    except (OSError, ValueError):
        return 0
