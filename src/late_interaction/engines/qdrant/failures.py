"""The errors of Qdrant's client, of gRPC, of HTTP and of local mode as errors of this package."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

import grpc
import httpx
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from late_interaction.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    IndexClosedError,
    IndexLockedError,
    IndexNotFoundError,
    LateInteractionError,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from late_interaction.engines.qdrant.addresses import Address

__all__ = ["CLIENT_ERRORS", "is_conflict", "is_refusal_of_credentials", "translated", "wait_after"]

CLIENT_ERRORS = (
    *(ApiException, QdrantException, grpc.RpcError, httpx.HTTPError, httpx.InvalidURL, sqlite3.Error),
    *(ValueError, RuntimeError, OSError, AssertionError),
)
"""Whatever a call of the client raises: local mode has no classes of its own, and a response without a result is an
AssertionError."""

_MAX_SHOWN = 300  # characters of what a server says
_HIDDEN = "[hidden]"

_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_CREDENTIALS = frozenset({401, 403})
_NOT_FOUND, _NOT_ALLOWED = 404, 405
_TOO_LARGE = 413
_CONFLICT = 409

_STATUS_OF_GRPC = {
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.ABORTED: 503,
    grpc.StatusCode.CANCELLED: 503,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: _CONFLICT,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
}
"""The status of HTTP that means the same."""


def wait_after(error: Exception) -> float | None:
    """Return the seconds that the server asks to wait, 0 if it does not say; None if trying again does not help."""
    if isinstance(error, ResourceExhaustedResponse):
        return float(error.retry_after_s)
    status = _status_of(error)
    if status is not None:
        return _retry_after(error) if status in _TRY_AGAIN else None
    return 0.0 if _is_transport(error) else None


def is_conflict(error: Exception) -> bool:
    """Return whether the server says that what should be created exists."""
    return _status_of(error) == _CONFLICT or "already exists" in _text_of(error)


def translated(error: Exception, address: Address, hidden: Collection[str] = ()) -> LateInteractionError:
    """Return the error of this package that says what happened.

    Args:
        error: The error of the client.
        address: Where the collection is.
        hidden: What is never shown, such as an API key.
    """
    text = _shown(_text_of(error), hidden)
    if isinstance(error, ResourceExhaustedResponse):
        return EngineUnavailableError(f"The Qdrant server of {address} is overloaded: {text} Try again later.")
    if _is_transport(error) or _is_unanswered(error):
        return EngineUnavailableError(
            f"The Qdrant server of {address} cannot be reached or does not answer in time ({text}). Check that it runs "
            "and that the address is right. A greater timeout= waits longer."
        )
    status = _status_of(error)
    if status is not None:
        return _of_status(status, text, address)
    if isinstance(error, (ResponseHandlingException, AssertionError)):  # a response that is not what the client expects
        return EngineRefusedError(
            f"What answers at {address} does not answer as a Qdrant server does ({text}). Check the address, and that "
            "server and qdrant-client have versions that belong together."
        )
    return _of_local_mode(error, text, address)


def _of_status(status: int, text: str, address: Address) -> LateInteractionError:
    if status in _CREDENTIALS:
        return EngineRefusedError(
            f"The Qdrant server of {address} refuses the API key, or there is none ({text}). The key is read from "
            "api_key= of QdrantEngine, and without it from the environment variable QDRANT_API_KEY."
        )
    if _is_missing_collection(status, text):
        return IndexNotFoundError(f"There is no collection {address}. Index.open(…, encoder=…) creates it.")
    if status in (_NOT_FOUND, _NOT_ALLOWED):
        return EngineRefusedError(
            f"What answers at {address.place} has no collections of Qdrant ({text}). Check the address: its last part "
            "is the name of the collection, and what stands before it the URL of the server."
        )
    if status in _TRY_AGAIN:
        return EngineUnavailableError(
            f"The Qdrant server of {address} is overloaded or fails ({text}). Try again later."
        )
    if status == _TOO_LARGE or "larger than max" in text or "larger than allowed" in text:
        return EngineRefusedError(
            f"The Qdrant server of {address} refuses a request because it is too large ({text}). Split long documents, "
            "reduce vectors with pooling= or dim=, or raise the server's limits."
        )
    if "Index required" in text:
        return EngineRefusedError(
            f"The Qdrant server of {address} is in strict mode and refuses a filter on a field without a payload index "
            f"({text}). Create it with create_payload_index of a QdrantClient. Filters with $eq, $ne, $in, $nin, $all "
            "and $exists need none."
        )
    return EngineRefusedError(f"The Qdrant server of {address} refuses a request: {text}")


def _of_local_mode(error: Exception, text: str, address: Address) -> LateInteractionError:
    if "already accessed by another instance" in text:
        return IndexLockedError(
            f"The Qdrant directory {address.path} is open elsewhere. In local mode one client at a time may have it: "
            "close the other, or use a Qdrant server."
        )
    if "is closed" in text or "closed database" in text or "closed file" in text:
        return IndexClosedError("The index is closed. Open it again.")
    if isinstance(error, ValueError) and re.search(r"Collection .* not found", text):
        return IndexNotFoundError(f"There is no collection {address}. Index.open(…, encoder=…) creates it.")
    if isinstance(error, (OSError, sqlite3.Error)):
        return EngineUnavailableError(f"The collection {address} cannot be read or written ({text}).")
    return EngineRefusedError(f"Qdrant's client refuses a request on {address}: {text}")


def _status_of(error: Exception) -> int | None:
    """Return the status of HTTP; None if no server said one."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code
    if isinstance(error, grpc.RpcError):
        code = _grpc_detail(error, "code")
        if code == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in str(_grpc_detail(error, "details")):
            return _TOO_LARGE
        return _STATUS_OF_GRPC.get(code, 500)
    return None


def _grpc_detail(error: grpc.RpcError, name: str) -> Any:
    method = getattr(error, name, None)  # the errors of a call have it; the class itself does not
    return None if method is None else method()


def _retry_after(error: Exception) -> float:
    if isinstance(error, UnexpectedResponse) and error.headers is not None:
        value = error.headers.get("Retry-After", "")
        return float(value) if re.fullmatch(r"\d{1,4}", value) else 0.0
    return 0.0


def _is_transport(error: Exception) -> bool:
    """Return whether no response came: refused, reset, timed out, cut off."""
    source = error.source if isinstance(error, ResponseHandlingException) else error
    return isinstance(source, (httpx.TransportError, ConnectionError, TimeoutError))


def _is_unanswered(error: Exception) -> bool:
    """Return whether it is gRPC's error of a server that was not reached, or did not answer in time."""
    if not isinstance(error, grpc.RpcError):
        return False
    code, details = _grpc_detail(error, "code"), str(_grpc_detail(error, "details"))
    return code == grpc.StatusCode.DEADLINE_EXCEEDED or (
        code == grpc.StatusCode.UNAVAILABLE and details.startswith("failed to connect")
    )


def _is_missing_collection(status: int, text: str) -> bool:
    return status == _NOT_FOUND and "ollection" in text


def _text_of(error: Exception) -> str:
    """Return what the server or the client says, without the request."""
    if isinstance(error, UnexpectedResponse):
        content = error.content.decode("utf-8", "replace") if isinstance(error.content, bytes) else str(error.content)
        found = re.search(r'"error"\s*:\s*"((?:[^"\\]|\\.)*)"', content)
        return f"{error.status_code} {error.reason_phrase}: {found[1] if found else content}"
    if isinstance(error, grpc.RpcError):
        code, details = _grpc_detail(error, "code"), _grpc_detail(error, "details")
        return f"{getattr(code, 'name', code)}: {details}"
    if isinstance(error, ResponseHandlingException):
        return _text_of(error.source) if isinstance(error.source, Exception) else str(error.source)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _shown(text: str, hidden: Collection[str]) -> str:
    """Return the text on one line, shortened, without credentials."""
    for secret in hidden:
        if secret:
            text = text.replace(secret, _HIDDEN)
    text = re.sub(r"(?i)(api[-_]?key|authorization|bearer)(\W{1,4})\S+", rf"\1\2{_HIDDEN}", text)
    text = re.sub(r"://[^/\s@]*@", f"://{_HIDDEN}@", text)
    text = " ".join(text.split())
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def is_refusal_of_credentials(error: Exception) -> bool:
    """Return whether the server refuses the API key, so that it is one."""
    return _status_of(error) in _CREDENTIALS
