"""Capture the log of the libraries while a model is loaded: it is not printed, and lists missing weights."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from late_interaction.forking import Mutex

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["loading_log", "missing_weights"]

_logger = logging.getLogger(__name__)
_capturing = Mutex()  # the loggers belong to the whole process


class _Collector(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


@contextmanager
def loading_log() -> Iterator[list[str]]:
    """Collect the warnings of transformers and sentence-transformers inside the block, and disable progress bars.

    Nothing is printed. The warnings are passed on to this module's logger at level INFO.
    """
    import transformers.utils

    settings: Any = transformers.utils.logging  # its functions carry no annotations
    messages: list[str] = []
    with _capturing, ExitStack() as restore:
        if settings.is_progress_bar_enabled():
            settings.disable_progress_bar()
            restore.callback(settings.enable_progress_bar)
        for name in ("transformers", "sentence_transformers"):
            logger = logging.getLogger(name)
            restore.callback(_restore, logger, logger.handlers, logger.propagate, logger.level)
            logger.handlers, logger.propagate = [_Collector(messages)], False
            logger.setLevel(min(logger.level or logging.WARNING, logging.WARNING))
        yield messages
    for message in messages:
        _logger.info("%s", message)


def _restore(logger: logging.Logger, handlers: list[logging.Handler], propagate: bool, level: int) -> None:  # noqa: FBT001
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def missing_weights(messages: list[str]) -> list[str]:
    """Return the weights that are missing in a checkpoint and were randomly initialized, from transformers' report.

    The report is a table of ``key | status``. Pooler weights are left out, because token vectors do not depend on them.
    """
    rows = [line for message in messages if "LOAD REPORT" in message for line in message.splitlines()]
    keys = [row.split("|")[0].strip() for row in rows if "MISSING" in row and "|" in row]
    return [key for key in keys if "pooler" not in key]
