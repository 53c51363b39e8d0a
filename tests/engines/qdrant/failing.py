"""What a server may do in place of an answer, and the errors that calls may raise then."""

from __future__ import annotations

from late_interaction.errors import EngineRefusedError, EngineUnavailableError, PartialWriteError
from tests.qdrant_edge.faults import answer, close, cut

FOR_A_MOMENT = {
    "503": answer(503),
    "500-applied": answer(500, applied=1),
    "500-half": answer(500, applied=0.5),
    "429": answer(429),
    "429-after": answer(429, retry_after=3),
    "closed-applied": close(applied=1),
    "cut": cut(),
}
FOR_GOOD = {
    "503": answer(503),
    "500-half": answer(500, applied=0.5),
    "closed-applied": close(applied=1),
    "closed": close(),
    "403": answer(403),
    "400": answer(400),
}
REFUSALS = {"403", "400"}


def error_of(call, *arguments):
    """Return the error of a call; None if it succeeds, because only the first stage could not be brought up to date."""
    try:
        call(*arguments)
    except (EngineUnavailableError, EngineRefusedError, PartialWriteError) as error:
        return error
    return None
