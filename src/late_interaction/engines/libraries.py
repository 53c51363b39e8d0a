"""Torch, imported when it is first needed: it takes seconds, and reading documents does not need it."""

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
    """Return torch.

    Torch warns once per process that a tensor over a read-only array must not be written to. This package writes to
    none, so the warning is triggered and suppressed here.
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
