"""Where the tests keep their files."""

from __future__ import annotations

import os
import shutil

_MIN_FREE_BYTES = 2**30


def _in_memory(folder):
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > _MIN_FREE_BYTES


FAST_DIRECTORY = "/dev/shm" if _in_memory("/dev/shm") else None
"""In memory where there is room for files: a commit waits for the disk several times."""
