"""Torch, imported when it is first needed."""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.forking import imports, openmp_is_used

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["torch_module"]


@cache
def torch_module() -> ModuleType:
    """Return torch. It is imported late, since it takes seconds and an index may be opened for reading documents alone.

    Torch warns once per process that a tensor over a read-only array must not be written to. Nothing here writes to
    one, so the warning is raised and suppressed at once.
    """
    with imports:
        import torch

    openmp_is_used("torch")
    read_only = np.zeros(1, np.float16)
    read_only.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.from_numpy(read_only)
    return torch
