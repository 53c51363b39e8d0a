"""Errors as the server gives them: an HTTP status and a sentence."""

from __future__ import annotations

from contextlib import contextmanager
from http import HTTPStatus

import httpx
from pydantic_core import to_json
from qdrant_client.http.exceptions import UnexpectedResponse

_INTERNAL = ("Service runtime error", "Inconsistent storage", "Out of memory")


class ServerError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
        self.message = message

    def body(self) -> bytes:
        """Return the server's envelope of an error as JSON."""
        return to_json({"status": {"error": self.message}, "time": 0.0})

    def as_response(self) -> UnexpectedResponse:
        """Return what the client raises for this answer."""
        return UnexpectedResponse(self.status, HTTPStatus(self.status).phrase, self.body(), httpx.Headers())


def wrong_input(message: str) -> ServerError:
    """A request that cannot be carried out: 400."""
    return ServerError(400, f"Wrong input: {message}")


def not_found(message: str) -> ServerError:
    """Something that does not exist: 404."""
    return ServerError(404, f"Not found: {message}")


def invalid(message: str) -> ServerError:
    """A body whose values are out of range: 422."""
    return ServerError(422, f"Validation error in JSON body: [{message}]")


def unsupported(what: str) -> ServerError:
    """A request that Edge or this adapter cannot carry out, although a server can: 501."""
    return ServerError(501, f"{what} is not supported by tests/qdrant_edge")


@contextmanager
def edge_errors():
    """Raise what Edge raises, which is always a plain exception with a sentence, as the server's answer."""
    try:
        yield
    except ServerError:
        raise
    except (ValueError, TypeError, OverflowError) as error:  # arguments that the bindings cannot convert
        raise ServerError(400, f"Format error in JSON body: {error}") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        message = str(error)
        if message.startswith("No point with id"):
            raise not_found(f"{message} found") from error
        if message.startswith(_INTERNAL):
            raise ServerError(500, f"Service internal error: {message}") from error
        raise wrong_input(message) from error
