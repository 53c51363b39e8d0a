"""Find out whether a model of the hub can be downloaded, before any library tries to.

Libraries ask the hub for one file after the other, each with five retries: without a network, an unknown name takes
most of a minute, and a model of the local cache nearly as long. One request with a short timeout tells beforehand.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.encoders.checkpoint import SETTINGS_FILES, cached_folder
from late_interaction.encoders.near_names import near_name
from late_interaction.errors import UnsupportedCheckpointError

if TYPE_CHECKING:
    from late_interaction.encoders.checkpoint import Checkpoint

__all__ = ["reachable"]

_logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 2.0
_TIMEOUT_VARIABLE = "HF_HUB_ETAG_TIMEOUT"  # of huggingface_hub: seconds that it waits for the same answer


def reachable(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint that can be loaded now: without a network, by its folder in the local cache.

    Raises:
        UnsupportedCheckpointError: It is neither in the local cache nor on the hub, or the hub cannot be reached.
    """
    from huggingface_hub import constants

    if checkpoint.local_files_only or Path(checkpoint.place).is_dir():
        return checkpoint
    folder = cached_folder(checkpoint.name, checkpoint.revision)
    problem = "HF_HUB_OFFLINE forbids the use of the network." if constants.HF_HUB_OFFLINE else _problem(checkpoint)
    if problem is None:
        return checkpoint
    if folder is None:
        raise UnsupportedCheckpointError(
            f"The encoder {checkpoint.name!r} is neither a folder nor in the local cache, and {problem}"
            f"{near_name(checkpoint.name)} The encoder that needs no network is 'minilm'."
        )
    _logger.info("%s is loaded from the local cache: %s", checkpoint.name, problem)
    return replace(checkpoint, place=str(folder), local_files_only=True)


def _problem(checkpoint: Checkpoint) -> str | None:
    """Return why a model cannot be downloaded; None if it probably can."""
    answers: list[str | None] = []

    def ask() -> None:
        try:
            answers.append(_answer(checkpoint, seconds))
        except Exception as error:  # noqa: BLE001  # of the HTTP library, which is another one in each release of the hub's
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            answers.append(f"the Hugging Face hub cannot be reached ({reason}). Check the network.")

    given = os.environ.get(_TIMEOUT_VARIABLE, "")
    seconds = float(given) if given.isdecimal() else _ANSWER_SECONDS
    # In a thread, since looking up the address of the hub may take longer than any timeout.
    thread = threading.Thread(target=ask, name="late-interaction-hub", daemon=True)
    thread.start()
    thread.join(seconds + 0.5)
    if answers:
        return answers[0]
    return (
        f"the Hugging Face hub did not answer within {seconds:g} seconds. Check the network. If it is slow, set the "
        f"environment variable {_TIMEOUT_VARIABLE} to more seconds."
    )


def _answer(checkpoint: Checkpoint, seconds: float) -> str | None:
    """Ask the hub for the settings of a model; return why it does not give them, or None if loading will tell more.

    Raises:
        Exception: The hub cannot be reached.
    """
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # documented there
        build_hf_headers,
        get_session,
    )

    url = hf_hub_url(checkpoint.name, SETTINGS_FILES[0], revision=checkpoint.revision)
    response = get_session().head(url, headers=build_hf_headers(), timeout=seconds)
    status: int = response.status_code
    # For a model without this file, or of another revision, the status is 404 too.
    if status in (401, 403) or (status == 404 and response.headers.get("X-Error-Code") == "RepoNotFound"):
        return "the model does not exist on the Hugging Face hub, or needs a login (hf auth login)."
    if status >= 500:
        return f"the Hugging Face hub answers with HTTP status {status}. Try again later."
    return None
